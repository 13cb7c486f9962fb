"""`xbench report`: finished runs as one file to read, send or print."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from xbench.cli.output import STDOUT, in_colour, terminal_width, write_file
from xbench.errors import UsageError

if TYPE_CHECKING:
    from xbench.result import Run
    from xbench.samples import Samples

EXAMPLES = """\b
Examples:
  xbench report xbench-runs/20260101-120000-model -o report.html
  xbench report xbench-runs/A xbench-runs/B -o both.html
  xbench report result.json --format markdown
  xbench report xbench-runs/A -o charts.png
  xbench report xbench-runs/A --chart distribution -o latency.svg

\b
The page is one file without script: it asks nothing of a network, and may be
sent by mail, opened from a disk or printed. Charts of single inferences need
the run's folder; a document of --json has everything else.

\b
Exit status: 0 written; 1 it could not be written; 2 wrong usage or no result.
"""


class Format(StrEnum):
    """What a report may be written as."""

    HTML = "html"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    PNG = "png"
    SVG = "svg"


_SUFFIXES = {
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".md": Format.MARKDOWN,
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".png": Format.PNG,
    ".svg": Format.SVG,
}
_DRAWN = {Format.HTML, Format.PNG, Format.SVG}

Runs = Annotated[
    list[Path],
    Argument(metavar="RUN...", help="Run folders of `xbench compare`, or documents of its --json."),
]
Output = Annotated[
    str,
    Option("--output", "-o", metavar="FILE", help="The file to write; - is stdout."),
]
As = Annotated[
    Format | None,
    Option("--format", help="Default: what the file's suffix says; the table, without -o."),
]
Chart = Annotated[
    str,
    Option(
        metavar="KIND",
        help="For png and svg, only this chart: ranking, sustained, distribution, tradeoff, "
        "memory, energy, course, roofline or parity.",
    ),
]


def report(runs: Runs, output: Output = "", format: As = None, chart: Chart = "") -> None:  # noqa: A002 # the option's name
    """Write finished runs as a page with charts, or as another format.

    That may be Markdown, CSV, JSON, PNG or SVG.
    """
    kind = format or _by_suffix(output)
    _check(kind, output, chart)
    documents = [_document(path) for path in runs]
    if kind is None:
        raise typer.Exit(_show(documents))
    raise typer.Exit(_deliver(_text(kind, documents, runs, chart), output or STDOUT))


def _by_suffix(output: str) -> Format | None:
    if output in ("", STDOUT):
        return None
    suffix = Path(output).suffix.lower()
    if suffix not in _SUFFIXES:
        fix = f"End its name in {', '.join(_SUFFIXES)}, or name one with --format"
        raise UsageError(f"what is {output} to be written as?", fix)
    return _SUFFIXES[suffix]


def _check(kind: Format | None, output: str, chart: str) -> None:
    """Find out before anything is read whether it can be drawn and written."""
    if chart and kind not in (Format.PNG, Format.SVG):
        raise UsageError("--chart draws one chart, as png or svg", "Write -o chart.svg")
    if kind is Format.PNG and output in ("", STDOUT) and sys.stdout.isatty():
        raise UsageError("a picture says nothing on a terminal", "Write -o charts.png")
    if kind in _DRAWN and not (find_spec("altair") and find_spec("vl_convert")):
        fix = "Install them with: pip install 'xbench[report]'"
        raise UsageError("charts are drawn by altair and vl-convert, which are not here", fix)
    if output not in ("", STDOUT) and not Path(output).resolve().parent.is_dir():
        fix = "Make it, or name another file"
        raise UsageError(f"the folder {Path(output).parent} does not exist", fix)


def _show(documents: Sequence[dict[str, Any]]) -> int:
    """Print the tables that `xbench compare` printed."""
    from xbench.report.recall import run_of
    from xbench.report.terminal import render

    for document in documents:
        width, colour = terminal_width(sys.stdout), in_colour(sys.stdout)
        sys.stdout.write(render(run_of(document), width=width, colour=colour))
    return 0


def _text(
    kind: Format, documents: Sequence[dict[str, Any]], paths: Sequence[Path], chart: str
) -> str | bytes:
    from xbench.report.recall import run_of

    if kind is Format.JSON:
        from xbench.report.document import many

        return many(documents)
    if kind is Format.HTML:
        from xbench.report.html import page

        return page(documents, [_samples(path) for path in paths])
    runs = [run_of(document) for document in documents]
    if kind in (Format.PNG, Format.SVG):
        return _sheet(kind, runs, [_samples(path) for path in paths], chart)
    return _joined(kind, runs)


def _joined(kind: Format, runs: Sequence[Run]) -> str:
    from xbench.report import csv, markdown

    if kind is Format.MARKDOWN:
        return "\n".join(map(markdown.render, runs))
    first, *others = map(csv.render, runs)
    return first + "".join(other.partition("\n")[2] for other in others)


def _sheet(
    kind: Format, runs: Sequence[Run], samples: Sequence[Samples | None], chart: str
) -> str | bytes:
    from xbench.report.charts import sheet
    from xbench.report.charts.figure import Material

    materials = [Material.of(run, own) for run, own in zip(runs, samples, strict=True)]
    draw: Callable[..., str | bytes] = sheet.png if kind is Format.PNG else sheet.svg
    return draw(materials, chart)


def _document(path: Path) -> dict[str, Any]:
    """Return the document of a run; that of a folder names where it is, not where it was."""
    from xbench.archive.reading import read_document

    document, folder = read_document(path), _folder(path)
    return {**document, "folder": str(folder)} if folder else document


def _samples(path: Path) -> Samples | None:
    """Return the samples of a run's folder; None for a document, which has none."""
    from xbench.store import read_samples

    folder = _folder(path)
    return read_samples(folder) if folder and (folder / "samples.jsonl").exists() else None


def _folder(path: Path) -> Path | None:
    """Return the run folder that a path leads to; None for a document of `--json`."""
    if path.is_dir():
        return path
    return path.parent if path.name == "result.json" else None


def _deliver(content: str | bytes, target: str) -> int:
    if target == STDOUT:
        if isinstance(content, bytes):
            sys.stdout.buffer.write(content)
        else:
            sys.stdout.write(content)
        return 0
    try:
        write_file(Path(target), content)
    except OSError as error:
        print(f"error: cannot write {target}: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"Written to {target}", file=sys.stderr)
    return 0
