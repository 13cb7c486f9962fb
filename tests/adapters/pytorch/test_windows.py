"""Convolutions and poolings: lengths that are open, weights given as they run, rarer kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.pytorch.graphs import (
    agree,
    close,
    few,
    model,
    normal,
    onnxruntime_says,
    opened,
    run,
)
from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch import import_onnx

node = helper.make_node
counts = st.integers(1, 3)


@st.composite
def windows(draw: st.DrawFn, axes: int, *, dilated: bool = False) -> dict[str, Any]:
    """Return attributes of sliding windows: padding by hand, uneven too, or automatic."""

    def lengths(least: int, most: int, count: int = axes) -> list[int]:
        return draw(st.lists(st.integers(least, most), min_size=count, max_size=count))

    attributes: dict[str, Any] = {"kernel_shape": lengths(2, 3), "strides": lengths(1, 3)}
    kind = draw(st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    attributes["auto_pad"] = kind
    if "SAME" in kind:  # where windows leave gaps, runtimes differ
        both = zip(attributes["strides"], attributes["kernel_shape"], strict=True)
        attributes["strides"] = [min(pair) for pair in both]
    if kind == "NOTSET":
        attributes["pads"] = lengths(0, 1, 2 * axes)
    if dilated and kind in ("NOTSET", "VALID"):
        attributes["dilations"] = lengths(1, 2)
    return attributes


def agree_open(
    one: onnx.NodeProto,
    shapes: Sequence[tuple[int, ...]],
    outputs: list[str],
    weights: dict[str, Any] | None = None,
    opset: int = 20,
) -> torch.fx.GraphModule:
    """Return a module imported with open lengths, after it agreed for each shape."""
    whole = opened(model([one], {"x": normal(*shapes[0])}, outputs, weights, opset))
    module = import_onnx(whole)
    for shape in shapes:
        feeds = {"x": normal(*shape)}
        close(run(module, feeds), onnxruntime_says(whole, feeds))
    return module


def shapes_of(axes: int) -> list[tuple[int, ...]]:
    return [(2, 4, *(7 + place for place in range(axes))), (1, 4, *(8,) * axes)]


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2]), st.booleans())
@few
def test_convolutions_over_open_lengths(
    data: st.DataObject, axes: int, groups: int, biased: bool
) -> None:
    attributes = data.draw(windows(axes, dilated=True))
    tensors = {"w": normal(4, 4 // groups, *attributes["kernel_shape"])}
    if biased:
        tensors["b"] = normal(4, seed=1)
    conv = node("Conv", ["x", *tensors], ["y"], group=groups, **attributes)
    agree_open(conv, shapes_of(axes), ["y"], tensors)


@pytest.mark.parametrize("kind", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
def test_a_convolution_with_a_weight_of_open_lengths(kind: str) -> None:
    pads = {"pads": [1, 0, 1, 2]} if kind == "NOTSET" else {"auto_pad": kind}
    for operator in ("Conv", "ConvTranspose"):
        one = node(operator, ["w", "x"], ["y"], strides=[2, 2], **pads)
        feeds = {"x": normal(4, 4, 3, 2), "w": normal(1, 4, 7, 8)}
        whole = opened(model([one], feeds, ["y"]), ["x"])
        (found,) = run(import_onnx(whole), feeds)
        (wanted,) = onnxruntime_says(whole, feeds)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@given(st.data(), st.integers(1, 2), st.sampled_from([1, 2]), st.booleans())
@settings(few, max_examples=50)
def test_transposed_convolutions_over_open_lengths(
    data: st.DataObject, axes: int, groups: int, biased: bool
) -> None:
    attributes = data.draw(windows(axes, dilated=True))
    strides = attributes["strides"]
    kernel, strides = attributes["kernel_shape"], attributes["strides"]
    attributes["output_padding"] = [data.draw(st.integers(0, one - 1)) for one in strides]
    tensors = {"w": normal(4, 3, *kernel)} | ({"b": normal(3 * groups)} if biased else {})
    shapes = shapes_of(axes)
    conv = node("ConvTranspose", ["x", *tensors], ["y"], group=groups, **attributes)
    agree_open(conv, shapes, ["y"], tensors)
    agree([conv], {"x": normal(*shapes[0])} | tensors, ["y"])


@given(st.data(), st.integers(1, 2), st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER"]))
@settings(few, max_examples=40)
def test_transposed_convolutions_to_lengths_asked_for(
    data: st.DataObject, axes: int, kind: str
) -> None:
    """Shorter than the windows reach, and longer by less than a stride."""
    strides = data.draw(st.lists(counts, min_size=axes, max_size=axes))
    shape = shapes_of(axes)[0]
    wanted = [
        (length - 1) * stride + 3 + data.draw(st.integers(-3, stride - 1))
        for length, stride in zip(shape[2:], strides, strict=True)
    ]
    tensors = {"w": normal(4, 3, *(3,) * axes), "b": normal(3)}
    conv = node(
        "ConvTranspose", ["x", *tensors], ["y"], strides=strides, output_shape=wanted, auto_pad=kind
    )
    agree([conv], {"x": normal(*shape)}, ["y"], tensors)
    agree_open(conv, [shape], ["y"], tensors)


@given(st.data(), st.integers(1, 3), st.sampled_from(["MaxPool", "AveragePool"]), st.booleans())
@settings(few, max_examples=60)
def test_poolings_with_holes_over_known_and_open_lengths(
    data: st.DataObject, axes: int, operator: str, ceil: bool
) -> None:
    attributes = data.draw(windows(axes, dilated=True))
    assume(not (ceil and attributes["auto_pad"] != "NOTSET"))
    attributes["ceil_mode"] = int(ceil)
    if operator == "AveragePool":
        attributes["count_include_pad"] = data.draw(st.integers(0, 1))
    pool = node(operator, ["x"], ["y"], **attributes)
    shapes = shapes_of(axes)
    agree_open(pool, shapes, ["y"], opset=22)
    agree([pool], {"x": normal(*shapes[0])}, ["y"], opset=22)


@given(st.data(), st.integers(1, 3), st.booleans(), st.integers(0, 1))
@settings(few, max_examples=40)
def test_the_places_of_the_largest_elements(
    data: st.DataObject, axes: int, ceil: bool, order: int
) -> None:
    """Equal elements too: the first one is meant."""
    attributes = data.draw(windows(axes, dilated=True))
    assume(not (ceil and attributes["auto_pad"] != "NOTSET"))
    pool = node(
        "MaxPool", ["x"], ["y", "i"], ceil_mode=int(ceil), storage_order=order, **attributes
    )
    agree([pool], {"x": np.round(normal(2, 3, *(7,) * axes))}, ["y", "i"], opset=22)
    agree_open(pool, shapes_of(axes), ["y", "i"], opset=22)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("pads", [[0] * 4, [1, 0, 1, 1]])
def test_the_largest_of_whole_numbers(dtype: type, pads: list[int]) -> None:
    info = np.iinfo(dtype)
    drawn = np.random.default_rng(0).integers(info.min, info.max, (2, 3, 6, 7))
    x: np.ndarray[Any, Any] = drawn.astype(dtype)
    one = node("MaxPool", ["x"], ["y", "i"], kernel_shape=[3, 2], strides=[2, 1], pads=pads)
    agree([one], {"x": x}, ["y", "i"])
    agree([one], {"x": np.full_like(x, info.min)}, ["y", "i"])


@pytest.mark.parametrize("opset", [7, 8, 10, 11, 12, 18, 19, 21, 22])
@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool", "LpPool"])
def test_every_version_pools_alike(opset: int, operator: str) -> None:
    one = node(operator, ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
    agree([one], {"x": normal(2, 3, 6, 7)}, ["y"], opset=opset)


@given(st.data(), st.integers(1, 3), st.integers(1, 4))
@few
def test_norms_of_windows(data: st.DataObject, axes: int, p: int) -> None:
    attributes = data.draw(windows(axes, dilated=True))
    one = node("LpPool", ["x"], ["y"], p=p, **attributes)
    agree([one], {"x": normal(2, 3, *(7,) * axes)}, ["y"])
    agree_open(one, shapes_of(axes), ["y"])


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pooling_over_all_of_space(operator: str, axes: int) -> None:
    agree([node(operator, ["x"], ["y"])], {"x": normal(2, 3, *(4,) * axes)}, ["y"])
    agree_open(node(operator, ["x"], ["y"]), shapes_of(axes), ["y"])


def test_a_norm_over_all_of_space_of_another_order() -> None:
    agree([node("GlobalLpPool", ["x"], ["y"], p=3)], {"x": normal(2, 3, 4, 5)}, ["y"])
    feeds = {"x": normal(2, 3, 4, 5)}
    one = node("GlobalLpPool", ["x"], ["y"], p=3.0)
    (found,) = run(import_onnx(model([one], feeds, ["y"], opset=1)), feeds)
    wanted = (np.abs(feeds["x"]) ** 3).sum((2, 3), keepdims=True) ** (1 / 3)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_unpooling_puts_each_element_back(axes: int) -> None:
    options: dict[str, Any] = {"kernel_shape": [2] * axes, "strides": [2] * axes}
    nodes = [
        node("MaxPool", ["x"], ["m", "i"], **options),
        node("MaxUnpool", ["m", "i"], ["y"], **options),
    ]
    feeds = {"x": normal(2, 3, *(6,) * axes)}
    agree(nodes, feeds, ["y"])
    whole = opened(model(nodes, feeds, ["y"]))
    close(run(import_onnx(whole), feeds), onnxruntime_says(whole, feeds), 0.0, 0.0)
    shape = {"s": np.array(feeds["x"].shape)}
    agree([nodes[0], node("MaxUnpool", ["m", "i", "s"], ["y"], **options)], feeds, ["y"], shape)


def test_unpooling_to_another_shape_is_refused() -> None:
    """ONNX's test takes places in the shape that windows give, ONNX Runtime in the one asked."""
    feeds = {"m": normal(1, 1, 2, 2), "i": np.array([[[[5, 7], [13, 15]]]])}
    one = node("MaxUnpool", ["m", "i", "s"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    with pytest.raises(UnsupportedNodeError, match="output_shape"):
        import_onnx(model([one], feeds, ["y"], {"s": np.array([1, 1, 5, 5])}))


@given(st.data(), st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.booleans(), st.booleans())
@few
def test_deformable_convolutions(
    data: st.DataObject, groups: int, shared: int, biased: bool, masked: bool
) -> None:
    attributes = data.draw(windows(2, dilated=True).filter(lambda one: one["auto_pad"] == "NOTSET"))
    del attributes["auto_pad"]
    kernel, pads = attributes["kernel_shape"], attributes["pads"]
    counts = [
        (6 + place + pads[place] + pads[2 + place] - (k - 1) * attributes["dilations"][place] - 1)
        // attributes["strides"][place]
        + 1
        for place, k in enumerate(kernel)
    ]
    taps = shared * kernel[0] * kernel[1]
    feeds = {
        "x": normal(2, 4, 6, 7),
        "w": normal(6, 4 // groups, *kernel),
        "o": 2 * normal(2, 2 * taps, *counts),
    }
    names = [*feeds, "b" if biased else "", "m" if masked else ""]
    feeds |= {"b": normal(6)} if biased else {}
    feeds |= {"m": normal(2, taps, *counts, seed=3)} if masked else {}
    one = node("DeformConv", names, ["y"], group=groups, offset_group=shared, **attributes)
    for opset in (19, 22):
        agree([one], feeds, ["y"], opset=opset, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("activation", ["none", "silu", "swish"])
@pytest.mark.parametrize("started", [False, True])
def test_causal_convolutions_go_on_from_their_state(activation: str, started: bool) -> None:
    """Two parts, the second from the first one's state, are the whole."""
    weights = {"w": normal(3, 1, 4), "b": normal(3, seed=1)}
    names = ["x", "w", "b"] + ["p"] * started
    one = node("CausalConvWithState", names, ["y", "s"], activation=activation)
    past = {"p": normal(2, 3, 3, seed=2)} if started else {}
    feeds = {"x": normal(2, 3, 9)} | past
    module = import_onnx(opened(model([one], feeds, ["y", "s"], weights, opset=27), ["x"]))
    whole, last = run(module, feeds)
    again = node("CausalConvWithState", ["x", "w", "b", "p"], ["y", "s"], activation=activation)
    start = past.get("p", np.zeros((2, 3, 3), np.float32))
    next_model = model([again], feeds | {"p": start}, ["y", "s"], weights, 27)
    module = import_onnx(opened(next_model, ["x"]))
    first, state = run(module, {"x": feeds["x"][..., :2], "p": start})
    second, end = run(module, {"x": feeds["x"][..., 2:], "p": state})
    np.testing.assert_allclose(np.concatenate([first, second], 2), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(end, last)
    padded = np.concatenate([start, feeds["x"]], 2)
    plain = sum(padded[..., k : k + 9] * weights["w"][:, 0, k, None] for k in range(4))
    plain = plain + weights["b"][:, None]
    plain = plain if activation == "none" else plain / (1 + np.exp(-plain))
    np.testing.assert_allclose(whole, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("one", "detail"),
    [
        (node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], auto_pad="EQUAL"), "auto_pad"),
        (node("LpPool", ["x"], ["y"]), "kernel_shape"),
        (
            node("AveragePool", ["x"], ["y"], kernel_shape=[1, 1], pads=[1, 1, 1, 1]),
            "nothing but padding",
        ),
        (
            node(
                "LpPool", ["x"], ["y"], kernel_shape=[1, 1], strides=[4, 4], auto_pad="SAME_UPPER"
            ),
            "gaps",
        ),
        (
            node("ConvTranspose", ["x", "x"], ["y"], strides=[9, 9], auto_pad="SAME_UPPER"),
            "runtimes differ",
        ),
    ],
)
def test_windows_without_a_meaning_are_refused(one: Any, detail: str) -> None:
    opset = 1 if detail == "kernel_shape" else 20
    with pytest.raises(UnsupportedNodeError, match=detail):
        import_onnx(model([one], {"x": normal(1, 1, 4, 4)}, ["y"], opset=opset))


def test_a_module_over_open_lengths_can_be_exported() -> None:
    """`torch.export` follows the lengths of a batch through automatic padding."""
    one = node("Conv", ["x", "w"], ["y"], strides=[2, 2], auto_pad="SAME_UPPER")
    module = import_onnx(
        opened(model([one], {"x": normal(2, 4, 7, 7)}, ["y"], {"w": normal(4, 4, 3, 3)}))
    )
    x = torch.from_numpy(normal(2, 4, 7, 7))
    exported = torch.export.export(module, (x,)).module()
    torch.testing.assert_close(exported(x), module(x))
