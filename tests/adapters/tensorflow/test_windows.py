"""Convolutions in TensorFlow: every kind of windows, lengths that are open."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.pytorch.graphs import model, normal, onnxruntime_says
from tests.adapters.tensorflow.graphs import agree, run
from tests.adapters.tensorflow.sliding import agree_open, few, kinds_of, opened, shapes_of, windows
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

node = helper.make_node
counts = st.integers(1, 3)


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.booleans())
@settings(few, max_examples=15)
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


def test_images_stay_as_they_are_between_convolutions() -> None:
    """One turn at the start and one at the end."""
    weights = {"w": normal(4, 3, 3, 3), "v": normal(4, 1, 3, 3), "b": normal(4)}
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("MaxPool", ["r"], ["m"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        node("Conv", ["m", "v"], ["c"], group=4, pads=[1] * 4),
        node("Add", ["m", "c"], ["s"]),
        node("AveragePool", ["s"], ["y"], kernel_shape=[2, 2]),
    ]
    module = agree(nodes, {"x": normal(2, 3, 9, 9)}, ["y"], weights)
    kinds = kinds_of(module)
    assert kinds.count("Transpose") == 2
    assert {"Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"} <= set(kinds)
    assert not any("Pad" in kind for kind in kinds)


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.booleans())
@settings(few, max_examples=15)
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
@settings(few, max_examples=12)
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


def test_convolutions_of_each_channel_are_not_padded_by_their_kernel() -> None:
    """With oneDNN, TensorFlow ends the process over such padding beside a bias."""
    weights = {"w": normal(4, 1, 3, 3), "b": normal(4)}
    one = node("Conv", ["x", "w", "b"], ["y"], group=4, pads=[1] * 4, strides=[2, 2])
    module = agree([one], {"x": normal(2, 4, 8, 8)}, ["y"], weights)
    for part in module.call.get_concrete_function().graph.get_operations():
        if part.type == "DepthwiseConv2dNative":
            assert part.get_attr("padding") != b"EXPLICIT"


@given(st.data(), st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.booleans(), st.booleans())
@few
def test_deformable_convolutions(
    data: st.DataObject, groups: int, shared: int, biased: bool, masked: bool
) -> None:
    attributes = data.draw(windows(2, dilated=True).filter(lambda one: one["auto_pad"] == "NOTSET"))
    del attributes["auto_pad"]
    kernel, pads = attributes["kernel_shape"], attributes["pads"]
    found = [
        (6 + place + pads[place] + pads[2 + place] - (k - 1) * attributes["dilations"][place] - 1)
        // attributes["strides"][place]
        + 1
        for place, k in enumerate(kernel)
    ]
    taps = shared * kernel[0] * kernel[1]
    feeds = {
        "x": normal(2, 4, 6, 7),
        "w": normal(6, 4 // groups, *kernel),
        "o": 2 * normal(2, 2 * taps, *found),
    }
    names = [*feeds, "b" if biased else "", "m" if masked else ""]
    feeds |= {"b": normal(6)} if biased else {}
    feeds |= {"m": normal(2, taps, *found, seed=3)} if masked else {}
    one = node("DeformConv", names, ["y"], group=groups, offset_group=shared, **attributes)
    agree([one], feeds, ["y"], opset=22, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("activation", ["none", "silu", "swish"])
@pytest.mark.parametrize("started", [False, True])
def test_causal_convolutions_go_on_from_their_state(activation: str, started: bool) -> None:
    weights = {"w": normal(3, 1, 4), "b": normal(3, seed=1)}
    names = ["x", "w", "b"] + ["p"] * started
    one = node("CausalConvWithState", names, ["y", "s"], activation=activation)
    past = {"p": normal(2, 3, 3, seed=2)} if started else {}
    feeds = {"x": normal(2, 3, 9)} | past
    module = import_onnx(opened(model([one], feeds, ["y", "s"], weights, opset=27)))
    whole, last = run(module, feeds)
    start = past.get("p", np.zeros((2, 3, 3), np.float32))
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


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    "one",
    [
        node("Conv", ["x", "w"], ["y"], group=2),
        node("ConvTranspose", ["x", "w"], ["y"], group=2),
        node("AveragePool", ["x"], ["y"], kernel_shape=[15, 15]),
        node("LpPool", ["x"], ["y"], kernel_shape=[15, 15]),
        node("GlobalLpPool", ["x"], ["y"]),
    ],
)
def test_floats_of_16_bits_are_summed_in_32(one: onnx.NodeProto, dtype: Any) -> None:
    """Sums of 400 numbers of one sign, of which a kernel in 16 bits would lose many."""
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
