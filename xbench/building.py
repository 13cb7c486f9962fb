"""A model built in a process of its own: this one imports no framework."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.errors import InterruptedRunError, ModelError

if TYPE_CHECKING:
    from xbench.progress import Progress

EXPORTERS = ("xbench_models", "torch", "onnx", "onnxscript")
BUILDERS = (*EXPORTERS, "transformers")
KEPT_BYTES = 64 * 1024  # of what a build says; its last lines matter
WARNING, ERROR = "warning: ", "error: "


def build(
    factory: str,
    out: Path,
    seed: int,
    progress: Progress,
    *,
    needs: Sequence[str] = EXPORTERS,
    from_here: bool = False,
    wake_fd: int | None = None,
) -> Path:
    """Return ``out``, written as a whole or not at all.

    Args:
        factory: ``module:factory``.
        out: The file to write; weights that do not fit in it lie beside it.
        seed: Of the weights.
        progress: Hears of warnings.
        needs: Packages without which the build cannot start.
        from_here: Whether the factory may lie in the current folder.
        wake_fd: Becomes readable when the user asks to stop.

    Raises:
        ModelError: If it cannot be built or written.
        InterruptedRunError: If the user asked to stop.
    """
    missing = [name for name in needs if find_spec(name) is None]
    if missing:
        fix = "Install what builds models with: pip install 'xbench[models]'"
        raise ModelError(f"{factory} cannot be built without {', '.join(missing)}", fix)
    if out.is_dir():
        raise ModelError(f"{out} is a folder", "Name the file to write, such as model.onnx")
    try:
        with tempfile.TemporaryDirectory(prefix=".xbench-", dir=out.parent) as folder:
            made = Path(folder) / out.name
            run_builder(_command(factory, made, seed, from_here), factory, progress, wake_fd)
            for part in sorted(Path(folder).iterdir(), key=lambda part: part == made):
                part.replace(out.parent / part.name)  # the model last: then its data is there
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror}", "Choose another") from error
    return out


def run_builder(
    command: Sequence[str], factory: str, progress: Progress, wake_fd: int | None = None
) -> None:
    """Run a build to its end; nothing that it started is left, whatever happens.

    Raises:
        ModelError: With the build's own words, if it fails.
        InterruptedRunError: If the user asked to stop.
    """
    with _started(command) as process:
        said = _listen(process, wake_fd)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in lines:
        if line.startswith(WARNING):
            progress.note(line.removeprefix(WARNING))
    if process.returncode:
        raise _explain(factory, process.returncode, lines)


def _command(factory: str, out: Path, seed: int, from_here: bool) -> list[str]:
    module = ["-m", "xbench_models.build", factory, "--out", str(out.absolute()), f"--seed={seed}"]
    # -P: a file of the current folder must not stand in for a package that the recipe imports.
    return [sys.executable, *([] if from_here else ["-P"]), *module]


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


def _explain(factory: str, code: int, lines: Sequence[str]) -> ModelError:
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    if errors:
        reason, _, fix = errors[-1].rstrip(".").partition(". ")
        return ModelError(reason, fix)
    if code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
        fix = "If memory ran out, free some or build on a larger machine"
        return ModelError(f"the build of {factory} {how}", fix)
    last = f" ({lines[-1][:160]})" if lines else ""
    return ModelError(f"the build of {factory} left with exit status {code}{last}")
