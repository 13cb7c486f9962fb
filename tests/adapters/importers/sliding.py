"""Windows for tests of convolutions and poolings, and models over lengths that are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from hypothesis import strategies as st

from tests.adapters.graphs import close, model, normal, onnxruntime_says, opened
from tests.adapters.importers.chosen import import_onnx, run


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


@st.composite
def any_windows(draw: st.DrawFn, axes: int) -> dict[str, Any]:
    """Return attributes of windows as those of `windows`, single elements and gaps among them."""
    attributes: dict[str, Any] = {
        "kernel_shape": draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)),
        "strides": draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)),
    }
    kind = draw(st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    attributes["auto_pad"] = kind
    if kind == "NOTSET":
        smallest = min(attributes["kernel_shape"]) - 1
        pads = st.integers(0, smallest)
        attributes["pads"] = draw(st.lists(pads, min_size=2 * axes, max_size=2 * axes))
    return attributes


def agree_open(
    one: onnx.NodeProto,
    shapes: Sequence[tuple[int, ...]],
    outputs: list[str],
    weights: dict[str, Any] | None = None,
    opset: int = 20,
) -> None:
    """Check a model imported with open lengths, for each shape."""
    whole = opened(model([one], {"x": normal(*shapes[0])}, outputs, weights, opset))
    module = import_onnx(whole)
    for shape in shapes:
        feeds = {"x": normal(*shape)}
        close(run(module, feeds), onnxruntime_says(whole, feeds))


def shapes_of(axes: int) -> list[tuple[int, ...]]:
    return [(2, 4, *(7 + place for place in range(axes))), (1, 4, *(8,) * axes)]
