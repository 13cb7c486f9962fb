"""A model's file at the precision asked for: made once, in a process of its own, and kept.

It lies in ``precision/`` of the cache, by the content of the model, the precision, what converts
and, for int8, the inputs that it is calibrated on. See ``docs/precision.md``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench import modelfile
from xbench.apart import ask
from xbench.errors import UsageError
from xbench.inputs import feeds_sha256, load_feeds
from xbench.modelcache import (
    Kept,
    alone,
    in_cache,
    making_of,
    sources_of,
    version_of,
)

if TYPE_CHECKING:
    from xbench.adapter import BoundModel
    from xbench.progress import Progress

PRECISIONS = ("fp16", "bf16", "int8")
UNCHANGED = ("fp32", "tf32")
CONVERTER = "xbench.graph.precision.convert"
MODEL, REPORT, LOG = "model.onnx", "report.json", "log"
FOLDER = "precision"
MADE_BY = ("onnx", "onnxruntime", "onnxruntime-gpu", "numpy", "ml-dtypes")
SOURCES = ("xbench.graph.precision", "xbench.modelfile", "xbench.graph.read")
VNNI = frozenset({"avx_vnni", "avx512_vnni", "avx_vnni_int8", "amx_int8"})
CALIBRATE = "Give input sets to calibrate on: --calibration FILE.npz"


def narrowed(
    model: BoundModel, precision: str, progress: Progress, wake_fd: int | None = None
) -> BoundModel:
    """Return the model with the file that computes at ``precision``; itself at fp32 and tf32.

    Args:
        model: With `calibration`, where int8 is asked for.
        precision: A key of `xbench.parity.TOLERANCE`.
        progress: Hears of the conversion, and of weights beyond the range of the precision.
        wake_fd: Becomes readable when the user asks to stop.

    Raises:
        UsageError: If nothing in the model could be of that precision, or it is no such.
        UnsupportedNodeError: If a node that does the model's arithmetic cannot be.
        ModelError: If the file cannot be read, or the cache cannot be written.
        BackendUnavailableError: If what quantises is not installed.
        InterruptedRunError: If the user asked to stop.
        MemoryError: If the process that converts was killed, most likely for memory.
        RuntimeError: If it failed in another way.
    """
    if precision in UNCHANGED:
        return model
    if precision not in PRECISIONS:
        known = ", ".join((*UNCHANGED, *PRECISIONS))
        raise UsageError(f"there is no precision {precision!r}", f"Take one of {known}")
    if precision == "int8" and model.calibration is None:
        raise UsageError("int8 needs inputs to choose its scales by", CALIBRATE)
    digest = _key(model, precision)
    find = partial(_found, model, f"{precision}-{digest}", precision, progress, wake_fd)
    kept = in_cache(precision, find, FOLDER)
    told = report(kept.path)
    for note in told["notes"]:
        progress.note(f"{precision}: {note}")
    if told["unchanged"]:
        return replace(model, native=None)
    return replace(model, path=kept.path, native=None)


def report(path: Path) -> dict[str, Any]:
    """Return what was said of the conversion whose file, or whose place for one, ``path`` is.

    ``unchanged`` is true where the model was so already, and ``notes`` are for people. Otherwise
    ``narrow_nodes`` counts the nodes at that precision, and ``kept_float32`` the others, by
    operator.
    """
    told: dict[str, Any] = json.loads(path.with_name(REPORT).read_text())
    return told


def saturates(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the CPU adds two products of 8 bits in 16, where they may not fit.

    x86 without VNNI does: its one instruction for such products saturates. Weights of 7 bits are
    small enough for it, which is what ONNX Runtime advises there.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return "sse2" in flags and VNNI.isdisjoint(flags)


def _found(
    model: BoundModel,
    name: str,
    precision: str,
    progress: Progress,
    wake_fd: int | None,
    top: Path,
) -> Kept:
    """Return the file in the cache, which is made unless it is there and whole."""
    folder = top / name
    if not _is_whole(folder):
        with alone(folder, progress, wake_fd):
            if not _is_whole(folder):  # another may have made it while we waited
                progress.phase(f"converting the model to {precision}, once: it is kept in {top}")
                with making_of(folder) as making:
                    _make(model, precision, making, wake_fd)
                    shutil.rmtree(folder, ignore_errors=True)  # there only if it is damaged
                    making.rename(folder)
    return Kept(folder / MODEL, "")


def _make(model: BoundModel, precision: str, folder: Path, wake_fd: int | None) -> None:
    work = folder / "work"
    work.mkdir()
    job = {
        "model": str(model.path.absolute()),
        "precision": precision,
        "folder": str(folder.absolute()),
        "calibration": str(model.calibration.absolute()) if model.calibration else None,
        "work": str(work.absolute()),
        "saturates": saturates(),
    }
    what = f"the conversion to {precision}"
    said = ask(CONVERTER, job, work, what, wake_fd=wake_fd, log=work / LOG)
    shutil.rmtree(work)
    files = {path.name: _fingerprint(path) for path in sorted(folder.iterdir())}
    (folder / REPORT).write_text(json.dumps({**said, "files": files}, indent=1))


def _is_whole(folder: Path) -> bool:
    """Return whether a conversion is there as it was made: no full disk, no stray hand."""
    try:
        files: Mapping[str, str] = report(folder / MODEL)["files"]
        return all(_fingerprint(folder / name) == known for name, known in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(model: BoundModel, precision: str) -> str:
    """Return what tells a conversion's content."""
    files = modelfile.external_files(modelfile.parse(model.path), model.path.parent)
    digest = hashlib.sha256(modelfile.content_sha256(model.path, files).encode())
    digest.update(precision.encode())
    if precision == "int8" and model.calibration is not None:
        digest.update(feeds_sha256(load_feeds(model.calibration)).encode())
        digest.update(f"\nsaturates {saturates()}".encode())
    for package in SOURCES:
        for path in sources_of(package):
            digest.update(f"\n{path.name} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    for package in MADE_BY:
        digest.update(f"\n{package} {version_of(package)}".encode())
    return digest.hexdigest()[:24]
