"""The program: its commands, and what each way of ending means to the shell.

Exit status: 0 every requested cell ok; 1 some cell not; 2 wrong usage or unreadable model;
70 a defect of xbench; 130 interrupted; 141 whoever read the output has left.

Nothing here loads numpy, onnx or a framework: `xbench --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from xbench import __version__
from xbench.cli.baseline import app as baseline
from xbench.cli.bundle import EXAMPLES as BUNDLE_EXAMPLES
from xbench.cli.bundle import bundle
from xbench.cli.compare import EXAMPLES as COMPARE_EXAMPLES
from xbench.cli.compare import compare
from xbench.cli.devices import EXAMPLES as DEVICES_EXAMPLES
from xbench.cli.devices import devices
from xbench.cli.diff import EXAMPLES as DIFF_EXAMPLES
from xbench.cli.diff import diff
from xbench.cli.export import EXAMPLES as EXPORT_EXAMPLES
from xbench.cli.export import export
from xbench.cli.history import EXAMPLES as HISTORY_EXAMPLES
from xbench.cli.history import history
from xbench.cli.inspect import EXAMPLES as INSPECT_EXAMPLES
from xbench.cli.inspect import inspect
from xbench.cli.listing import backends, models
from xbench.cli.merge import EXAMPLES as MERGE_EXAMPLES
from xbench.cli.merge import merge
from xbench.cli.procure import EXAMPLES as PROCURE_EXAMPLES
from xbench.cli.procure import procure
from xbench.cli.profiles import EXAMPLES as PROFILES_EXAMPLES
from xbench.cli.profiles import profiles
from xbench.cli.publish import EXAMPLES as PUBLISH_EXAMPLES
from xbench.cli.publish import publish
from xbench.cli.report import EXAMPLES as REPORT_EXAMPLES
from xbench.cli.report import report
from xbench.cli.roofline import EXAMPLES as ROOFLINE_EXAMPLES
from xbench.cli.roofline import roofline
from xbench.cli.selftest import selftest
from xbench.cli.serve import EXAMPLES as SERVE_EXAMPLES
from xbench.cli.serve import serve
from xbench.cli.size import EXAMPLES as SIZE_EXAMPLES
from xbench.cli.size import size
from xbench.cli.tune import EXAMPLES as TUNE_EXAMPLES
from xbench.cli.tune import tune
from xbench.cli.verify import EXAMPLES as VERIFY_EXAMPLES
from xbench.cli.verify import verify
from xbench.errors import InterruptedRunError, XbenchError

USAGE, DEFECT, INTERRUPTED, READER_LEFT = 2, 70, 130, 141

_ABOUT = "One model, every runtime on this machine, one verdict that can be trusted."
_EXAMPLES = """\b
Examples:
  xbench compare mobilenet_v2 --quick
  xbench compare model.onnx --backends onnxruntime,openvino --batch 1,8
  xbench compare model.onnx --shape tokens=1x128 --json result.json
  xbench compare model.onnx --scenario server:30 --slo p99=50ms
  xbench tune model.onnx --slo p99=20ms
  xbench report xbench-runs/RUN -o report.html
  xbench inspect model.onnx
  xbench backends
"""

_Commands = tuple[tuple[Callable[..., None], str | None], ...]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)
_MEASURE: _Commands = (
    (compare, COMPARE_EXAMPLES),
    (inspect, INSPECT_EXAMPLES),
    (tune, TUNE_EXAMPLES),
    (size, SIZE_EXAMPLES),
    (procure, PROCURE_EXAMPLES),
    (report, REPORT_EXAMPLES),
    (serve, SERVE_EXAMPLES),
    (history, HISTORY_EXAMPLES),
    (diff, DIFF_EXAMPLES),
)
_REST: _Commands = (
    (verify, VERIFY_EXAMPLES),
    (bundle, BUNDLE_EXAMPLES),
    (merge, MERGE_EXAMPLES),
    (publish, PUBLISH_EXAMPLES),
    (export, EXPORT_EXAMPLES),
    (models, None),
    (backends, None),
    (devices, DEVICES_EXAMPLES),
    (profiles, PROFILES_EXAMPLES),
    (roofline, ROOFLINE_EXAMPLES),
    (selftest, None),
)
for _command, _examples in _MEASURE:
    app.command(epilog=_examples)(_command)
app.add_typer(baseline, name="baseline")
for _command, _examples in _REST:
    app.command(epilog=_examples)(_command)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"xbench {__version__}")
        raise typer.Exit


@app.callback(epilog=_EXAMPLES, help=_ABOUT)
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Hold the options before a command; the callback of each does its work."""


def main() -> NoReturn:
    """Run the command that the arguments name, and leave with its exit status."""
    _make_streams_safe()
    try:
        status = _status()
        sys.stdout.flush()
    except BrokenPipeError:
        status = READER_LEFT
        # The interpreter flushes once more on its way out, and must find a reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _status() -> int | str | None:
    try:
        app(prog_name="xbench")
    except SystemExit as ended:
        return ended.code
    except InterruptedRunError as error:
        _complain(str(error))
        return INTERRUPTED
    except XbenchError as error:
        _complain(str(error))
        return USAGE
    except BrokenPipeError:
        return READER_LEFT
    except Exception as error:  # the last line of defence: no traceback for users
        _complain(_defect(error))
        return DEFECT
    return 0


def _complain(text: str) -> None:
    from xbench.report.text import clean

    print(f"error: {clean(text)}", file=sys.stderr)


def _defect(error: Exception) -> str:
    """Return the line for an error that xbench should not have met; keep its traceback."""
    import tempfile
    import traceback

    what = f"this is a defect of xbench: {type(error).__name__}: {error}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="xbench-defect-", suffix=".txt", delete=False, errors="replace"
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError as disk:
        return f"{what}. The traceback could not be kept ({disk.strerror})."
    return f"{what}. Please report it with {file.name}."


def _make_streams_safe() -> None:
    """Let no character end the program that the terminal's encoding lacks, and no closed stream."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 # lives as long as we do
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115 # lives as long as we do
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # the real ones have it
