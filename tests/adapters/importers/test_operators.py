"""Families of operators against ONNX Runtime, over inputs and attributes that vary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    model,
    normal,
)
from tests.adapters.importers.chosen import (
    ERRORS,
    agree,
    examples,
    few,
    import_onnx,
    run,
)
from xbench.errors import UnsupportedNodeError

node = helper.make_node
counts = st.integers(1, 3)


bounds = st.one_of(st.integers(-9, 9), st.sampled_from([-(2**31), 2**31 - 1, 2**62]))


@given(
    st.lists(st.tuples(bounds, bounds, st.sampled_from([-3, -1, 1, 2])), min_size=1, max_size=3),
    st.booleans(),
)
@few
def test_slices(cuts: list[tuple[int, int, int]], from_the_back: bool) -> None:
    axes = [place - 3 if from_the_back else place for place in range(len(cuts))]
    assume(not any(step < 0 and end == 2**31 - 1 for _, end, step in cuts))
    starts, ends, steps = (np.array(one) for one in zip(*cuts, strict=True))
    weights = {"s": starts, "e": ends, "a": np.array(axes), "t": steps}
    feeds = {"x": normal(4, 5, 6)}
    agree([node("Slice", ["x", *weights], ["y"])], feeds, ["y"], weights)


@given(
    st.sampled_from(["constant", "reflect", "edge", "wrap"]),
    st.lists(st.integers(-1, 2), min_size=4, max_size=4),
)
@few
def test_paddings(mode: str, pads: list[int]) -> None:
    assume(mode == "constant" or min(pads) >= 0)  # ONNX Runtime differs from the reference here
    weights = {"p": np.array(pads), "v": np.float32(1.5), "a": np.array([-1, 1])}
    feeds = {"x": normal(3, 4, 5)}
    agree([node("Pad", ["x", *weights], ["y"], mode=mode)], feeds, ["y"], weights)


@given(
    st.sampled_from(["nearest", "linear"]),
    st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
@examples(80)
def test_resizing_to_lengths(mode: str, places: str, rule: str, lengths: tuple[int, int]) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": places, "nearest_mode": rule}
    weights = {"n": np.array([1, 2, *lengths])}
    feeds = {"x": normal(1, 2, 4, 6)}
    agree([node("Resize", ["x", "", "", "n"], ["y"], **attributes)], feeds, ["y"], weights)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scale", [2.0, 0.6, 1.5])
def test_resizing_by_scales(mode: str, scale: float) -> None:
    weights = {"s": np.array([1, 1, scale, 2 * scale], np.float32)}
    resize = node("Resize", ["x", "", "s"], ["y"], mode=mode)
    agree([resize], {"x": normal(1, 2, 4, 6)}, ["y"], weights)


REDUCTIONS = [
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
]  # fmt: skip


@given(
    st.sampled_from(REDUCTIONS),
    st.sampled_from([None, [0], [-1], [0, 2], [1, -1], []]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([13, 18]),
)
@examples(60)
def test_reductions(
    operator: str, axes: list[int] | None, keeps: bool, idle: bool, opset: int
) -> None:
    feeds = {"x": np.abs(normal(2, 3, 4)) + 0.1}
    attributes: dict[str, Any] = {"keepdims": int(keeps)}
    weights = {}
    if opset == 18 or operator == "ReduceSum":
        weights = {} if axes is None else {"a": np.array(axes, np.int64)}
        attributes["noop_with_empty_axes"] = int(idle)
        # Without its input ONNX Runtime does nothing to ReduceSumSquare and its like either.
        assume(not (idle and not axes) or operator in ("ReduceSum", "ReduceMax", "ReduceMean"))
    elif axes:
        attributes["axes"] = axes
    agree(
        [node(operator, ["x", *weights], ["y"], **attributes)], feeds, ["y"], weights, opset=opset
    )


@given(st.sampled_from(["Softmax", "LogSoftmax", "Hardmax"]), st.integers(-3, 2))
@few
def test_softmax_flattens_before_version_13_and_not_since(operator: str, axis: int) -> None:
    feeds = {"x": normal(2, 3, 4)}
    for opset in (11, 12, 13, 20):
        agree([node(operator, ["x"], ["y"], axis=axis)], feeds, ["y"], opset=opset)


whole = st.integers(-7, 7)


@given(
    st.lists(whole, min_size=6, max_size=6), st.lists(whole.filter(bool), min_size=3, max_size=3)
)
@few
def test_division_and_remainder_of_whole_numbers(left: list[int], right: list[int]) -> None:
    feeds = {"a": np.array(left).reshape(2, 3), "b": np.array(right)}
    nodes = [
        node("Div", ["a", "b"], ["d"]),
        node("Mod", ["a", "b"], ["m"]),
        node("Mod", ["a", "b"], ["f"], fmod=1),
    ]
    agree(nodes, feeds, ["d", "m", "f"])


@given(st.sampled_from(["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"]), st.integers(0, 3))
@few
def test_arithmetic_broadcasts_and_takes_single_constants(operator: str, rank: int) -> None:
    feeds = {"x": np.abs(normal(3, 1)) + 0.5}
    for other in (np.float32(1.7), np.full((1,) * rank, 0.3, np.float32), np.abs(normal(2, 1, 4))):
        agree([node(operator, ["x", "w"], ["y"])], feeds, ["y"], {"w": other})
        agree([node(operator, ["w", "x"], ["y"])], feeds, ["y"], {"w": other})


@given(
    st.integers(-3, 2),
    st.lists(st.integers(-2, 1), min_size=4, max_size=4),
    st.sampled_from([(), (4,), (2, 2)]),
    st.booleans(),
)
@few
def test_gathering_with_indices_from_either_end(
    axis: int, places: list[int], shape: tuple[int, ...], known: bool
) -> None:
    indices = np.array(places[0] if shape == () else places).reshape(shape)
    tensors = {"i": indices}
    feeds = {"x": normal(2, 3, 4)}
    gather = node("Gather", ["x", "i"], ["y"], axis=axis)
    agree([gather], feeds if known else feeds | tensors, ["y"], tensors if known else None)
    same = {"i": np.resize(np.array(places), (2, 3, 4))}
    agree([node("GatherElements", ["x", "i"], ["y"], axis=axis)], feeds | same, ["y"])


def test_an_embedding_takes_indices_from_either_end_and_refuses_others() -> None:
    feeds = {"i": np.array([[0, -1], [3, -4]])}
    module = agree([node("Gather", ["w", "i"], ["y"])], feeds, ["y"], {"w": normal(4, 3)})
    for outside in (4, -5):
        with pytest.raises(ERRORS):
            run(module, {"i": np.array([[outside, 0], [0, 0]])})


@given(st.sampled_from([[0, -1], [-1, 2], [2, 0, 4], [24], [4, 1, 6, 1], [0, 0, 4]]))
@few
def test_reshapes(aim: list[int]) -> None:
    feeds = {"x": normal(2, 3, 4)}
    agree([node("Reshape", ["x", "s"], ["y"])], feeds, ["y"], {"s": np.array(aim)})


def test_a_reshape_to_nothing() -> None:
    feeds = {"x": np.zeros((0, 3), np.float32)}
    weights = {"s": np.array([3, 0])}
    agree([node("Reshape", ["x", "s"], ["y"], allowzero=1)], feeds, ["y"], weights)


@given(st.integers(1, 5), st.booleans(), st.integers(-2, 1))
@few
def test_top_k_gives_the_first_of_equals(count: int, largest: bool, axis: int) -> None:
    feeds = {"x": np.random.default_rng(count).integers(0, 3, (5, 5)).astype(np.float32)}
    top = node("TopK", ["x", "k"], ["v", "i"], axis=axis, largest=int(largest))
    agree([top], feeds, ["v", "i"], {"k": np.array([count])})


@given(st.booleans(), st.booleans(), st.integers(-2, 1))
@few
def test_running_sums(exclusive: bool, reverse: bool, axis: int) -> None:
    cumsum = node("CumSum", ["x", "a"], ["y"], exclusive=int(exclusive), reverse=int(reverse))
    agree([cumsum], {"x": normal(3, 4)}, ["y"], {"a": np.int64(axis)})


@given(
    st.booleans(),
    st.booleans(),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from([(), (1,), (5,), (3, 5)]),
)
@few
def test_gemm(left: bool, right: bool, factor: float, shape: tuple[int, ...]) -> None:
    feeds = {"a": normal(4, 3) if left else normal(3, 4)}
    weights = {"b": normal(5, 4) if right else normal(4, 5), "c": normal(*shape)}
    gemm = node(
        "Gemm", ["a", "b", "c"], ["y"],
        transA=int(left), transB=int(right), alpha=factor, beta=2 * factor,
    )  # fmt: skip
    agree([gemm], feeds, ["y"], weights)


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("started", [False, True])
def test_recurrent_networks(operator: str, direction: str, started: bool) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    both = 2 if direction == "bidirectional" else 1
    weights = {
        "w": normal(both, gates * 5, 3, seed=1),
        "r": normal(both, gates * 5, 5, seed=2),
        "b": normal(both, gates * 10, seed=3),
    }
    names, outputs = ["x", "w", "r", "b"], ["y", "h"]
    feeds = {"x": normal(4, 2, 3)}
    if started:
        names += ["", "h0"]
        weights["h0"] = normal(both, 2, 5, seed=4)
    if operator == "LSTM":
        outputs.append("c")
        if started:
            names.append("c0")
            weights["c0"] = normal(both, 2, 5, seed=5)
    attributes: dict[str, Any] = {"linear_before_reset": 1} if operator == "GRU" else {}
    one = node(operator, names, outputs, hidden_size=5, direction=direction, **attributes)
    agree([one], feeds, outputs, weights)


BLOCKED = "EXTENDED|lowering"
"""What is said of layouts for one processor: a way out, or that there is none."""


@pytest.mark.parametrize(
    ("one", "weights", "detail"),
    [
        (node("NoSuch", ["x"], ["y"], domain="elsewhere"), {}, "lowering"),
        (node("Conv", ["x", "w"], ["y"], domain="com.microsoft.nchwc"), {"w": (1,)}, BLOCKED),
        (node("Bernoulli", ["x"], ["y"]), {}, "at random"),
    ],
)  # fmt: skip
def test_what_is_not_sure_is_refused_by_name_before_anything_runs(
    one: Any, weights: dict[str, tuple[int, ...]], detail: str
) -> None:
    one.name = "the node"
    arrays = {name: np.abs(normal(*shape)) + 1 for name, shape in weights.items()}
    built = model([one], {"x": normal(3, 4, 4)}, ["y"], arrays)
    for domain in ("elsewhere", "com.microsoft.nchwc"):
        built.opset_import.append(helper.make_opsetid(domain, 1))
    with pytest.raises(UnsupportedNodeError, match=detail) as caught:
        import_onnx(built)
    assert caught.value.node == "the node"
    assert one.op_type in caught.value.operator


def test_shapes_that_depend_on_open_lengths_are_worked_out_in_each_run() -> None:
    nodes = [node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["y"])]
    whole = model(nodes, {"x": normal(2, 3)}, ["y"])
    whole.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    open_rows = import_onnx(whole)
    for rows in (1, 4):
        (found,) = run(open_rows, {"x": normal(rows, 3)})
        assert found.shape == (rows, 3)
    (found,) = run(import_onnx(whole, {"x": (4, 3)}), {"x": normal(4, 3)})
    assert found.shape == (4, 3)


def test_a_slice_backwards_to_the_largest_number_is_refused() -> None:
    """ONNX's reference takes nothing there, ONNX Runtime everything."""
    weights = {"s": np.array([-1]), "e": np.array([2**31 - 1]), "a": [0], "t": np.array([-1])}
    arrays = {name: np.asarray(one) for name, one in weights.items()}
    one = node("Slice", ["x", *arrays], ["y"])
    with pytest.raises(UnsupportedNodeError, match="runtimes differ"):
        import_onnx(model([one], {"x": normal(3)}, ["y"], arrays))


def test_a_shape_that_only_the_data_tells_is_taken_from_it() -> None:
    feeds = {"x": normal(2, 3), "s": np.array([3, 2])}
    agree([node("Reshape", ["x", "s"], ["y"])], feeds, ["y"])
