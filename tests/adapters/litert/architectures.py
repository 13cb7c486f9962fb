"""What TensorFlow and LiteRT make of the models that `exported` writes.

``python -m tests.adapters.litert.architectures FRAMEWORK:FOLDER`` reads their names.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tests.adapters.litert.children import answer
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.errors import UnsupportedNodeError
from xbench.inputs import load_feeds

LIMITS = Limits(threads=1)
LARGEST_ERROR = 1e-4  # of the largest element


def outcome(framework: str, folder: Path, name: str) -> str:
    """Return ``agrees`` and the error, ``refused`` and the node, or ``wrong`` and how."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # casts of NaN, on purpose
        try:
            found, wanted = _answers(framework, folder, name)
        except UnsupportedNodeError as error:
            return f"refused: {error.node} ({error.operator}): {error.detail}"
        except Exception as error:  # whatever else it raises is a fault
            return f"wrong: raised {type(error).__name__}: {error}"
    if list(found) != list(wanted):
        return f"wrong: outputs {list(found)} for {list(wanted)}"
    errors = [_error(found[key], wanted[key]) for key in wanted]
    said = "agrees" if max(errors) <= LARGEST_ERROR else "wrong"
    return f"{said}: off by {max(errors):.0e} of the largest element"


def _answers(framework: str, folder: Path, name: str) -> tuple[Any, Any]:
    feeds, wanted = load_feeds(folder / f"{name}.npz")
    specs = tuple(TensorSpec(key, one.dtype.name, one.shape) for key, one in feeds.items())
    model = BoundModel(folder / f"{name}.onnx", specs, tuple(wanted), {})
    session = _tensorflow(model) if framework == "tensorflow" else _litert(model, folder)
    session.bind(feeds)
    session.run()
    session.synchronize()
    found = session.outputs()
    session.close()
    return found, wanted


def _tensorflow(model: BoundModel) -> Any:
    from xbench_adapters.tensorflow import TensorFlowAdapter

    return TensorFlowAdapter().load(model, LIMITS, "fp32")


def _litert(model: BoundModel, folder: Path) -> Any:
    """Return a session of what is converted here and now, and not in a process of its own."""
    from xbench_adapters.litert.convert import Converted
    from xbench_adapters.litert.flatbuffer import flatbuffer, read
    from xbench_adapters.litert.session import LiteRtSession

    graph = read(model.path, model.shapes)
    path = folder / f"{model.path.stem}.tflite"
    path.write_bytes(flatbuffer(graph))
    dtypes = [graph.value(name).dtype for name in graph.results]
    made = Converted(path, "", tuple(one and one.name for one in dtypes), 0.0, "now")
    return LiteRtSession.of_converted(model, made, LIMITS)


def _error(found: Any, wanted: Any) -> float:
    """Return the largest error as a share of the largest element; infinite for another shape.

    Where elements hardly differ from each other it is a share of how much they do.
    """
    if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
        return float("inf")
    worst = np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max()
    scale = min(np.abs(wanted.astype(np.float64)).max(), 1e3 * wanted.astype(np.float64).std())
    return float(worst / scale) if np.isfinite(worst) and scale else float("inf")


def main(framework: str, folder: Path) -> None:
    """Write what a framework makes of each model that is named."""
    from xbench_adapters.tensorflow import TensorFlowAdapter

    TensorFlowAdapter().prepare(LIMITS)
    answer(lambda name: outcome(framework, folder, name))


if __name__ == "__main__":
    asked, _, place = sys.argv[1].partition(":")
    main(asked, Path(place))
