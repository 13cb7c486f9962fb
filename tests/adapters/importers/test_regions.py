"""Sampling on grids, pooling over regions, boxes that overlap, and images from columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import WAYS, normal, ways
from tests.adapters.importers.chosen import agree_as, examples, few
from tests.adapters.importers.refusals import refused

node = helper.make_node


@given(
    st.sampled_from(["linear", "nearest", "cubic"]),
    st.sampled_from(["zeros", "border", "reflection"]),
    st.booleans(),
    st.integers(1, 3),
    st.booleans(),
)
@examples(60)
def test_sampling_on_grids(mode: str, padding: str, aligned: bool, axes: int, known: bool) -> None:
    sizes = (4, 5, 3)[:axes]
    feeds = {
        "x": normal(2, 3, *sizes),
        "g": normal(2, *(3, 4, 2)[:axes], axes, seed=1).clip(-2.5, 2.5),
    }
    sample = node(
        "GridSample", ["x", "g"], ["y"],
        mode=mode, padding_mode=padding, align_corners=int(aligned),
    )  # fmt: skip
    if (mode, padding) != ("cubic", "border"):  # where no runtime does as the reference
        agree_as([sample], feeds, {}, way="known" if known else "open", reference=True)
    if axes == 2 or (axes == 3 and mode != "cubic"):
        agree_as([sample], feeds, {}, way="known" if known else "open")


def test_sampling_whole_elements() -> None:
    feeds = {"x": np.arange(24).reshape(1, 2, 3, 4), "g": normal(1, 5, 5, 2)}
    sample = node("GridSample", ["x", "g"], ["y"], mode="nearest")
    agree_as([sample], feeds, {}, reference=True)


@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 3, 4, 5, 2)])
@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("way", WAYS)
def test_grids_of_affine_maps(size: tuple[int, ...], aligned: int, way: str) -> None:
    axes = len(size) - 2
    feeds, rest = {"t": normal(2, axes, axes + 1)}, {"n": np.array(size)}
    grid = node("AffineGrid", ["t", "n"], ["y"], align_corners=aligned)
    with refused("affine grids for an unknown number of lengths", when=way == "open"):
        agree_as([grid], feeds, rest, way=way)


REGIONS = np.array(
    [[0, 0, 5, 7], [1, 2, 3, 3.5], [4, 5, 4.2, 5.1], [-3, -1, 9, 14], [2, 1, 1, 0.5]], np.float32
)


@given(
    st.sampled_from(["avg", "max"]),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([1.0, 0.5]),
    st.booleans(),
)
@examples(40)
def test_pooling_regions_between_elements(
    mode: str, samples: int, shifted: bool, scale: float, fed: bool
) -> None:
    attributes: dict[str, Any] = {"mode": mode, "sampling_ratio": samples, "spatial_scale": scale}
    places = "half_pixel" if shifted else "output_half_pixel"
    feeds, rest = {"x": normal(2, 3, 8, 6)}, {"r": REGIONS, "b": np.array([0, 1, 1, 0, 1])}
    pool = node(
        "RoiAlign", ["x", "r", "b"], ["y"],
        output_height=2, output_width=3, coordinate_transformation_mode=places, **attributes,
    )  # fmt: skip
    agree_as([pool], feeds, rest, way="open" if fed else "known")


def test_pooling_regions_before_shifts_were_known() -> None:
    feeds, rest = {"x": normal(2, 3, 8, 6)}, {"r": REGIONS, "b": np.array([0, 1, 1, 0, 1])}
    pool = node("RoiAlign", ["x", "r", "b"], ["y"], output_height=2, output_width=2)
    agree_as([pool], feeds, rest, opset=10)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("way", WAYS)
def test_pooling_regions_of_elements(scale: float, way: str) -> None:
    images = np.array([[0], [1], [1], [0], [1]], np.float32)
    feeds, rest = {"x": normal(2, 3, 8, 6)}, {"r": np.concatenate([images, REGIONS], 1)}
    pool = node("MaxRoiPool", ["x", "r"], ["y"], pooled_shape=[2, 3], spatial_scale=scale)
    agree_as([pool], feeds, rest, way=way)


@given(
    st.integers(0, 6),
    st.floats(0, 1, width=32),
    st.sampled_from([None, 0.2, 0.6]),
    st.booleans(),
    ways,
)
@few
def test_boxes_that_overlap_better_ones_are_left_out(
    most: int, overlap: float, least: float | None, centred: bool, way: str
) -> None:
    random = np.random.default_rng(most)
    boxes = random.uniform(0, 1, (2, 12, 4)).astype(np.float32)
    scores = random.integers(0, 9, (2, 3, 12)).astype(np.float32) / 8
    rest = {"n": np.array([most]), "o": np.array([overlap], np.float32)}
    if least is not None:
        rest["s"] = np.array([least], np.float32)
    feeds = {"b": boxes, "p": scores}
    choose = node("NonMaxSuppression", [*feeds, *rest], ["y"], center_point_box=int(centred))
    agree_as([choose], feeds, rest, way=way)


@given(st.sampled_from([1, 2, 3]), st.integers(0, 1), st.integers(1, 2), st.integers(1, 2), ways)
@few
def test_images_from_columns(axes: int, pad: int, step: int, stride: int, way: str) -> None:
    image, block = [5, 6, 4][:axes], [2, 3, 2][:axes]
    pads = [pad] * axes + [1] * axes
    counts = [
        (n + pad + 1 - step * (k - 1) - 1) // stride + 1 for n, k in zip(image, block, strict=True)
    ]
    feeds = {"x": normal(2, 3 * int(np.prod(block)), int(np.prod(counts)))}
    rest = {"n": np.array(image), "k": np.array(block)}
    fold = node(
        "Col2Im", ["x", "n", "k"], ["y"],
        pads=pads, strides=[stride] * axes, dilations=[step] * axes,
    )  # fmt: skip
    with refused("columns for an unknown number of lengths", when=way == "open"):
        agree_as([fold], feeds, rest, way=way, reference=True)
