"""Small graphs, what they become at a precision, and what that has to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from xbench.errors import XbenchError
from xbench.graph.precision.convert import MODEL, Given, convert
from xbench.parity import compare_outputs

FLOAT, FLOAT16, BFLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
KINDS = {"fp16": FLOAT16, "bf16": BFLOAT16}
BOTH = pytest.mark.parametrize("precision", ["fp16", "bf16"])
Feeds = Mapping[str, Any]


def model(body: str, opset: int = 20, weights: Mapping[str, Any] | None = None) -> ModelProto:
    """Return the model that the text is, with more initialisers."""
    made = parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}, "own" : 1]> {body}')
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(a), name) for name, a in (weights or {}).items()
    )
    return made


def converted(made: ModelProto, folder: Path, precision: str, **saving: Any) -> ModelProto:
    """Return the model at a precision, with its weights read in; `report` lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(made, folder / "given.onnx", **saving)
    out = folder / precision
    out.mkdir()
    report = convert(Given(folder / "given.onnx", out, folder), precision)
    assert not report["unchanged"]
    return onnx.load(out / MODEL)


def refusal(made: ModelProto, folder: Path, precision: str) -> XbenchError:
    """Return the error of a conversion that cannot be."""
    with pytest.raises(XbenchError) as caught:
        converted(made, folder, precision)
    assert list((folder / precision).iterdir()) == []
    return caught.value


def types(made: ModelProto) -> Iterator[tuple[str, int]]:
    """Yield the operator and type of each value that is not the model's own input or output."""
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True)

    def of(graph: GraphProto) -> Iterator[tuple[str, int]]:
        known = {one.name: one.type.tensor_type.elem_type for one in graph.value_info}
        known |= {one.name: one.type.tensor_type.elem_type for one in graph.output}
        for node in graph.node:
            yield from ((node.op_type, known[name]) for name in node.output if name)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    yield from of(attribute.g)

    yield from of(inferred.graph)


def kinds_of(made: ModelProto, operator: str) -> set[int]:
    """Return the types that the nodes of an operator give."""
    return {kind for op, kind in types(made) if op == operator}


def edges(made: ModelProto) -> list[tuple[str, int, list[int | str]]]:
    """Return the name, type and shape of each input and output, in order."""
    return [
        (
            one.name,
            one.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim],
        )
        for one in [*made.graph.input, *made.graph.output]
    ]


def run(made: ModelProto, feeds: Feeds) -> dict[str, Any]:
    """Return the outputs by the reference evaluator."""
    names = [one.name for one in made.graph.output]
    found: Sequence[Any] = ReferenceEvaluator(made).run(None, dict(feeds))  # type: ignore[assignment]
    return dict(zip(names, found, strict=True))


def session(made: ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])


def assert_narrower(before: ModelProto, after: ModelProto, feeds: Feeds, precision: str) -> None:
    """The outputs agree within the precision's tolerance, and are not the same."""
    expected, found = run(before, feeds), run(after, feeds)
    parity = compare_outputs(expected, found, precision)
    assert parity.status == "agrees", parity
    assert any((expected[name] != found[name]).any() for name in expected)


MLP = """g (float[batch, 16] x) => (float[batch, 4] y) {
    a = MatMul(x, w)  b = Add(a, c)  d = Relu(b)  e = Gemm<transB=1>(d, v, u)  y = Softmax(e) }"""


def mlp(seed: int = 0) -> ModelProto:
    """Return two layers with an open batch."""
    rng = np.random.default_rng(seed)
    shapes = {"w": (16, 32), "c": (32,), "v": (4, 32), "u": (4,)}
    return model(MLP, weights={n: rng.standard_normal(s, np.float32) for n, s in shapes.items()})


def x(*shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
