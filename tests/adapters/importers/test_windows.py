"""Convolutions: every kind of windows, lengths that are open, weights given as they run."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    model,
    normal,
    onnxruntime_says,
    opened,
)
from tests.adapters.importers.chosen import (
    agree,
    examples,
    few,
    import_onnx,
    run,
)
from tests.adapters.importers.sliding import agree_open, any_windows, shapes_of, windows
from xbench.errors import UnsupportedNodeError

node = helper.make_node
counts = st.integers(1, 3)


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.booleans())
@examples(30)
def test_convolutions_over_known_and_open_lengths(
    data: st.DataObject, axes: int, groups: int, biased: bool
) -> None:
    attributes = data.draw(windows(axes, dilated=True))
    tensors = {"w": normal(8, 4 // groups, *attributes["kernel_shape"])}
    if biased:
        tensors["b"] = normal(8, seed=1)
    conv = node("Conv", ["x", *tensors], ["y"], group=groups, **attributes)
    agree_open(conv, shapes_of(axes), ["y"], tensors)
    agree([conv], {"x": normal(*shapes_of(axes)[0])} | tensors, ["y"])


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


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.booleans())
@examples(50)
def test_transposed_convolutions_over_known_and_open_lengths(
    data: st.DataObject, axes: int, groups: int, biased: bool
) -> None:
    attributes = data.draw(windows(axes, dilated=True))
    kernel, strides = attributes["kernel_shape"], attributes["strides"]
    attributes["output_padding"] = [data.draw(st.integers(0, one - 1)) for one in strides]
    each = data.draw(st.sampled_from([1, 3]))
    tensors = {"w": normal(4, each, *kernel)} | ({"b": normal(each * groups)} if biased else {})
    shapes = shapes_of(axes)
    conv = node("ConvTranspose", ["x", *tensors], ["y"], group=groups, **attributes)
    agree_open(conv, shapes, ["y"], tensors)
    agree([conv], {"x": normal(*shapes[0])} | tensors, ["y"])


@given(st.data(), st.integers(1, 2), st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER"]))
@examples(40)
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
    np.testing.assert_array_equal(last, padded[:, :, -3:])


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_of_whole_numbers_are_exact(known: bool, groups: int) -> None:
    generator = np.random.default_rng(0)
    feeds: dict[str, Any] = {"x": generator.integers(0, 256, (2, 128, 6, 5)).astype(np.uint8)}
    weights: dict[str, Any] = {
        "w": generator.integers(0, 256, (4, 128 // groups, 3, 3)).astype(np.uint8),
        "zx": np.array(7, np.uint8),
        "zw": np.array(130, np.uint8),
    }
    one = node("ConvInteger", ["x", *weights], ["y"], pads=[1, 0, 1, 1], group=groups)
    feeds |= {} if known else weights
    agree([one], feeds, ["y"], weights if known else {}, rtol=0, atol=0)


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


def sums_in_32_bits(one: onnx.NodeProto, dtype: Any) -> None:
    """Check sums of 400 numbers of one sign, of which a kernel in 16 bits would lose many."""
    feeds = {"x": np.abs(normal(1, 2, 20, 20)).astype(dtype)}
    weights = {"w": np.abs(normal(2, 1, 15, 15)).astype(dtype)} if len(one.input) > 1 else {}
    (found,) = run(import_onnx(model([one], feeds, ["y"], weights, opset=22)), feeds)
    assert found.dtype == dtype
    feeds, weights = (
        {name: array.astype(np.float32) for name, array in arrays.items()}
        for arrays in (feeds, weights)
    )
    (wanted,) = onnxruntime_says(model([one], feeds, ["y"], weights, opset=20), feeds)
    tolerance = 1e-3 if dtype == np.float16 else 8e-3
    np.testing.assert_allclose(found.astype(np.float32), wanted, rtol=tolerance)


SUMMED = [
    node("Conv", ["x", "w"], ["y"], group=2),
    node("AveragePool", ["x"], ["y"], kernel_shape=[15, 15]),
    node("LpPool", ["x"], ["y"], kernel_shape=[15, 15]),
    node("GlobalLpPool", ["x"], ["y"]),
]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("one", SUMMED, ids=lambda one: one.op_type)
def test_floats_of_16_bits_are_summed_in_32(one: onnx.NodeProto, dtype: Any) -> None:
    sums_in_32_bits(one, dtype)


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2]), st.booleans(), st.booleans())
@few
def test_convolutions(
    data: st.DataObject, axes: int, groups: int, biased: bool, known: bool
) -> None:
    attributes = data.draw(any_windows(axes))
    if attributes["auto_pad"] in ("NOTSET", "VALID"):
        attributes["dilations"] = data.draw(st.lists(counts, min_size=axes, max_size=axes))
    tensors = {"w": normal(4, 4 // groups, *attributes["kernel_shape"])}
    if biased:
        tensors["b"] = normal(4, seed=1)
    feeds = {"x": normal(2, 4, *(7 + place for place in range(axes)))}
    conv = node("Conv", ["x", *tensors], ["y"], group=groups, **attributes)
    agree([conv], feeds if known else feeds | tensors, ["y"], tensors if known else None)


@given(st.data(), st.integers(1, 2), st.sampled_from([1, 2]), st.booleans())
@few
def test_transposed_convolutions(data: st.DataObject, axes: int, groups: int, biased: bool) -> None:
    def lengths(most: int, least: int = 0, count: int = axes) -> list[int]:
        return data.draw(st.lists(st.integers(least, most), min_size=count, max_size=count))

    kernel, strides = lengths(3, 2), lengths(3, 1)
    attributes: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": lengths(1, 0, 2 * axes),
        "dilations": lengths(2, 1),
        "output_padding": [data.draw(st.integers(0, stride - 1)) for stride in strides],
        "group": groups,
    }
    tensors = {"w": normal(4, 3, *kernel)} | ({"b": normal(3 * groups)} if biased else {})
    feeds = {"x": normal(2, 4, *(5 + place for place in range(axes)))}
    agree([node("ConvTranspose", ["x", *tensors], ["y"], **attributes)], feeds, ["y"], tensors)


@pytest.mark.parametrize("attributes", [{"output_shape": [9, 11]}, {"auto_pad": "SAME_UPPER"}])
def test_transposed_convolutions_to_a_shape(attributes: dict[str, Any]) -> None:
    conv = node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], **attributes)
    agree([conv], {"x": normal(1, 2, 5, 5)}, ["y"], {"w": normal(2, 3, 3, 3)})
