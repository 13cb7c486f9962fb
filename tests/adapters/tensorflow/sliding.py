"""Windows for tests of convolutions and poolings, and models over lengths that are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from hypothesis import settings
from hypothesis import strategies as st

from tests.adapters.pytorch.graphs import model, normal, onnxruntime_says
from tests.adapters.tensorflow.graphs import run
from xbench_adapters.tensorflow import import_onnx

few = settings(max_examples=10, deadline=None, derandomize=True)


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


def opened(whole: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with every length of its first input open but that of the channels."""
    for place, dim in enumerate(whole.graph.input[0].type.tensor_type.shape.dim):
        if place != 1:
            dim.dim_param = f"n{place}"
    return whole


def agree_open(
    one: onnx.NodeProto,
    shapes: Sequence[tuple[int, ...]],
    outputs: list[str],
    weights: dict[str, Any] | None = None,
    opset: int = 20,
) -> None:
    """Check a module imported with open lengths, for each shape."""
    whole = opened(model([one], {"x": normal(*shapes[0])}, outputs, weights, opset))
    module = import_onnx(whole)
    for shape in shapes:
        feeds = {"x": normal(*shape)}
        for have, want in zip(run(module, feeds), onnxruntime_says(whole, feeds), strict=True):
            assert (have.dtype, have.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def shapes_of(axes: int) -> list[tuple[int, ...]]:
    return [(2, 4, *(7 + place for place in range(axes))), (1, 4, *(8,) * axes)]


def kinds_of(module: Any) -> list[str]:
    """Return the kinds of TensorFlow's operations in a module."""
    return [one.type for one in module.call.get_concrete_function().graph.get_operations()]
