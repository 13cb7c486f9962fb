"""Reductions, normalisations and what follows a convolution, in either layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.pytorch.graphs import (
    built,
    model,
    normal,
    onnxruntime_says,
    reference_says,
    same,
)
from tests.adapters.tensorflow.graphs import agree, given_by, run
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

few = settings(max_examples=15, deadline=None, derandomize=True)
node = helper.make_node


@given(st.sampled_from(["Softmax", "LogSoftmax", "Hardmax"]), st.integers(-3, 2), st.booleans())
@few
def test_softmax_with_open_lengths(operator: str, axis: int, ranks: bool) -> None:
    feeds = {"x": normal(2, 3, 4)}
    one = node(operator, ["x"], ["y"], axis=axis)
    for opset in (11, 13):
        wanted = onnxruntime_says(built(one, feeds, opset), feeds)[0]
        known = ranks or operator == "Hardmax"  # which wants to know how many axes there are
        same(given_by(one, feeds, opset, lengths=False, ranks=known)[0], wanted)


REDUCED = {
    "ReduceL1": lambda x, a: np.abs(x).sum(a, keepdims=True),
    "ReduceMax": lambda x, a: x.max(a, keepdims=True),
    "ReduceMin": lambda x, a: x.min(a, keepdims=True),
    "ReduceMean": lambda x, a: np.trunc(x.mean(a, keepdims=True)),
    "ReduceProd": lambda x, a: x.prod(a, keepdims=True),
    "ReduceSum": lambda x, a: x.sum(a, keepdims=True),
    "ReduceSumSquare": lambda x, a: (x * x).sum(a, keepdims=True),
    "ReduceL2": lambda x, a: np.trunc(np.sqrt((x * x).sum(a, keepdims=True))),
}


@given(
    st.sampled_from(sorted(REDUCED)),
    st.sampled_from(["uint32", "uint64", "int32", "int64"]),
    st.sampled_from([[0], [-1], [0, 2], [1, -1], []]),
    st.booleans(),
)
@settings(few, max_examples=25)
def test_reductions_of_whole_numbers_over_axes_known_at_run_time(
    operator: str, dtype: str, axes: list[int], ranks: bool
) -> None:
    x = np.random.default_rng(len(axes)).integers(0 if dtype[0] == "u" else -5, 5, (2, 3, 4))
    wanted = REDUCED[operator](x, tuple(axes) or None).astype(dtype)
    feeds = {"x": x.astype(dtype), "a": np.array(axes, np.int64)}
    same(given_by(node(operator, ["x", "a"], ["y"]), feeds, ranks=ranks)[0], wanted)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "uint8", "uint64", "bool"])
def test_extremes_of_nothing_are_the_ends_of_the_type(dtype: str) -> None:
    feeds = {"x": np.zeros((2, 0, 3), dtype), "a": np.array([1])}
    kind = np.dtype(dtype).kind
    ends = (-np.inf, np.inf) if kind == "f" else (False, True)
    if kind in "iu":
        ends = np.iinfo(dtype).min, np.iinfo(dtype).max
    for operator, end in zip(("ReduceMax", "ReduceMin"), ends, strict=True):
        (found,) = given_by(node(operator, ["x", "a"], ["y"]), feeds)
        assert found.dtype == dtype
        assert (found == np.full((2, 1, 3), end, dtype)).all()


def test_sums_of_many_halves_lose_nothing_on_the_way() -> None:
    x = np.full((4, 5000), 1.0, np.float16)
    for operator, wanted in (("ReduceSum", 5000), ("ReduceMean", 1), ("ReduceL1", 5000)):
        one = node(operator, ["x", "a"], ["y"], keepdims=0)
        same(given_by(one, {"x": x, "a": np.array([1])})[0], np.full(4, wanted, np.float16))
    ones = {"a": x, "b": np.ascontiguousarray(x.T)}
    same(given_by(node("MatMul", ["a", "b"], ["y"]), ones)[0], np.full((4, 4), 5000, np.float16))


def test_logarithms_of_whole_sums_are_refused() -> None:
    for operator in ("ReduceLogSum", "ReduceLogSumExp"):
        with pytest.raises(UnsupportedNodeError, match="whole numbers"):
            given_by(node(operator, ["x"], ["y"]), {"x": np.ones((2, 2), np.int32)})


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_places_of_extremes_with_open_lengths(last: int, axis: int) -> None:
    feeds = {"x": np.random.default_rng(0).integers(0, 3, (4, 5)).astype(np.float32)}
    for operator in ("ArgMax", "ArgMin"):
        one = node(operator, ["x"], ["y"], axis=axis, select_last_index=last, keepdims=0)
        wanted = onnxruntime_says(built(one, feeds), feeds)[0]
        same(given_by(one, feeds, lengths=False)[0], wanted)


def conv(*after: Any) -> list[Any]:
    """Return nodes after a convolution, whose result lies with its channels last."""
    return [
        node("Conv", ["x", "w"], ["d"], kernel_shape=[1, 1]),
        node("Neg", ["d"], ["c"]),  # so that nothing becomes a part of the convolution
        *after,
    ]


AFTER = [
    node("BatchNormalization", ["c", "s", "s", "s", "s"], ["y"], epsilon=1e-6),
    node("InstanceNormalization", ["c", "s", "s"], ["y"]),
    node("GroupNormalization", ["c", "s", "s"], ["y"], num_groups=2),
    node("LRN", ["c"], ["y"], size=3),
    node("MeanVarianceNormalization", ["c"], ["y"]), node("LpNormalization", ["c"], ["y"], axis=1),
    node("Softmax", ["c"], ["y"], axis=1), node("LogSoftmax", ["c"], ["y"], axis=-1),
    node("Hardmax", ["c"], ["y"], axis=1), node("PRelu", ["c", "p"], ["y"]),
    node("ReduceMean", ["c", "hw"], ["y"]), node("ReduceMax", ["c", "h"], ["y"], keepdims=0),
    node("ReduceSum", ["c", "n"], ["y"], keepdims=0), node("ReduceL2", ["c", "k"], ["y"]),
    node("ReduceSum", ["c", "k"], ["y"], keepdims=0), node("ReduceMin", ["c"], ["y"]),
    node("ReduceSum", ["c", "hw"], ["y"], keepdims=0), node("ArgMax", ["c"], ["y"], axis=1),
    node("ArgMin", ["c"], ["y"], axis=1, keepdims=0), node("ArgMax", ["c"], ["y"], axis=2),
    node("Add", ["c", "p"], ["y"]), node("Mul", ["row", "c"], ["y"]), node("Max", ["c"], ["y"]),
    node("Add", ["c", "five"], ["y"]), node("Greater", ["c", "one"], ["y"]),
    node("Gelu", ["c"], ["y"]), node("IsInf", ["c"], ["y"]), node("Dropout", ["c"], ["y"]),
]  # fmt: skip


@pytest.mark.parametrize("after", AFTER, ids=lambda one: one.op_type)
def test_what_follows_a_convolution_is_the_same_in_its_layout(after: Any) -> None:
    weights: dict[str, Any] = {
        "w": normal(4, 3, 1, 1, seed=1), "s": np.array([0.5, 2, 1, 0.1], np.float32),
        "p": normal(4, 1, 1, seed=2), "row": normal(5, seed=3), "one": np.float32(0.5),
        "five": normal(1, 2, 1, 1, 1, seed=4), "hw": np.array([2, 3]), "h": np.array([2]),
        "n": np.array([0]), "k": np.array([-3]),
    }  # fmt: skip
    names = {"w", *after.input} - {"c", ""}
    used: dict[str, Any] = {name: one for name, one in weights.items() if name in names}
    feeds = {"x": normal(2, 3, 6, 5)}
    if after.op_type == "GroupNormalization":
        whole = model(conv(after), feeds, ["y"], used, 21)
        wanted = reference_says(whole, feeds)
        same(run(import_onnx(whole), feeds)[0], wanted[0], 1e-4, 1e-5)
        return
    agree(conv(after), feeds, ["y"], used)
    del used["w"]
    agree([node("Identity", ["x"], ["c"]), after], {"x": normal(2, 4, 6, 5)}, ["y"], used)


def normalised(x: Any, four: Any, shape: tuple[int, ...]) -> Any:
    scale, bias, mean, variance = (one.reshape(shape) for one in four)
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + bias


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 2)])
def test_batches_of_any_rank_are_normalised(shape: tuple[int, ...], dtype: str) -> None:
    x = normal(*shape).astype(dtype)
    four = [(np.abs(normal(3, seed=place)) + 0.5).astype(dtype) for place in range(4)]
    one = node("BatchNormalization", ["x", *"sbmv"], ["y"])
    wanted = normalised(x.astype(np.float64), four, (1, 3, *[1] * (len(shape) - 2)))
    weights = dict(zip("sbmv", four, strict=True))
    rtol = 2e-3 if dtype == "float16" else 1e-5
    for openness in ({}, {"lengths": False}):
        found = given_by(one, {"x": x} | weights, 15, **openness)[0]
        same(found, wanted.astype(dtype), rtol, rtol)
    found = run(import_onnx(model([one], {"x": x}, ["y"], weights, 15)), {"x": x})[0]
    same(found, wanted.astype(dtype), rtol, rtol)


def test_first_versions_normalise_each_feature_where_asked() -> None:
    x, four = normal(4, 3, 2), [np.abs(normal(3, 2, seed=place)) + 0.5 for place in range(4)]
    one = node("BatchNormalization", ["x", *"sbmv"], ["y"], spatial=0)
    found = given_by(one, {"x": x} | dict(zip("sbmv", four, strict=True)), 7)[0]
    same(found, normalised(x, four, (1, 3, 2)), 1e-4)


def test_training_gives_the_running_and_the_own_statistics() -> None:
    x, four = normal(4, 3, 2), [np.abs(normal(3, seed=place)) + 0.5 for place in range(4)]
    feeds = {"x": x} | dict(zip("sbmv", four, strict=True))
    mean, variance = x.mean((0, 2)), x.var((0, 2))
    y = normalised(x, [*four[:2], mean, variance], (1, 3, 1))
    running = [0.9 * old + 0.1 * new for old, new in ((four[2], mean), (four[3], variance))]
    one = node("BatchNormalization", ["x", *"sbmv"], ["y", "rm", "rv"], training_mode=1)
    for found, wanted in zip(given_by(one, feeds, 15), [y, *running], strict=True):
        same(found, wanted, 1e-4, 1e-5)
    one = node("BatchNormalization", ["x", *"sbmv"], ["y", "rm", "rv", "om", "ov"])
    for found, wanted in zip(given_by(one, feeds, 9), [y, *running, mean, variance], strict=True):
        same(found, wanted, 1e-4, 1e-5)


KNOWN = [
    (node("Add", ["x", "c"], ["y"], broadcast=1, axis=0), 6),
    (node("LRN", ["x"], ["y"], size=3, alpha=1.0), 13),
    (node("LpNormalization", ["x"], ["y"], p=1), 1),
    (node("PRelu", ["x", "c"], ["y"]), 6),
    (node("BatchNormalization", ["x", "c", "c", "c", "c"], ["y"]), 9),
    (node("Softmax", ["x"], ["y"], axis=1), 11),
    (node("Hardmax", ["x"], ["y"], axis=0), 11),
]


@pytest.mark.parametrize(("one", "opset"), KNOWN)
def test_what_is_worked_out_beforehand_is_what_would_be_computed(one: Any, opset: int) -> None:
    values = {"x": normal(3, 3, 3), "c": np.array([0.1, 0.2, 0.3], np.float32)}
    feeds = {name: values[name] for name in one.input}
    (known,) = run(import_onnx(model([one], {}, ["y"], feeds, opset)), {})
    same(known, given_by(one, feeds, opset)[0])


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceL2", "ReduceMean", "ReduceLogSumExp"])
def test_no_axes_may_mean_that_nothing_is_reduced(operator: str) -> None:
    feeds = {"x": normal(2, 3), "a": np.zeros(0, np.int64)}
    wanted = np.abs(feeds["x"]) if operator == "ReduceL2" else feeds["x"]
    one = node(operator, ["x", "a"], ["y"], noop_with_empty_axes=1, keepdims=0)
    for openness in ({}, {"lengths": False}, {"ranks": False}):
        same(given_by(one, feeds, **openness)[0], wanted)
    one = node(operator, ["x"], ["y"], noop_with_empty_axes=1)
    same(given_by(one, {"x": feeds["x"]})[0], wanted)
