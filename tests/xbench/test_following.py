"""Shapes that follow from shape arithmetic are found, and are those that a runtime gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.graphs import BOOL, FLOAT, make, node
from xbench.adapter import BoundModel, TensorSpec
from xbench.flops import infer, shapes_of
from xbench.following import follow_shapes, inference_flops
from xbench.modelfile import forget_large

LARGE = 2000  # elements of which the values are dropped


def positions() -> onnx.ModelProto:
    """Return what exporters make of "the first n positions": lengths over many small nodes."""
    return make(
        [
            node("Shape", ["x"], ["shape"], start=1, end=2),
            node("Squeeze", ["shape", "zero"], ["n"]),
            node("Mul", ["n", "one"], ["same"]),
            node("Unsqueeze", ["same", "zero"], ["end"]),
            node("Slice", ["places", "zero", "end", "zero"], ["first"]),
            node("Gather", ["table", "first"], ["rows"]),
            node("Add", ["x", "rows"], ["sum"]),
            node("Range", ["nothing", "n", "step"], ["count"]),
            node("Cast", ["count"], ["floats"], to=FLOAT),
            node("MatMul", ["sum", "w"], ["y"]),
        ],
        {"x": (FLOAT, ["batch", "length", 4])},
        {"y": (FLOAT, ["batch", "length", 500]), "floats": (FLOAT, ["length"])},
        {
            "zero": np.array([0]),
            "one": np.array(1),
            "nothing": np.array(0),
            "step": np.array(1),
            "places": np.arange(64),
            "table": np.ones((LARGE, 4), np.float32),
            "w": np.ones((4, 500), np.float32),
        },
    )


def followed(model: onnx.ModelProto, **shapes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return every shape that is known, of a model as the command holds it: without weights."""
    light = onnx.ModelProto.FromString(model.SerializeToString())
    forget_large(light, Path())
    inputs = tuple(TensorSpec(name, "float32", shape) for name, shape in shapes.items())
    return shapes_of(follow_shapes(infer(BoundModel(Path("none"), inputs, (), {}), light)))


@settings(deadline=None, max_examples=25, derandomize=True)
@given(batch=st.integers(1, 3), length=st.integers(1, 64))
def test_every_value_has_the_shape_that_a_runtime_gives(batch: int, length: int) -> None:
    model = positions()
    found = followed(model, x=(batch, length, 4))
    names = [name for one in model.graph.node for name in one.output]
    given_already = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in given_already
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session: Any = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    arrays = session.run(names, {"x": np.ones((batch, length, 4), np.float32)})
    assert {name: found.get(name) for name in names} == {
        name: array.shape for name, array in zip(names, arrays, strict=True)
    }


def test_what_depends_on_data_stays_unknown_and_so_does_what_follows_from_it() -> None:
    model = make(
        [
            node("Compress", ["x", "c"], ["some"], axis=0),
            node("MatMul", ["some", "w"], ["y"]),
            node("Relu", ["x"], ["z"]),
        ],
        {"x": (FLOAT, [8, 4]), "c": (BOOL, [8])},
        {"y": (FLOAT, ["some", 2]), "z": (FLOAT, [8, 4])},
        {"w": np.ones((4, 2), np.float32)},
    )
    assert not {"some", "y"} & followed(model).keys()


def test_large_constants_need_no_values() -> None:
    """Some exports keep weights as attributes of `Constant`; their values were dropped."""
    large = onnx.numpy_helper.from_array(np.ones((LARGE, 4), np.float32))
    model = positions()
    model.graph.node.insert(0, node("Constant", [], ["kept"], value=large))
    model.graph.node.append(node("Gather", ["kept", "first"], ["others"]))
    found = followed(model, x=(2, 7, 4))
    assert found["kept"] == (LARGE, 4)
    assert found["others"] == found["rows"] == (7, 4)


def test_the_model_itself_keeps_its_nodes_and_outputs() -> None:
    light = positions()
    forget_large(light, Path())
    before = infer(
        BoundModel(Path("none"), (TensorSpec("x", "float32", (1, 5, 4)),), (), {}), light
    )
    nodes, outputs = len(before.graph.node), [one.name for one in before.graph.output]
    after = follow_shapes(before)
    assert len(after.graph.node) == nodes
    assert [one.name for one in after.graph.output] == outputs
    assert {one.name for one in after.graph.initializer} >= {"table", "w"}


def test_where_the_evaluation_gets_stuck_the_rest_stays_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import xbench.graph.evaluate

    def stuck(*_: Any) -> None:
        raise RuntimeError("a node that nobody thought of")

    monkeypatch.setattr(xbench.graph.evaluate, "evaluate", stuck)
    found = followed(positions(), x=(2, 7, 4))
    assert found["x"] == (2, 7, 4)
    assert found["shape"] == (1,)


def test_operations_are_counted_where_a_shape_has_to_be_followed(tmp_path: Path) -> None:
    """A product of (batch, length, 4) with (4, 500), of which ONNX's inference knows no length."""
    onnx.save(positions(), tmp_path / "m.onnx")
    inputs = (TensorSpec("x", "float32", (2, 7, 4)),)
    bound = BoundModel(tmp_path / "m.onnx", inputs, ("y", "floats"), {})
    assert inference_flops(bound) == 2 * (2 * 7 * 4 * 500)
