"""Poolings: every kind of windows, lengths that are open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    close,
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


@given(st.data(), st.integers(1, 3), st.sampled_from(["MaxPool", "AveragePool"]), st.booleans())
@examples(60)
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
@examples(40)
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
    options: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": pads}
    for outputs in (["y"], ["y", "i"]):
        one = node("MaxPool", ["x"], outputs, **options)
        agree([one], {"x": x}, outputs)
        agree([one], {"x": np.full_like(x, info.min)}, outputs)


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
    feeds = {"x": normal(2, 4, *(4,) * axes)}
    agree([node(operator, ["x"], ["y"])], feeds, ["y"])
    agree_open(node(operator, ["x"], ["y"]), shapes_of(axes), ["y"])
    conv = node("Conv", ["x", "w"], ["c"])
    agree([conv, node(operator, ["c"], ["y"])], feeds, ["y"], {"w": normal(3, 4, *(2,) * axes)})


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


@given(st.data(), st.integers(1, 3), st.sampled_from(["MaxPool", "AveragePool"]), st.booleans())
@few
def test_poolings(data: st.DataObject, axes: int, operator: str, ceil: bool) -> None:
    attributes = data.draw(any_windows(axes))
    assume(not (ceil and attributes["auto_pad"] != "NOTSET"))
    pairs = zip(attributes["strides"], attributes["kernel_shape"], strict=True)
    gaps = any(stride > width for stride, width in pairs)
    assume(not (gaps and attributes["auto_pad"].startswith("SAME")))  # runtimes differ: refused
    attributes["ceil_mode"] = int(ceil)
    if operator == "AveragePool":
        attributes["count_include_pad"] = data.draw(st.integers(0, 1))
    feeds = {"x": normal(2, 3, *(6 + place for place in range(axes)))}
    pool = node(operator, ["x"], ["y"], **attributes)
    try:
        import_onnx(model([pool], feeds, ["y"]))
    except UnsupportedNodeError as error:
        assume("extent is" not in error.detail)  # ONNX's inference and rule differ: refused
        raise
    agree([pool], feeds, ["y"])
