"""ONNX's backend tests through LiteRT: passed, refused with a reason, or wrong."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.adapters.litert.children import answer, answers
from tests.adapters.onnx_suite import Case, Value, difference, model_cases, node_cases
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.errors import UnsupportedNodeError

LIMITS = Limits(threads=1)


def outcomes(kind: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the outcome of each case, found in processes of their own."""
    yield from answers(__name__, kind, names)


def outcome(case: Case) -> str:
    """Return ``passed``, ``unimported: `` or ``refused: `` and why, or ``wrong: `` and how."""
    from xbench_adapters.tensorflow import import_onnx

    tensors = {one.name for one in case.model.graph.input if one.type.HasField("tensor_type")}
    shapes = {name: np.shape(one) for name, one in _feeds(case, 0).items() if name in tensors}
    with warnings.catch_warnings(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # casts of NaN, on purpose
        stage = "unimported"
        try:
            module = import_onnx(case.model, shapes)
            stage = "refused"
            session = _session(case, module.graph, Path(folder) / "case.tflite")
            return _run(case, session)
        except UnsupportedNodeError as error:
            return f"{stage}: {error.operator}: {error.detail}"
        except Exception as error:  # whatever else it raises is a fault
            return f"wrong: raised {type(error).__name__}: {error}"


def _session(case: Case, graph: Any, path: Path) -> Any:
    from xbench_adapters.litert.convert import Converted
    from xbench_adapters.litert.flatbuffer import flatbuffer
    from xbench_adapters.litert.session import LiteRtSession

    path.write_bytes(flatbuffer(graph))
    dtypes = [graph.value(name).dtype for name in graph.results]
    made = Converted(path, "", tuple(one and one.name for one in dtypes), 0.0, "now")
    specs = tuple(TensorSpec(n, o.dtype.name, o.shape) for n, o in _feeds(case, 0).items())
    outputs = tuple(one.name for one in case.model.graph.output)
    return LiteRtSession.of_converted(BoundModel(path, specs, outputs, {}), made, LIMITS)


def _run(case: Case, session: Any) -> str:
    for place, (_, outputs) in enumerate(case.data):
        session.bind(_feeds(case, place))
        session.run()
        for have, want in zip(session.outputs().values(), outputs, strict=True):
            if said := difference(have, want, case):
                return f"wrong: {said}"
    return "passed"


def _feeds(case: Case, place: int) -> dict[str, Value]:
    names = (one.name for one in case.model.graph.input)
    return dict(zip(names, case.data[place][0], strict=False))


def main(kind: str) -> None:
    """Write the outcome of each case that is named."""
    from xbench_adapters.tensorflow import TensorFlowAdapter

    TensorFlowAdapter().prepare(LIMITS)
    cases = {one.name: one for one in (node_cases() if kind == "node" else model_cases(kind))}
    answer(lambda name: outcome(cases[name]))


if __name__ == "__main__":
    main(sys.argv[1])
