"""A model built in a process of its own: this one imports no framework."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.errors import InterruptedRunError, ModelError

if TYPE_CHECKING:
    from xbench.progress import Progress
    from xbench.source import Source

KEPT_BYTES = 64 * 1024  # of what a build says; its last lines matter
NATIVE = "native.keras"
SAID = ".said"  # beside the model while it is built: frameworks write on every stream
WARNING, ERROR, FRAMEWORK, CONTENT = "warning: ", "error: ", "framework: ", "content: "
INSTALL_IT = "Install what makes models with: pip install 'xbench[models]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build says of the model.

    Attributes:
        framework: The adapter that runs it as it is.
        content: A digest of its weights and structure, or None where nobody asked for it.
        there: Whether a file of that content was there before, and nothing was written.
    """

    framework: str
    content: str | None
    there: bool


def build(
    source: Source,
    out: Path,
    progress: Progress,
    *,
    needs: Sequence[str] = (),
    from_here: bool = False,
    native: bool = False,
    kept: Path | None = None,
    wake_fd: int | None = None,
) -> Built:
    """Return what became of ``source``: ``out``, written as a whole or not at all.

    Args:
        source: What it is made from.
        out: The file to write; weights that do not fit in it lie beside it.
        progress: Hears of warnings.
        needs: Packages without which the build cannot start, besides those of the form.
        from_here: Whether a factory may lie in the current folder.
        native: Whether to save a Keras model beside the file too, as `NATIVE`.
        kept: How the folders of models begin that are there: ``…/NAME-``, and then the digest of
            the content. Without one there, the model is built.
        wake_fd: Becomes readable when the user asks to stop.

    Raises:
        ModelError: If it cannot be built or written.
        InterruptedRunError: If the user asked to stop.
    """
    _refuse_without((*source.form.needs, *needs), source.target)
    if out.is_dir():
        raise ModelError(f"{out} is a folder", "Name the file to write, such as model.onnx")
    try:
        with tempfile.TemporaryDirectory(prefix=".xbench-", dir=out.parent) as folder:
            made = Path(folder) / out.name
            said = Path(folder, SAID)
            command = _command(source, made, said, from_here=from_here, native=native, kept=kept)
            lines = run_builder(command, said, source.target, progress, wake_fd)
            said.unlink(missing_ok=True)
            there = not made.exists()
            for part in sorted(Path(folder).iterdir(), key=lambda part: part == made):
                part.replace(out.parent / part.name)  # the model last: then its data is there
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror}", "Choose another") from error
    framework = _said(lines, FRAMEWORK) or source.form.framework or ""
    return Built(framework=framework, content=_said(lines, CONTENT), there=there)


def run_builder(
    command: Sequence[str],
    told: Path,
    target: str,
    progress: Progress,
    wake_fd: int | None = None,
) -> list[str]:
    """Return what a build told in its file, once it has ended; nothing that it started is left.

    Raises:
        ModelError: With the build's own words, if it fails.
        InterruptedRunError: If the user asked to stop.
    """
    with _started(command) as process:
        last_words = _listen(process, wake_fd)
    lines = told.read_text().splitlines() if told.exists() else []
    for line in lines:
        if line.startswith(WARNING):
            progress.note(line.removeprefix(WARNING))
    if process.returncode:
        raise _explain(target, process.returncode, lines, last_words)
    return lines


def _refuse_without(needs: Sequence[str], target: str) -> None:
    missing = [name for name in dict.fromkeys(needs) if find_spec(name) is None]
    if missing:
        raise ModelError(f"{target} cannot be built without {', '.join(missing)}", INSTALL_IT)


def _command(
    source: Source, out: Path, said: Path, *, from_here: bool, native: bool, kept: Path | None
) -> list[str]:
    terms = source.terms
    options = {
        "--form": source.form.name,
        "--out": str(out.absolute()),
        "--said": str(said.absolute()),
        "--seed": str(source.seed),
        "--shapes": json.dumps(dict(terms.shapes)) if terms.shapes else "",
        "--inputs": str(terms.inputs.absolute()) if terms.inputs else "",
        "--kept": str(kept) if kept else "",
    }
    given = [f"{name}={value}" for name, value in options.items() if value]
    wanted = {"--trust": terms.trusted, "--native": native, "--here": from_here}
    flags = [flag for flag, is_wanted in wanted.items() if is_wanted]
    # -P: a file of the current folder must not stand in for a package that the recipe imports.
    return [sys.executable, "-P", "-m", "xbench_models.build", source.target, *given, *flags]


@contextmanager
def _started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process group that ends with this block, or with this process."""
    watched, held = os.pipe()  # at its end of file the build knows that we are gone
    try:
        process = subprocess.Popen(
            [*command, f"--parent={watched}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(watched,),
            start_new_session=True,  # Ctrl-C in the terminal is for us alone
        )
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(watched)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(held)
        assert process.stderr is not None
        process.stderr.close()


def _listen(process: subprocess.Popen[bytes], wake_fd: int | None) -> str:
    """Return the end of what the process said, when it has ended."""
    assert process.stderr is not None
    said, stderr = b"", process.stderr.fileno()
    ended = os.pidfd_open(process.pid)
    try:
        while True:
            waiting = [stderr, ended] if wake_fd is None else [stderr, ended, wake_fd]
            ready, _, _ = select.select(waiting, [], [])
            if wake_fd in ready:
                raise InterruptedRunError("stopped while a model was built")
            if stderr in ready and (chunk := os.read(stderr, 1 << 16)):
                said = (said + chunk)[-KEPT_BYTES:]
            elif ended in ready or stderr in ready:
                process.wait()
                return said.decode(errors="replace")
    finally:
        os.close(ended)


def _said(lines: Sequence[str], kind: str) -> str | None:
    return next((line.removeprefix(kind) for line in lines if line.startswith(kind)), None)


def _explain(target: str, code: int, lines: Sequence[str], last_words: str) -> ModelError:
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    if errors:
        reason, _, fix = errors[-1].rstrip(".").partition(". ")
        return ModelError(reason, fix)
    if code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
        fix = "If memory ran out, free some or build on a larger machine"
        return ModelError(f"the build of {target} {how}", fix)
    spoken = [line.strip() for line in last_words.splitlines() if line.strip()]
    last = f" ({spoken[-1][:160]})" if spoken else ""
    return ModelError(f"the build of {target} left with exit status {code}{last}")
