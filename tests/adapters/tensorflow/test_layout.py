"""Operators that move elements, on images whose channels lie last by then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.adapters.graphs import ints, model, normal, onnxruntime_says
from tests.adapters.tensorflow.importer import agree, kinds_of, ran
from xbench_adapters.tensorflow import import_onnx

node = helper.make_node

IN_SPACE: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "concat": ([node("Concat", ["c", "x"], ["y"], axis=1)], {}),
    "concat rows": ([node("Concat", ["c", "c"], ["y"], axis=-2)], {}),
    "split": ([node("Split", ["c"], ["y1", "y2"], axis=1, num_outputs=2)], {}),
    "split columns": ([node("Split", ["c"], ["y1", "y2"], axis=3, num_outputs=2)], {}),
    "slice": (
        [node("Slice", ["c", "s", "e", "a", "t"], ["y"])],
        {"s": ints(3, -1), "e": ints(1, -9), "a": ints(1, 3), "t": ints(-1, -2)},
    ),
    "pad": ([node("Pad", ["c", "p"], ["y"])], {"p": ints(0, 1, 2, 0, 0, 0, 1, -1)}),
    "reflect": (
        [node("Pad", ["c", "p"], ["y"], mode="reflect")],
        {"p": ints(0, 0, 2, 1, 0, 0, 1, 1)},
    ),
    "edge": ([node("Pad", ["c", "p"], ["y"], mode="edge")], {"p": ints(0, 0, 2, 1, 0, 0, 1, 1)}),
    "to space": ([node("DepthToSpace", ["c"], ["y"], blocksize=2)], {}),
    "to space by columns": ([node("DepthToSpace", ["c"], ["y"], blocksize=2, mode="CRD")], {}),
    "to depth": ([node("SpaceToDepth", ["c"], ["y"], blocksize=2)], {}),
    "there and back": (
        [
            node("Transpose", ["c"], ["z"], perm=[0, 2, 3, 1]),
            node("Mul", ["z", "w"], ["v"]),
            node("Transpose", ["v"], ["u"], perm=[0, 3, 1, 2]),
            node("Add", ["u", "c"], ["y"]),
        ],
        {"w": normal(4, seed=5)},
    ),
    "to rows": (
        [
            node("Reshape", ["c", "s"], ["r"]),
            node("Transpose", ["r"], ["y"], perm=[0, 2, 1]),
        ],
        {"s": ints(2, 4, -1)},
    ),
    "flatten": ([node("Flatten", ["c"], ["y"])], {}),
    "with axes in between": (
        [
            node("Unsqueeze", ["c", "a"], ["u"]),
            node("Relu", ["u"], ["y"]),
            node("Squeeze", ["y", "a"], ["y2"]),
            node("Unsqueeze", ["y2", "front"], ["y3"]),
        ],
        {"a": ints(-1, 2), "front": ints(1)},
    ),
    "shape": (
        [node("Shape", ["c"], ["y"]), node("Cast", ["c"], ["y2"], to=TensorProto.DOUBLE)],
        {},
    ),
    "other channels": ([node("Reshape", ["c", "s"], ["y"])], {"s": ints(2, 8, 2, 6)}),
}


@pytest.mark.parametrize("case", IN_SPACE)
@pytest.mark.parametrize("way", ["known", "open"])
def test_images_with_their_channels_last_are_moved_alike(case: str, way: str) -> None:
    nodes, told = IN_SPACE[case]
    x = normal(2, 4, 4, 6)
    first = node("Transpose", ["x_last"], ["x"], perm=[0, 3, 1, 2])
    again = node("Relu", ["x"], ["c"])
    feeds = {"x_last": np.ascontiguousarray(x.transpose(0, 2, 3, 1))}
    names = [name for one in nodes for name in one.output if name.startswith("y")]
    whole = model([first, again, *nodes], feeds, names, told)
    if way == "open":
        for place, dim in enumerate(whole.graph.input[0].type.tensor_type.shape.dim):
            dim.dim_param = f"d{place}" if place != 3 else ""
            if place == 3:
                dim.dim_value = 4
    for want, have in zip(onnxruntime_says(whole, feeds), ran(whole, feeds), strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(have, want, rtol=1e-6)


def test_an_order_that_only_tells_the_layout_costs_nothing() -> None:
    nodes, told = IN_SPACE["there and back"]
    first = node("Transpose", ["x"], ["c"], perm=[0, 3, 1, 2])
    last = node("Transpose", ["y"], ["z2"], perm=[0, 2, 3, 1])
    module = import_onnx(model([first, *nodes, last], {"x": normal(2, 3, 5, 4)}, ["z2"], told))
    assert "Transpose" not in used_types(module)


def used_types(module: Any) -> list[str]:
    """Return the types of the operations that the outputs need."""
    graph = module.call.get_concrete_function().graph
    used: set[str] = set()
    waiting = [one.op for one in graph.outputs]
    while waiting:
        one = waiting.pop()
        if one.name not in used:
            used.add(one.name)
            waiting += [each.op for each in one.inputs]
    return [graph.get_operation_by_name(name).type for name in used]


def test_axes_of_length_1_are_never_turned() -> None:
    nodes = [
        node("Transpose", ["x"], ["c"], perm=[0, 3, 1, 2]),
        node("Relu", ["c"], ["r"]),
        node("Flatten", ["r"], ["y"]),
    ]
    feeds = {"x": normal(2, 1, 1, 4)}
    whole = model(nodes, feeds, ["y"])
    np.testing.assert_array_equal(ran(whole, feeds)[0], np.maximum(feeds["x"].reshape(2, 4), 0))
    assert "Transpose" not in used_types(import_onnx(whole))


def test_linear_layers_are_one_product_with_a_bias() -> None:
    weights = {"w": normal(4, 3, seed=1), "b": normal(3, seed=2)}
    nodes = [node("MatMul", ["x", "w"], ["p"]), node("Add", ["b", "p"], ["y"])]
    for shape in ((2, 4), (2, 5, 4), (4,), (1, 2, 3, 4)):
        module = agree(nodes, {"x": normal(*shape)}, ["y"], weights)
        kinds = kinds_of(module)
        assert "MatMul" in kinds
        assert "BiasAdd" in kinds
