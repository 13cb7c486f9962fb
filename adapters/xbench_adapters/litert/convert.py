"""From an ONNX model to a LiteRT flatbuffer: imported in TensorFlow, then converted.

``python -m xbench_adapters.litert.convert JSON`` does it in a process of its own, since
TensorFlow's threads and memory have no place in a process that measures LiteRT. What was made
before, of the same model in the same way, is taken from the cache, without TensorFlow.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from xbench.apart import answer, ask
from xbench_adapters.litert import kept

if TYPE_CHECKING:
    from xbench.adapter import BoundModel


@dataclass(frozen=True, slots=True)
class Converted:
    """A flatbuffer in a file, and how it came to be.

    Attributes:
        path: The file. Its signature takes ``input_0`` … and gives ``output_0`` …
        importer: What was imported, and by what it was converted.
        dtypes: ONNX's element type of each output by NumPy's name; None where not known.
        seconds: How long it took to make, whenever that was.
        when: ``now``, or ``earlier`` if it was kept from another run.
    """

    path: Path
    importer: str
    dtypes: tuple[str | None, ...]
    seconds: float
    when: str


def convert(model: BoundModel, variant: str, folder: Path) -> Converted:
    """Return the flatbuffer of ``model``, which another process has made or found.

    It lies in the cache, or in ``folder`` where that cannot be written.

    Raises:
        UnsupportedNodeError: If a node cannot be imported, or LiteRT has no such operator.
        XbenchError: Whatever else the importer says of the model.
        MemoryError: If the process was killed, most likely for memory.
        RuntimeError: If it failed in another way.
    """
    job = {
        "model": str(model.path),
        "shapes": model.shapes,
        "variant": variant,
        "calibration": str(model.calibration) if model.calibration and variant == "int8" else None,
        "folder": str(folder),
    }
    said = ask(__name__, job, folder, "the conversion")
    return Converted(
        Path(said["path"]), said["importer"], tuple(said["dtypes"]), said["seconds"], said["when"]
    )


# In the other process


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    """Return where the flatbuffer lies, and how it came to be."""
    name = kept.key(_content(job))
    with kept.alone(name):
        if found := kept.find(name):
            return {**found.report, "path": str(found.path), "when": "earlier"}
        flatbuffer, report = _converted(job)
        found = kept.keep(name, flatbuffer, report)
    if found is None:
        path = Path(job["folder"]) / kept.FLATBUFFER
        path.write_bytes(flatbuffer)
        return {**report, "path": str(path), "when": "now"}
    return {**report, "path": str(found.path), "when": "now"}


def _content(job: dict[str, Any]) -> dict[str, Any]:
    """Return what decides the flatbuffer's content."""
    from xbench import modelfile

    model, calibration = Path(job["model"]), job["calibration"]
    files = modelfile.external_files(modelfile.parse(model), model.parent)
    sets = Path(calibration).read_bytes() if calibration else b""
    return {
        "model": modelfile.content_sha256(model, files),
        "shapes": job["shapes"],
        "variant": job["variant"],
        "calibration": hashlib.sha256(sets).hexdigest(),
    }


def _converted(job: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Return a new flatbuffer, and the report that is kept with it."""
    from xbench.adapter import Limits
    from xbench.inputs import load_feeds
    from xbench_adapters.tensorflow import TensorFlowAdapter
    from xbench_adapters.tensorflow.adapter import importer

    start_s = perf_counter()
    version = TensorFlowAdapter().prepare(Limits(threads=len(os.sched_getaffinity(0))))
    from xbench_adapters.litert.flatbuffer import flatbuffer, read  # TensorFlow is set up now

    shapes = {name: tuple(shape) for name, shape in job["shapes"].items()}
    graph = read(Path(job["model"]), shapes)
    sets = load_feeds(Path(job["calibration"])) if job["calibration"] else ()
    made = flatbuffer(graph, job["variant"], sets)
    how = [f"converted by TensorFlow {version}"]
    how += [f"calibrated on {len(sets)} input sets"] if sets else []
    dtypes = [graph.value(name).dtype for name in graph.results]
    return made, {
        "importer": importer(graph, *how),
        "dtypes": [dtype and dtype.name for dtype in dtypes],
        "seconds": perf_counter() - start_s,
    }


if __name__ == "__main__":
    answer(_answer)
