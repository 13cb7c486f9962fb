"""Resizing in every mode, with lengths and scales that only the run brings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import WAYS, model, normal, ways
from tests.adapters.importers.chosen import agree_as, examples, few, import_onnx, run
from xbench.errors import UnsupportedNodeError

node = helper.make_node


PLACES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(PLACES),
    st.sampled_from(ROUNDINGS),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    ways,
)
@examples(80)
def test_resizing_to_lengths(
    mode: str, places: str, rounding: str, lengths: tuple[int, int], way: str
) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": places, "nearest_mode": rounding}
    feeds, rest = {"x": normal(1, 2, 4, 6)}, {"n": np.array([1, 2, *lengths])}
    resize = node("Resize", ["x", "", "", "n"], ["y"], **attributes)
    agree_as([resize], feeds, rest, way=way)


@given(st.sampled_from(["nearest", "linear", "cubic"]), st.sampled_from([2, 0.6, 1.5, 0.25]), ways)
@few
def test_resizing_by_scales(mode: str, scale: float, way: str) -> None:
    feeds, rest = {"x": normal(1, 2, 4, 6)}, {"s": np.array([1, 1, scale, 2 * scale], np.float32)}
    agree_as([node("Resize", ["x", "", "s"], ["y"], mode=mode)], feeds, rest, way=way)


@given(
    st.sampled_from(["linear", "cubic"]),
    st.booleans(),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([-0.75, -0.5]),
    ways,
)
@examples(50)
def test_resizing_with_filters(
    mode: str, antialias: bool, lengths: tuple[int, int], sharpness: float, way: str
) -> None:
    attributes: dict[str, Any] = {
        "antialias": int(antialias),
        "exclude_outside": int(mode == "cubic"),
    }
    feeds, rest = {"x": normal(1, 2, 6, 8)}, {"n": np.array(lengths)}
    resize = node(
        "Resize", ["x", "", "", "n"], ["y"],
        mode=mode, cubic_coeff_a=sharpness, axes=[2, 3], **attributes,
    )  # fmt: skip
    agree_as([resize], feeds, rest, way=way, reference=True)
    if not antialias:
        agree_as([resize], feeds, rest, way=way)


@given(
    st.sampled_from(["not_larger", "not_smaller"]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    ways,
)
@few
def test_resizing_that_keeps_the_aspect(policy: str, lengths: tuple[int, int], way: str) -> None:
    feeds, rest = {"x": normal(1, 2, 4, 6)}, {"n": np.array(lengths)}
    resize = node(
        "Resize", ["x", "", "", "n"], ["y"],
        axes=[3, 2], keep_aspect_ratio_policy=policy, mode="linear",
    )  # fmt: skip
    ratios = lengths[0] / 6, lengths[1] / 4
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    assume(int(4 * ratio + 0.5) and int(6 * ratio + 0.5))
    agree_as([resize], feeds, rest, way=way, reference=True)


@given(st.sampled_from(["nearest", "linear", "cubic"]), st.sampled_from([-0.17, 0, 0.31]),
       st.sampled_from([0.57, 1, 1.23]), ways)  # fmt: skip
@few
def test_resizing_regions(mode: str, start: float, end: float, way: str) -> None:
    feeds = {"x": normal(1, 2, 4, 6)}
    rest = {
        "r": np.array([0, 0, start, start, 1, 1, end, 1], np.float32),
        "n": np.array([1, 2, 3, 5]),
    }
    resize = node(
        "Resize", ["x", "r", "", "n"], ["y"],
        mode=mode, coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=7.0,
    )  # fmt: skip
    agree_as([resize], feeds, rest, way=way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float64, np.float16])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resizing_elements_of_any_type(mode: str, kind: Any, way: str) -> None:
    """Whole elements are rounded and do not wrap around."""
    whole = np.random.default_rng(0).integers(0, 256, (1, 2, 4, 6)).astype(kind)
    rest = {"s": np.array([1, 1, 1.5, 2.5], np.float32)}
    resize = node("Resize", ["x", "", "s"], ["y"], mode=mode)
    narrow: dict[str, Any] = {"rtol": 2e-3, "atol": 2e-3} if kind == np.float16 else {}
    agree_as([resize], {"x": whole}, rest, way=way, reference=True, **narrow)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 0.75])
@pytest.mark.parametrize("way", WAYS)
def test_resizing_before_coordinates_could_be_chosen(mode: str, scale: float, way: str) -> None:
    feeds, rest = {"x": normal(1, 2, 4, 6)}, {"s": np.array([1, 1, scale, 2 * scale], np.float32)}
    agree_as([node("Resize", ["x", "s"], ["y"], mode=mode)], feeds, rest, way=way, opset=10)
    if scale >= 1:
        agree_as([node("Upsample", ["x", "s"], ["y"], mode=mode)], feeds, rest, way=way, opset=9)
        scales = rest["s"].tolist()
        upsample = node("Upsample", ["x"], ["y"], mode=mode, scales=scales)
        agree_as([upsample], feeds, {}, way=way, opset=8)


@pytest.mark.parametrize(("scale", "detail"), [(0.7, "another length"), (1.2, "but for rounding")])
def test_what_rounding_decides_is_refused(scale: float, detail: str) -> None:
    """Ten times 0.7 is 7 in 32 bits, and less in more; so is 6 / 1.2 as 5."""
    scales = {"s": np.array([1, 1, scale, scale], np.float32)}
    resize = node(
        "Resize", ["x", "", "s"], ["y"],
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    feeds = {"x": normal(1, 1, 10, 10)}
    with pytest.raises(UnsupportedNodeError, match=detail):
        import_onnx(model([resize], feeds, ["y"], scales))


@pytest.mark.parametrize(
    ("one", "detail"),
    [
        (node("Resize", ["x", "", "s"], ["y"], mode="linear", exclude_outside=0,
              coordinate_transformation_mode="align_corners"), "no whole lengths"),
        (node("Resize", ["x", "", "s"], ["y"], exclude_outside=1), "exclude_outside"),
        (node("Resize", ["x", "", "s"], ["y"],
              coordinate_transformation_mode="tf_crop_and_resize"), "region"),
    ],
)  # fmt: skip
def test_what_runtimes_disagree_on_is_refused(one: Any, detail: str) -> None:
    scales = {"s": np.array([1, 1, 0.6, 0.6], np.float32)}
    with pytest.raises(UnsupportedNodeError, match=detail):
        import_onnx(model([one], {"x": normal(1, 1, 4, 4)}, ["y"], scales))


@pytest.mark.parametrize("scale", [0.6, 1.3, 2.0])
def test_resizing_about_the_middle(scale: float) -> None:
    rest = {"s": np.array([1, 1, 1, scale], np.float32)}
    resize = node(
        "Resize", ["x", "", "s"], ["y"],
        mode="linear", coordinate_transformation_mode="half_pixel_symmetric",
    )  # fmt: skip
    for way in WAYS:
        agree_as([resize], {"x": normal(1, 2, 3, 7)}, rest, way=way, reference=True)


def test_the_first_upsampling_told_two_scales() -> None:
    upsample = node("Upsample", ["x"], ["y"], width_scale=3.0, height_scale=2.0, mode="nearest")
    feeds = {"x": normal(1, 2, 3, 4)}
    (found,) = run(import_onnx(model([upsample], feeds, ["y"], opset=6)), feeds)
    np.testing.assert_array_equal(found, feeds["x"].repeat(2, 2).repeat(3, 3))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("axes", [1, 3])
def test_resizing_signals_and_volumes_after_convolutions(mode: str, axes: int) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Resize", ["a", "", "s"], ["y"], mode=mode, cubic_coeff_a=-0.5),
    ]
    weights = {"w": normal(3, 2, *[1] * axes)}
    weights["s"] = np.array([1, 1, 2, 1.5, 0.5][: axes + 2], np.float32)
    feeds = {"x": normal(1, 2, *(6, 4, 8)[:axes])}
    agree_as(nodes, feeds, weights, reference=True)
