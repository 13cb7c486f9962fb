"""From an ONNX model to a LiteRT flatbuffer: imported in TensorFlow, then converted.

``python -m xbench_adapters.litert.convert JSON`` does it in a process of its own, since
TensorFlow's threads and memory have no place in a process that measures LiteRT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench import errors
from xbench.errors import UnsupportedNodeError, XbenchError

if TYPE_CHECKING:
    from xbench_adapters.tensorflow.importer import Imported


@dataclass(frozen=True, slots=True)
class Converted:
    """A flatbuffer in a file, and how it came to be.

    Attributes:
        path: The file. Its signature takes ``input_0`` … and gives ``output_0`` …
        importer: What was imported, and by what it was converted.
        dtypes: ONNX's element type of each output by NumPy's name; None where not known.
    """

    path: Path
    importer: str
    dtypes: tuple[str | None, ...]


def convert(model: Path, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> Converted:
    """Return the flatbuffer of ``model``, written to ``folder`` by another process.

    Raises:
        UnsupportedNodeError: If a node cannot be imported, or LiteRT has no such operator.
        XbenchError: Whatever else the importer says of the model.
        MemoryError: If the process was killed, most likely for memory.
        RuntimeError: If it failed in another way.
    """
    path, report = folder / "model.tflite", folder / "report.json"
    job = {"model": str(model), "shapes": shapes, "path": str(path), "report": str(report)}
    found = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(job)],
        env={**os.environ, "PYTHONPATH": found},
        stdin=subprocess.DEVNULL,
        stdout=2,  # beside stderr, in the worker's log
    )
    if done.returncode < 0:
        raise MemoryError(f"the conversion was ended by signal {-done.returncode}")
    if done.returncode or not report.exists():
        raise RuntimeError(f"the conversion ended with exit status {done.returncode}")
    said = json.loads(report.read_text())
    if error := said.get("error"):
        raise _raised(error["type"], error["arguments"])
    return Converted(path, said["importer"], tuple(said["dtypes"]))


def _raised(kind: str, arguments: list[Any]) -> Exception:
    """Return the error that the other process met."""
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, XbenchError):
        return known(*arguments)
    return RuntimeError(f"{kind}: {arguments[0]}")


# In the other process


def main() -> None:
    """Convert what the argument names, and write what happened to its report."""
    job = json.loads(sys.argv[1])
    shapes = {name: tuple(shape) for name, shape in job["shapes"].items()}
    try:
        said = _converted(Path(job["model"]), shapes, Path(job["path"]))
    except XbenchError as error:
        said = {"error": {"type": type(error).__name__, "arguments": list(error.args)}}
    except Exception as error:  # the process's boundary: the other one must hear of it
        traceback.print_exc()
        said = {"error": {"type": type(error).__name__, "arguments": [str(error)]}}
    Path(job["report"]).write_text(json.dumps(said))


def _converted(model: Path, shapes: dict[str, tuple[int, ...]], path: Path) -> dict[str, Any]:
    from xbench.adapter import Limits
    from xbench_adapters.tensorflow import TensorFlowAdapter, import_onnx
    from xbench_adapters.tensorflow.adapter import importer

    version = TensorFlowAdapter().prepare(Limits(threads=len(os.sched_getaffinity(0))))
    module = import_onnx(model, shapes)
    path.write_bytes(flatbuffer(module))
    dtypes = [module.graph.value(name).dtype for name in module.graph.results]
    return {
        "importer": importer(module.graph, f"converted by TensorFlow {version}"),
        "dtypes": [dtype and dtype.name for dtype in dtypes],
    }


def flatbuffer(module: Imported) -> bytes:
    """Return an imported module as LiteRT reads it; the weights stay as they are.

    Raises:
        UnsupportedNodeError: If LiteRT's own operators do not do.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    named = [
        tf.TensorSpec(one.shape, one.dtype, name=f"input_{place}")
        for place, one in enumerate(module.call.input_signature)
    ]

    def serve(*inputs: Any) -> dict[str, Any]:
        return {f"output_{place}": one for place, one in enumerate(module.call(*inputs))}

    function = tf.function(serve, input_signature=named, autograph=False)
    whole = function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([whole], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        found: bytes = converter.convert()
    except ConverterError as error:
        raise refusal(error, module) from error
    return found


def refusal(error: Any, module: Imported) -> UnsupportedNodeError:
    """Return the typed error behind a converter's error, which has the operations by name."""
    from xbench_adapters.tensorflow.importer import node_of

    said = [one for one in error.errors if one.operator.name]
    kind = said[0].operator.name if said else "?"
    if kind != "?" and "neither a custom op nor a flex op" in said[0].error_message:
        detail = f"LiteRT has no {kind} of its own, only TensorFlow's"
    else:
        text = said[0].error_message if said else str(error)
        detail = f"the converter to LiteRT says: {' '.join(text.split())[:200]}"
    places = [call.name.partition("@")[0] for one in said for call in one.location.call]
    for place in (*places, *_places(module, kind.removeprefix("tf."))):
        if node := node_of(module.graph, place):
            spelled = f"{node.domain}::{node.operator}" if node.domain else node.operator
            return UnsupportedNodeError(node.name, spelled, node.version, detail)
    return UnsupportedNodeError("?", kind, 0, detail)


def _places(module: Imported, kind: str) -> Iterator[str]:
    """Yield where operations of a kind stand in what was traced, by their path of scopes."""
    graph = module.call.get_concrete_function().graph.as_graph_def()
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            if node.op == kind:
                yield node.name


if __name__ == "__main__":
    main()
