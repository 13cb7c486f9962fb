"""Products and convolutions of whole numbers of few bits, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    model,
    normal,
)
from tests.adapters.importers.chosen import (
    few,
    ran,
)
from tests.adapters.importers.quantised import (
    bytes_,
    same,
    small,
    whole,
)
from tests.adapters.importers.sliding import any_windows as windows

node = helper.make_node


@given(bytes_, bytes_, st.booleans(), st.booleans(), st.integers(0, 2))
@few
def test_products_of_matrices_in_32_bits(
    left: Any, right: Any, zeroed: bool, known: bool, batches: int
) -> None:
    shape = (*[2] * min(batches, 1), 7, 5)
    b: dict[str, Any] = {"b": small(*shape) if right is np.int8 else whole(right, *shape)}
    feeds: dict[str, Any] = {"a": whole(left, *[2] * batches, 3, 7)}
    if left is np.int8 and right is np.uint8:
        right, b["b"] = np.int8, small(*shape)  # ONNX Runtime lacks this mix
    if zeroed:
        feeds["az"] = whole(left, seed=2)
        b["bz"] = whole(right, 5, seed=3) if batches < 1 else whole(right, seed=3)
    names = ["a", "b", "az" if zeroed else "", "bz" if zeroed else ""]
    made = node("MatMulInteger", names, ["y"])
    same([made], feeds if known else feeds | b, ["y"], b if known else None)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("terms", [258, 259, 3001, 40000])
def test_sums_beyond_what_float32_holds_are_exact(terms: int, known: bool) -> None:
    a = np.full((1, terms), 255, np.uint8)
    a[0, 0] = 254
    b = {"b": np.full((terms, 1), 255, np.uint8)}
    feeds = {"a": a} if known else {"a": a} | b
    made = model([node("MatMulInteger", ["a", "b"], ["y"])], feeds, ["y"], b if known else None)
    (found,) = ran(made, feeds)
    exact = int(a.astype(np.int64).sum()) * 255
    assert int(found[0, 0]) == (exact + 2**31) % 2**32 - 2**31


def test_zero_points_by_row() -> None:
    a, zero = whole(np.uint8, 3, 4), np.array([1, 200, 7], np.uint8)
    feeds = {"a": a, "b": whole(np.int8, 4, 2), "z": zero}
    made = model([node("MatMulInteger", ["a", "b", "z"], ["y"])], feeds, ["y"])
    (found,) = ran(made, feeds)
    want = (a.astype(np.int32) - zero[:, None]) @ feeds["b"].astype(np.int32)
    np.testing.assert_array_equal(found, want)


@given(bytes_, st.booleans(), st.booleans(), st.booleans())
@few
def test_products_of_quantised_matrices(
    left: Any, by_column: bool, known: bool, batched: bool
) -> None:
    shape = (5,) if by_column else ()
    feeds = {"a": whole(left, *[2] * batched, 3, 70), "as": np.float32(0.02)}
    feeds["az"] = whole(left, seed=3)
    weights = {
        "b": small(70, 5),
        "bs": np.asarray(np.resize(np.array([0.01, 0.02, 0.005], np.float32), shape)),
        "bz": np.zeros(shape, np.int8),
        "ys": np.float32(0.9),
        "yz": whole(left, seed=4),
    }
    made = node("QLinearMatMul", ["a", "as", "az", *weights], ["y"])
    same([made], feeds if known else feeds | weights, ["y"], weights if known else None)


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2]), st.booleans(), st.booleans())
@few
def test_convolutions_in_32_bits(
    data: st.DataObject, axes: int, groups: int, zeroed: bool, known: bool
) -> None:
    attributes = data.draw(windows(axes))
    feeds: dict[str, Any] = {"x": whole(np.uint8, 2, 4, *(7 + place for place in range(axes)))}
    tensors: dict[str, Any] = {
        "w": whole(np.uint8, 4, 4 // groups, *attributes["kernel_shape"], seed=1)
    }
    if zeroed:
        feeds["xz"] = np.uint8(130)
        tensors["wz"] = np.uint8(100)
    names = ["x", "w", *(["xz", "wz"] if zeroed else [])]
    made = node("ConvInteger", names, ["y"], group=groups, **attributes)
    same([made], feeds if known else feeds | tensors, ["y"], tensors if known else None)


@given(st.data(), st.integers(1, 3), st.booleans(), st.booleans(), st.booleans(), bytes_)
@few
def test_quantised_convolutions(
    data: st.DataObject, axes: int, by_channel: bool, biased: bool, known: bool, dtype: Any
) -> None:
    attributes = data.draw(windows(axes))
    groups = data.draw(st.sampled_from([1, 2, 4]))
    shape = (4,) if by_channel else ()
    tensors: dict[str, Any] = {
        "w": small(4, 4 // groups, *attributes["kernel_shape"]),
        "ws": np.asarray(np.resize(np.array([0.01, 0.02, 0.005], np.float32), shape)),
        "wz": np.zeros(shape, np.int8),
        "ys": np.float32(0.37),
        "yz": whole(dtype, seed=4),
    }
    if biased:
        tensors["b"] = whole(np.int32, 4) // 2**10
    feeds: dict[str, Any] = {"x": whole(dtype, 2, 4, *(7 + place for place in range(axes)))}
    feeds |= {"xs": np.float32(0.02), "xz": whole(dtype, seed=5)}
    made = node("QLinearConv", [*feeds, *tensors], ["y"], group=groups, **attributes)
    same([made], feeds if known else feeds | tensors, ["y"], tensors if known else None)


def test_convolutions_by_the_range_of_their_input() -> None:
    told: dict[str, Any] = {
        "v": np.eye(4, dtype=np.float32)[..., None, None],
        "w": whole(np.uint8, 6, 4, 3, 3),
        "wz": np.uint8(120),
    }
    nodes = [
        node("Conv", ["x", "v"], ["c"]),
        node("DynamicQuantizeLinear", ["c"], ["q", "s", "z"]),
        node("ConvInteger", ["q", "w", "z", "wz"], ["y"], pads=[1, 1, 1, 1]),
    ]
    same(nodes, {"x": normal(1, 4, 6, 5)}, ["y"], told)
