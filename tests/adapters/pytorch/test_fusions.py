"""Patterns that exporters leave behind: recognised where that changes nothing, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.adapters.graphs import model, normal
from tests.adapters.pytorch.importer import agree, run
from xbench_adapters.pytorch import import_onnx

node = helper.make_node
LOWEST = np.finfo(np.float32).min


def fused(module: Any) -> dict[str, int]:
    return dict(module.meta["xbench"]["fused"])


def attention(
    *, masked: bool = False, guarded: bool = False, apart: bool = False, direct: bool = True
) -> list[onnx.NodeProto]:
    """Return attention spelled out: scaled as one or ``apart``, K turned directly or through 3D."""
    turn = [node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2])]
    if not direct:
        turn = [
            node("Reshape", ["k", "flat"], ["k3"]),
            node("Transpose", ["k3"], ["k3t"], perm=[0, 2, 1]),
            node("Reshape", ["k3t", "spread"], ["kt"]),
        ]
    scale = [
        node("Mul", ["q", "root"], ["qs"]),
        node("Mul", ["kt", "root"], ["kts"]),
        node("MatMul", ["qs", "kts"], ["s"]),
    ]
    if not apart:
        scale = [node("MatMul", ["q", "kt"], ["s0"]), node("Div", ["s0", "divisor"], ["s"])]
    mask = [node("Add", ["s", "m"], ["sm"])] if masked else []
    softmax = [node("Softmax", ["sm" if masked else "s"], ["p"], axis=-1)]
    guard = []
    if guarded:
        guard = [node("IsNaN", ["p"], ["bad"]), node("Where", ["bad", "zero", "p"], ["pg"])]
    last = node("MatMul", ["pg" if guarded else "p", "v"], ["y"])
    return [*turn, *scale, *mask, *softmax, *guard, last]


FEEDS = {"q": normal(2, 3, 5, 4), "k": normal(2, 3, 5, 4, seed=1), "v": normal(2, 3, 5, 4, seed=2)}
WEIGHTS = {
    "root": np.float32(0.5**0.5),
    "divisor": np.float32(2),
    "zero": np.float32(0),
    "flat": np.array([-1, 5, 4]),
    "spread": np.array([2, 3, 4, 5]),
}


def causal(hidden: float) -> np.ndarray[Any, Any]:
    return np.triu(np.full((1, 1, 5, 5), hidden, np.float32), 1)


def sdpa(module: Any) -> dict[str, Any]:
    """Return the keyword arguments of the one call of PyTorch's attention."""
    (call,) = [one for one in module.graph.nodes if "scaled_dot" in str(one.target)]
    return dict(call.kwargs)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("guarded", [False, True])
def test_attention_is_recognised(apart: bool, direct: bool, guarded: bool) -> None:
    nodes = attention(apart=apart, direct=direct, guarded=guarded)
    module = agree(nodes, FEEDS, ["y"], WEIGHTS)
    assert fused(module) == {"attention": 1}
    assert sdpa(module)["scale"] == pytest.approx(0.5)


@pytest.mark.parametrize("hidden", [LOWEST, -np.inf])
def test_a_causal_mask_becomes_a_flag(hidden: float) -> None:
    weights = WEIGHTS | {"m": causal(hidden)}
    module = agree(attention(masked=True, guarded=True, apart=True), FEEDS, ["y"], weights)
    assert (sdpa(module)["is_causal"], sdpa(module)["attn_mask"]) == (True, None)


def test_a_mask_of_zeros_is_no_mask_and_another_is_kept() -> None:
    for mask, kept in ((np.zeros((1, 1, 5, 5), np.float32), False), (normal(5, 5), True)):
        module = agree(attention(masked=True), FEEDS, ["y"], WEIGHTS | {"m": mask})
        assert (sdpa(module)["attn_mask"] is not None) == kept
        assert not sdpa(module)["is_causal"]


def test_a_mild_causal_mask_is_added_as_it_is() -> None:
    module = agree(attention(masked=True), FEEDS, ["y"], WEIGHTS | {"m": causal(-2.0)})
    assert not sdpa(module)["is_causal"]


def test_a_row_that_is_masked_throughout_stays_what_it_was() -> None:
    """With a guard it is zeros, which PyTorch's attention gives too; without one it is NaN."""
    mask = np.zeros((1, 1, 5, 5), np.float32)
    mask[..., 2, :] = -np.inf
    module = agree(attention(masked=True, guarded=True), FEEDS, ["y"], WEIGHTS | {"m": mask})
    assert fused(module) == {"attention": 1}
    module = agree(attention(masked=True), FEEDS, ["y"], WEIGHTS | {"m": mask})
    assert fused(module) == {}


def test_a_mask_that_is_an_input_is_fused_only_where_a_guard_makes_rows_of_infinities_safe() -> (
    None
):
    feeds = FEEDS | {"m": np.zeros((2, 1, 1, 5), np.float32)}
    feeds["m"][0] = -np.inf
    feeds["m"][1, ..., 3:] = -np.inf
    assert fused(agree(attention(masked=True, guarded=True), feeds, ["y"], WEIGHTS))
    assert not fused(agree(attention(masked=True), feeds, ["y"], WEIGHTS))


def test_a_mask_made_of_zeros_and_ones_is_fused() -> None:
    feeds = FEEDS | {"ones": np.ones((2, 1, 1, 5), np.int64)}
    feeds["ones"][1, ..., 3:] = 0
    weights = WEIGHTS | {"one": np.float32(1), "low": np.float32(LOWEST)}
    made = [
        node("Cast", ["ones"], ["f"], to=onnx.TensorProto.FLOAT),
        node("Sub", ["one", "f"], ["inverse"]),
        node("Mul", ["inverse", "low"], ["m"]),
    ]
    assert fused(agree([*made, *attention(masked=True)], feeds, ["y"], weights))


def test_scores_that_are_an_output_too_are_not_fused() -> None:
    module = agree(attention(), FEEDS, ["y", "p"], WEIGHTS)
    assert fused(module) == {}


def test_a_mask_that_widens_the_scores_is_not_fused() -> None:
    feeds = FEEDS | {"q": normal(1, 1, 5, 4), "k": normal(1, 1, 5, 4), "v": normal(1, 1, 5, 4)}
    module = agree(attention(masked=True), feeds, ["y"], WEIGHTS | {"m": normal(2, 3, 5, 5)})
    assert fused(module) == {}


@pytest.mark.parametrize("shape", [(5, 5), (5,), (1, 1, 1, 5), ()])
def test_a_known_mask_may_have_fewer_axes_than_the_scores(shape: tuple[int, ...]) -> None:
    agree(attention(masked=True), FEEDS, ["y"], WEIGHTS | {"m": normal(*shape)})


def test_keys_whose_axes_are_reversed_are_turned_back() -> None:
    """Without perm, Transpose reverses all axes, and not the last two alone."""
    nodes = attention()
    nodes[0] = node("Transpose", ["k"], ["kt"])
    feeds = {"q": normal(4, 4, 4), "k": normal(4, 4, 4, seed=1), "v": normal(4, 4, 4, seed=2)}
    assert fused(agree(nodes, feeds, ["y"], WEIGHTS)) == {"attention": 1}


def test_numbers_that_add_axes_are_not_fused() -> None:
    gelu = [
        node("Mul", ["x", "half"], ["g"]),
        node("Div", ["x", "root2"], ["a"]),
        node("Erf", ["a"], ["b"]),
        node("Add", ["b", "one"], ["c"]),
        node("Mul", ["g", "c"], ["y"]),
    ]
    assert fused(agree(gelu, {"x": normal(3)}, ["y"], NUMBERS)) == {"gelu": 1}
    others = NUMBERS | {"half": np.full((1, 1), 0.5, np.float32)}
    assert fused(agree(gelu, {"x": normal(3)}, ["y"], others)) == {}


ERF = [
    node("Div", ["x", "root2"], ["a"]),
    node("Erf", ["a"], ["b"]),
    node("Add", ["b", "one"], ["c"]),
    node("Mul", ["half", "c"], ["d"]),
    node("Mul", ["x", "d"], ["y"]),
]
TANH = [
    node("Pow", ["x", "three"], ["a"]),
    node("Mul", ["a", "cubic"], ["b"]),
    node("Add", ["x", "b"], ["c"]),
    node("Mul", ["c", "slope"], ["d"]),
    node("Tanh", ["d"], ["e"]),
    node("Add", ["one", "e"], ["f"]),
    node("Mul", ["x", "half"], ["g"]),
    node("Mul", ["g", "f"], ["y"]),
]
FACTORED = [
    node("Mul", ["x", "cubic"], ["a"]),
    node("Mul", ["a", "x"], ["b"]),
    node("Add", ["b", "one"], ["c"]),
    node("Mul", ["x", "slope"], ["d"]),
    node("Mul", ["d", "c"], ["e"]),
    node("Tanh", ["e"], ["f"]),
    node("Add", ["f", "one"], ["g"]),
    node("Mul", ["g", "x"], ["h"]),
    node("Mul", ["h", "half"], ["y"]),
]
NUMBERS = {
    "root2": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5),
    "three": np.float32(3), "cubic": np.float32(0.044715), "slope": np.float32((2 / np.pi) ** 0.5),
    "six": np.float32(6), "zero": np.float32(0), "eps": np.float32(1e-5), "two": np.float32(2),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "kind"), [(ERF, "none"), (TANH, "tanh"), (FACTORED, "tanh")])
def test_gelu_is_recognised(nodes: list[onnx.NodeProto], kind: str) -> None:
    module = agree(nodes, {"x": 3 * normal(50)}, ["y"], NUMBERS)
    assert fused(module) == {"gelu": 1}
    assert [one.kwargs for one in module.graph.nodes if one.kwargs] == [{"approximate": kind}]


@pytest.mark.parametrize("number", ["root2", "one", "half"])
def test_what_only_looks_like_gelu_is_left_alone(number: str) -> None:
    others = NUMBERS | {number: NUMBERS[number] * np.float32(1.01)}
    assert fused(agree(ERF, {"x": normal(50)}, ["y"], others)) == {}
    assert fused(agree(ERF, {"x": normal(50)}, ["y", "c"], NUMBERS)) == {}


@pytest.mark.parametrize(
    "square", [node("Pow", ["d", "two"], ["s"]), node("Mul", ["d", "d"], ["s"])]
)
def test_layer_normalisation_is_recognised(square: onnx.NodeProto) -> None:
    nodes = [
        node("ReduceMean", ["x"], ["m"], axes=[-1]),
        node("Sub", ["x", "m"], ["d"]),
        square,
        node("ReduceMean", ["s"], ["v"], axes=[2]),
        node("Add", ["v", "eps"], ["ve"]),
        node("Sqrt", ["ve"], ["r"]),
        node("Div", ["d", "r"], ["n"]),
        node("Mul", ["n", "w"], ["nw"]),
        node("Add", ["nw", "b"], ["y"]),
    ]
    weights = NUMBERS | {"w": normal(6), "b": normal(6, seed=1)}
    feeds = {"x": 2 * normal(2, 3, 6) + 1}
    assert fused(agree(nodes, feeds, ["y"], weights, opset=17)) == {"layer_norm": 1}
    assert fused(agree(nodes, feeds, ["y", "d"], weights, opset=17)) == {}


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_normalisation_is_folded_into_its_convolution(biased: bool, groups: int) -> None:
    weights = {"w": normal(6, 4 // groups, 3, 3), "s": normal(6), "t": normal(6, seed=1)}
    weights |= {"mean": normal(6, seed=2), "var": np.abs(normal(6, seed=3)) + 0.1}
    names = ["x", "w"]
    if biased:
        weights["b"] = normal(6, seed=4)
        names.append("b")
    nodes = [
        node("Conv", names, ["c"], group=groups, pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "s", "t", "mean", "var"], ["y"]),
    ]
    feeds = {"x": normal(2, 4, 5, 5)}
    assert fused(agree(nodes, feeds, ["y"], weights)) == {"batch_norm": 1}
    assert fused(agree(nodes, feeds, ["y", "c"], weights)) == {}


@pytest.mark.parametrize(
    ("mode", "value", "folded"), [("constant", 0, 1), ("constant", 1, 0), ("edge", 0, 0)]
)
def test_zeros_around_the_input_are_folded_into_the_convolution(
    mode: str, value: float, folded: int
) -> None:
    weights = {
        "w": normal(2, 3, 3, 3),
        "p": np.array([0, 0, 0, 1, 0, 0, 1, 2]),
        "v": np.float32(value),
    }
    nodes = [
        node("Pad", ["x", "p", "v"], ["q"], mode=mode),
        node("Conv", ["q", "w"], ["y"], strides=[2, 2], pads=[0, 0, 1, 1]),
    ]
    found = fused(agree(nodes, {"x": normal(1, 3, 6, 6)}, ["y"], weights))
    assert found.get("padding", 0) == folded


def test_linear_layers_are_recognised() -> None:
    nodes = [node("MatMul", ["x", "w"], ["p"]), node("Add", ["b", "p"], ["y"])]
    weights = {"w": normal(4, 5), "b": normal(5)}
    module = agree(nodes, {"x": normal(2, 3, 4)}, ["y"], weights)
    assert fused(module) == {"linear": 1}
    (layer,) = module.children()
    assert all(one.is_contiguous() for one in layer.parameters())
    assert fused(agree(nodes, {"x": normal(2, 3, 4)}, ["y"], weights | {"b": normal(3, 1)})) == {}


def test_a_bias_that_lies_along_the_rows_is_no_layers_bias() -> None:
    """Until version 7 the second operand could lie at any axis."""
    nodes = [
        node("MatMul", ["x", "w"], ["p"]),
        node("Add", ["p", "b"], ["y"], broadcast=1, axis=0),
    ]
    weights, feeds = {"w": normal(3, 3), "b": normal(3)}, {"x": normal(3, 3, seed=1)}
    whole = model(nodes, feeds, ["y"], weights, 6)
    (found,) = run(import_onnx(whole), feeds)
    wanted = feeds["x"] @ weights["w"] + weights["b"][:, None]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_swish_and_its_hard_form_are_recognised() -> None:
    silu = [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])]
    hard = [
        node("Add", ["x", "three"], ["a"]),
        node("Clip", ["a", "zero", "six"], ["c"]),
        node("Mul", ["x", "c"], ["m"]),
        node("Div", ["m", "six"], ["y"]),
    ]
    gate = [
        node("HardSigmoid", ["x"], ["h"], alpha=1 / 6, beta=0.5),
        node("Mul", ["h", "x"], ["y"]),
    ]
    for nodes, title in ((silu, "silu"), (hard, "hard_swish"), (gate, "hard_swish")):
        assert fused(agree(nodes, {"x": 4 * normal(40)}, ["y"], NUMBERS)) == {title: 1}


def test_fusing_does_not_touch_the_model_passed_in() -> None:
    whole = model(ERF, {"x": normal(5)}, ["y"], NUMBERS)
    before = whole.SerializeToString(deterministic=True)
    run(import_onnx(whole), {"x": normal(5)})
    assert whole.SerializeToString(deterministic=True) == before
