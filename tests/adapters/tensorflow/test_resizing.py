"""Resizing in every mode, with lengths and scales that only the run brings."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.pytorch.graphs import (
    few,
    model,
    normal,
    onnxruntime_says,
    opened,
    reference_says,
    ways,
)
from tests.adapters.tensorflow.graphs import run
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

node = helper.make_node
few = settings(few, max_examples=6)


def check(
    nodes: list[onnx.NodeProto],
    feeds: dict[str, Any],
    rest: dict[str, Any],
    *,
    way: str = "known",
    opset: int = 20,
    reference: bool = False,
    tolerance: float = 1e-5,
) -> None:
    """Check the output ``y`` against ONNX Runtime's, or that of ONNX's reference.

    Args:
        nodes: The computation.
        feeds: Inputs of every run.
        rest: Lengths and the like: constants where they are ``known``, else inputs.
        way: How ``rest`` is told; ``open`` if no length of an input is known either.
        opset: The operator set.
        reference: Whether ONNX's reference tells.
        tolerance: How far floats may be apart.
    """
    given_ = feeds if way == "known" else feeds | rest
    whole = model(nodes, given_, ["y"], rest if way == "known" else None, opset)
    (want,) = (reference_says if reference else onnxruntime_says)(whole, given_)
    (have,) = run(import_onnx(opened(whole) if way == "open" else whole), given_)
    assert (have.dtype, have.shape) == (want.dtype, want.shape)
    np.testing.assert_allclose(have, want, rtol=10 * tolerance, atol=tolerance)


PLACES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
lengths = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(PLACES),
    st.sampled_from(ROUNDINGS),
    lengths,
    ways,
)
@settings(few, max_examples=12)
def test_resizing_to_lengths(
    mode: str, places: str, rounding: str, ends: tuple[int, int], way: str
) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": places, "nearest_mode": rounding}
    feeds, rest = {"x": normal(1, 2, 4, 6)}, {"n": np.array([1, 2, *ends])}
    check([node("Resize", ["x", "", "", "n"], ["y"], **attributes)], feeds, rest, way=way)


@given(st.sampled_from(["nearest", "linear", "cubic"]), st.sampled_from([2, 0.6, 1.5, 0.25]), ways)
@few
def test_resizing_by_scales(mode: str, scale: float, way: str) -> None:
    feeds, rest = {"x": normal(1, 2, 4, 6)}, {"s": np.array([1, 1, scale, 2 * scale], np.float32)}
    check([node("Resize", ["x", "", "s"], ["y"], mode=mode)], feeds, rest, way=way)


@given(
    st.sampled_from(["linear", "cubic"]),
    st.booleans(),
    lengths,
    st.sampled_from([-0.75, -0.5]),
    ways,
)
@few
def test_resizing_with_filters(
    mode: str, antialias: bool, ends: tuple[int, int], sharpness: float, way: str
) -> None:
    attributes: dict[str, Any] = {
        "antialias": int(antialias),
        "exclude_outside": int(mode == "cubic"),
    }
    feeds, rest = {"x": normal(1, 2, 6, 8)}, {"n": np.array(ends)}
    resize = node(
        "Resize", ["x", "", "", "n"], ["y"],
        mode=mode, cubic_coeff_a=sharpness, axes=[2, 3], **attributes,
    )  # fmt: skip
    check([resize], feeds, rest, way=way, reference=True)


@given(st.sampled_from(["not_larger", "not_smaller"]), lengths, ways)
@few
def test_resizing_that_keeps_the_aspect(policy: str, ends: tuple[int, int], way: str) -> None:
    feeds, rest = {"x": normal(1, 2, 4, 6)}, {"n": np.array(ends)}
    resize = node(
        "Resize", ["x", "", "", "n"], ["y"],
        axes=[3, 2], keep_aspect_ratio_policy=policy, mode="linear",
    )  # fmt: skip
    ratios = ends[0] / 6, ends[1] / 4
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    assume(int(4 * ratio + 0.5) and int(6 * ratio + 0.5))
    check([resize], feeds, rest, way=way, reference=True)


@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from([-0.17, 0, 0.31]),
    st.sampled_from([0.57, 1, 1.23]),
    ways,
)
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
    check([resize], feeds, rest, way=way)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float64, np.float16])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resizing_elements_of_any_type(mode: str, kind: Any) -> None:
    """Whole elements are rounded and do not wrap around."""
    whole = np.random.default_rng(0).integers(0, 256, (1, 2, 4, 6)).astype(kind)
    rest = {"s": np.array([1, 1, 1.5, 2.5], np.float32)}
    resize = node("Resize", ["x", "", "s"], ["y"], mode=mode)
    tolerance = 2e-3 if kind == np.float16 else 1e-5
    check([resize], {"x": whole}, rest, way="fed", reference=True, tolerance=tolerance)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0])
def test_resizing_before_coordinates_could_be_chosen(mode: str, scale: float) -> None:
    feeds, rest = {"x": normal(1, 2, 4, 6)}, {"s": np.array([1, 1, scale, 2 * scale], np.float32)}
    check([node("Resize", ["x", "s"], ["y"], mode=mode)], feeds, rest, opset=10)
    check([node("Upsample", ["x", "s"], ["y"], mode=mode)], feeds, rest, way="fed", opset=9)
    upsample = node("Upsample", ["x"], ["y"], mode=mode, scales=rest["s"].tolist())
    check([upsample], feeds, {}, opset=8)


@pytest.mark.parametrize(("scale", "detail"), [(0.7, "another length"), (1.2, "but for rounding")])
def test_what_rounding_decides_is_refused(scale: float, detail: str) -> None:
    """Ten times 0.7 is 7 in 32 bits, and less in more; so is 6 / 1.2 as 5."""
    scales = {"s": np.array([1, 1, scale, scale], np.float32)}
    resize = node(
        "Resize", ["x", "", "s"], ["y"],
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    with pytest.raises(UnsupportedNodeError, match=detail):
        import_onnx(model([resize], {"x": normal(1, 1, 10, 10)}, ["y"], scales))


@pytest.mark.parametrize(
    ("one", "detail"),
    [
        (node("Resize", ["x", "", "s"], ["y"], mode="linear",
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


def operations(module: Any) -> set[str]:
    """Return the kinds of operations that a module runs."""
    return {one.type for one in module.call.get_concrete_function().graph.get_operations()}


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_between_convolutions_resizing_is_native(mode: str) -> None:
    """Whole factors are what models have most: no layout is turned, no place is gathered."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Resize", ["a", "", "s"], ["b"], mode=mode),
        node("Conv", ["b", "v"], ["y"]),
    ]
    weights = {
        "w": normal(3, 2, 3, 3),
        "v": normal(4, 3, 3, 3),
        "s": np.array([1, 1, 2, 2], np.float32),
    }
    feeds = {"x": normal(1, 2, 5, 4)}
    check(nodes, feeds, weights)
    found = operations(import_onnx(model(nodes, feeds, ["y"], weights)))
    assert f"Resize{'NearestNeighbor' if mode == 'nearest' else 'Bilinear'}" in found
    assert "GatherV2" not in found


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
    check(nodes, feeds, weights, reference=True)
