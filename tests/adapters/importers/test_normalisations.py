"""Normalisations, and what follows a convolution, in either layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.adapters.graphs import (
    model,
    normal,
    reference_says,
    same,
)
from tests.adapters.importers.chosen import (
    agree,
    given_by,
    import_onnx,
    run,
)

node = helper.make_node


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
