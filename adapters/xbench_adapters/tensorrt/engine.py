"""The engine of a model on a GPU: kept from earlier, or built now by a process of its own.

Building takes gigabytes of both memories and times thousands of kernels; none of that has a place
in a process that measures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xbench import modelfile
from xbench.adapter import BoundModel
from xbench.apart import ask
from xbench.errors import UsageError
from xbench_adapters.tensorrt import build, kept
from xbench_adapters.tensorrt.gpu import Gpu

BUILDING = "building the engine"
AS_ASKED = {"fp32", "tf32"}  # the row says what the graph holds; the others must be in the graph


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Engine:
    """An engine, and how it came to be.

    Attributes:
        serialized: As TensorRT reads it.
        report: What its building told: ``precision``, ``layers``, ``options`` and ``seconds``,
            which are those of the building even where it was kept.
        kept: ``built now``, ``built now, not kept`` or ``kept from earlier``.
    """

    serialized: bytes
    report: Mapping[str, Any]
    kept: str


def engine_of(model: BoundModel, gpu: Gpu, precision: str, tensorrt: str) -> Engine:
    """Return the engine of ``model`` on ``gpu``.

    Args:
        model: The model; its shapes become the engine's only ones.
        gpu: The GPU that it is built and tuned on.
        precision: What its arithmetic must be.
        tensorrt: TensorRT's version: no other one may run it.

    Raises:
        UnsupportedNodeError: If TensorRT refuses a node.
        UsageError: If the graph does not hold the precision.
        DeviceMemoryError: If the GPU has too little memory to build it.
    """
    what = _built_from(model, gpu, precision, tensorrt)
    with kept.alone(kept.key(what)):
        if found := kept.find(what):
            engine, report, how = found.engine, found.report, "kept from earlier"
        else:
            engine, report = _built(model, gpu, precision, what["on"])
            how = "built now" if kept.keep(what, engine, report) else "built now, not kept"
    _check_precision(report["precision"], precision)
    return Engine(engine, report, how)


def parse(model: BoundModel, gpu: Gpu, precision: str) -> None:
    """Raise what building the engine would, as far as TensorRT's parser can tell.

    Raises:
        UnsupportedNodeError: If TensorRT refuses a node.
        UsageError: If the graph does not hold the precision.
    """
    with TemporaryDirectory(prefix="xbench-tensorrt-") as folder:
        job = _job(model, gpu, precision, Path(folder))
        report = ask(build.__name__, {**job, "only_parse": True}, Path(folder), BUILDING)
    _check_precision(report["precision"], precision)


def _built_from(model: BoundModel, gpu: Gpu, precision: str, tensorrt: str) -> dict[str, Any]:
    """Return all that decides an engine's content, as JSON can hold it."""
    files = modelfile.external_files(modelfile.parse(model.path), model.path.parent)
    device = asdict(gpu)
    for spelled in ("name", "ordinal"):  # the same GPU may have another number tomorrow
        del device[spelled]
    return {
        "model": modelfile.content_sha256(model.path, files),
        "shapes": {name: list(shape) for name, shape in model.shapes.items()},
        "on": {"tensorrt": tensorrt, "cuda_bindings": _cuda_version(), "gpu": device},
        "options": {"tf32": precision == "tf32", **build.OPTIONS},
        "builder": hashlib.sha256(Path(build.__file__).read_bytes()).hexdigest(),
    }


def _built(
    model: BoundModel, gpu: Gpu, precision: str, on: Mapping[str, Any]
) -> tuple[bytes, dict[str, Any]]:
    """Return a new engine and what its building told."""
    with TemporaryDirectory(prefix="xbench-tensorrt-") as folder:
        job = _job(model, gpu, precision, Path(folder))
        timings = kept.timings(on)
        report = ask(
            build.__name__,
            {**job, "timings": str(timings) if timings else None},
            Path(folder),
            BUILDING,
        )
        return (Path(folder) / kept.ENGINE).read_bytes(), report


def _job(model: BoundModel, gpu: Gpu, precision: str, folder: Path) -> dict[str, Any]:
    return {
        "model": str(model.path),
        "shapes": {name: list(shape) for name, shape in model.shapes.items()},
        "ordinal": gpu.ordinal,
        "tf32": precision == "tf32",
        "engine": str(folder / kept.ENGINE),
    }


def _check_precision(held: str | None, asked: str) -> None:
    """Raise unless a product holds the precision, where that must be in the graph itself."""
    if asked not in AS_ASKED and asked not in (held or "").split("+"):
        reason = f"the graph computes in {held or 'whole numbers'}, and {asked} was asked for"
        fix = "TensorRT takes the graph's own arithmetic: give it a graph that was converted"
        raise UsageError(reason, fix)


def _cuda_version() -> str:
    try:
        return version("cuda-bindings")
    except PackageNotFoundError:
        return "none"
