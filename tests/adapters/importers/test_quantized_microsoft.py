"""Operators of ONNX Runtime's quantiser, and models that it wrote, against ONNX Runtime.

Where its kernels look results up in tables of their own precision, or add in another order, a
number may be one quantum away: `quanta=1`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.graphs import (
    model,
    normal,
)
from tests.adapters.importers.chosen import (
    few,
    ran,
)
from tests.adapters.importers.microsoft import node
from tests.adapters.importers.quantised import bytes_, same, small, whole
from tests.adapters.importers.sliding import any_windows as windows


def scales(dtype: Any, names: str, result: float = 0.9) -> dict[str, Any]:
    """Return a scale and a zero point for each letter, the last being the result's."""
    found: dict[str, Any] = {}
    for place, letter in enumerate(names):
        last = place == len(names) - 1
        found[f"{letter}s"] = np.float32(result if last else 0.013 * (place + 1))
        found[f"{letter}z"] = whole(dtype, seed=place + 7)
    return found


@given(st.sampled_from(["QLinearAdd", "QLinearMul"]), bytes_, st.booleans(), st.booleans())
@few
def test_pairs(operator: str, dtype: Any, broadcasts: bool, known: bool) -> None:
    feeds = {"a": whole(dtype, 2, 3, 40), "b": whole(dtype, *(1, 40) if broadcasts else (2, 3, 40))}
    given = scales(dtype, "aby", 0.05)
    names = ["a", "as", "az", "b", "bs", "bz", "ys", "yz"]
    made = node(operator, names, ["y"])
    same([made], feeds if known else feeds | given, ["y"], given if known else None, quanta=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("operator", ["QLinearSigmoid", "QLinearLeakyRelu"])
def test_functions_of_one(operator: str, dtype: Any) -> None:
    given = scales(dtype, "xy", 0.004 if operator == "QLinearSigmoid" else 0.01)
    made = node(operator, ["x", *given], ["y"], **({} if operator[7] == "S" else {"alpha": 0.2}))
    same([made], {"x": whole(dtype, 2, 200)}, ["y"], given)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(("opset", "axis"), [(12, 1), (13, 1), (13, -1)])
def test_softmax(opset: int, axis: int, dtype: Any) -> None:
    zero = np.zeros((), dtype) if dtype is np.uint8 else np.int8(-128)
    given = {"xs": np.float32(0.03), "xz": whole(dtype), "ys": np.float32(1 / 256), "yz": zero}
    made = node("QLinearSoftmax", ["x", *given], ["y"], axis=axis, opset=opset)
    same([made], {"x": whole(dtype, 3, 5, 4)}, ["y"], given, quanta=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_choices(dtype: Any) -> None:
    feeds = {"c": whole(np.uint8, 3, 1) > 120, "x": whole(dtype, 3, 40), "y": whole(dtype, 1, 40)}
    given = scales(dtype, "xyz", 0.02)
    made = node("QLinearWhere", ["c", "x", "xs", "xz", "y", "ys", "yz", "zs", "zz"], ["q"])
    same([made], feeds, ["q"], given, quanta=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("axis", [1, -1])
def test_joins(dtype: Any, axis: int) -> None:
    given = scales(dtype, "aby", 0.02)
    feeds = {
        "a": whole(dtype, 3, 5, 20),
        "b": whole(dtype, *((3, 2, 20) if axis == 1 else (3, 5, 9))),
    }
    names = ["ys", "yz", "a", "as", "az", "b", "bs", "bz"]
    same([node("QLinearConcat", names, ["y"], axis=axis)], feeds, ["y"], given, quanta=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("last", [0, 1])
def test_means_over_all_places(dtype: Any, last: int) -> None:
    given = scales(dtype, "xy", 0.01)
    made = node("QLinearGlobalAveragePool", ["x", *given], ["y"], channels_last=last)
    same([made], {"x": whole(dtype, 2, 6, 7, 5)}, ["y"], given, quanta=1)


@given(st.data(), st.integers(1, 3), st.booleans(), st.booleans(), st.booleans(), bytes_)
@few
def test_means_over_windows(
    data: st.DataObject, axes: int, ceil: bool, counts: bool, last: bool, dtype: Any
) -> None:
    attributes = data.draw(windows(axes))
    if attributes["auto_pad"] == "NOTSET":
        attributes["ceil_mode"] = int(ceil)
    last = last and axes == 2
    given = scales(dtype, "xy", 0.01)
    spatial = tuple(6 + place for place in range(axes))
    feeds = {"x": whole(dtype, *((2, *spatial, 3) if last else (2, 3, *spatial)))}
    made = node(
        "QLinearAveragePool", ["x", *given], ["y"],
        count_include_pad=int(counts), channels_last=int(last), **attributes,
    )  # fmt: skip
    same([made], feeds, ["y"], given, quanta=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(("axes", "keeps"), [([1], 1), ([0, -1], 0)])
def test_means_over_axes(dtype: Any, axes: list[int], keeps: int) -> None:
    given = scales(dtype, "xy", 0.01)
    made = node("QLinearReduceMean", ["x", *given], ["y"], axes=axes, keepdims=keeps)
    whole_model = model([made], {"x": whole(dtype, 2, 6, 7)}, ["y"], given)
    (found,) = ran(whole_model, {"x": whole(dtype, 2, 6, 7)})
    zeros = [float(given[name]) for name in ("xz", "yz")]
    means = (whole(dtype, 2, 6, 7).astype(np.float32) - zeros[0]).mean(
        tuple(axes), keepdims=keeps > 0
    )
    info = np.iinfo(dtype)
    want = np.clip(np.rint(means * given["xs"] / given["ys"]) + zeros[1], info.min, info.max)
    assert found.shape == want.shape
    assert np.abs(found.astype(np.float64) - want).max() <= 1


@given(bytes_, st.booleans(), st.booleans(), st.booleans(), st.booleans())
@few
def test_matrix_products_with_a_bias(
    dtype: Any, by_column: bool, turned: bool, real: bool, known: bool
) -> None:
    shape = (6,) if by_column else ()
    feeds = {"a": whole(dtype, *((9, 4) if turned else (4, 9))), "as": np.float32(0.02)}
    feeds["az"] = whole(dtype, seed=3)
    weights: dict[str, Any] = {
        "b": small(*((6, 9) if turned else (9, 6))),
        "bs": np.asarray(np.resize(np.array([0.01, 0.02, 0.005], np.float32), shape)),
        "bz": np.asarray(np.resize(np.array([1, -2, 0], np.int8), shape)),
        "c": whole(np.int32, 6) // 2**14,
    }
    if not real:
        weights |= {"ys": np.float32(0.9), "yz": whole(dtype, seed=4)}
    made = node(
        "QGemm", [*feeds, *weights], ["y"],
        alpha=0.5 if real else 1.0, transA=int(turned), transB=int(turned),
    )  # fmt: skip
    same([made], feeds if known else feeds | weights, ["y"], weights if known else None, rtol=1e-6)


@given(bytes_, st.booleans(), st.booleans(), st.booleans())
@few
def test_products_by_the_range_of_the_input(
    dtype: Any, by_column: bool, biased: bool, known: bool
) -> None:
    shape = (5,) if by_column else ()
    weights: dict[str, Any] = {
        "b": small(30, 5) if dtype is np.int8 else whole(dtype, 30, 5),
        "bs": np.asarray(np.resize(np.array([0.01, 0.02, 0.005], np.float32), shape)),
        "bz": np.asarray(np.resize(whole(dtype, seed=3), shape)),
    }
    if biased:
        weights["c"] = normal(5, seed=4)
    feeds = {"a": normal(2, 4, 30)}
    made = node("DynamicQuantizeMatMul", ["a", *weights], ["y"])
    same(
        [made], feeds if known else feeds | weights, ["y"], weights if known else None,
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip


@given(st.booleans(), st.booleans(), st.booleans(), st.booleans())
@few
def test_products_as_floats(by_column: bool, biased: bool, known: bool, scaled: bool) -> None:
    shape = (5,) if by_column else ()
    bias = {"c": normal(5, seed=4)} if biased else {}
    feeds: dict[str, Any] = {"a": whole(np.uint8, 2, 4, 30), "as": np.float32(0.02)}
    feeds["az"] = np.uint8(77)
    weights: dict[str, Any] = {
        "b": small(30, 5),
        "bs": np.asarray(np.resize(np.array([0.01, 0.02, 0.005], np.float32), shape)),
        "bz": np.asarray(np.resize(np.int8(3), shape)),
    }
    names = ["a", "b", "as", "bs", "az", "bz", *bias]
    made = node("MatMulIntegerToFloat", names, ["y"])
    if scaled:
        weights["as"] = feeds.pop("as")
    given = weights | bias
    same(
        [made], feeds if known else feeds | given, ["y"], given if known else None,
        rtol=1e-6, atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("axis", [None, 1])
def test_quantising_and_back_in_their_own_domain(dtype: Any, axis: int | None) -> None:
    shape = () if axis is None else (4,)
    given = {
        "s": np.asarray(np.resize(np.array([0.3, 0.5, 0.1], np.float32), shape)),
        "z": np.asarray(np.resize(whole(dtype, 3), shape)),
    }
    axes = {} if axis is None else {"axis": axis}
    nodes = [
        node("QuantizeLinear", ["x", *given], ["q"], **axes),
        node("DequantizeLinear", ["q", *given], ["y"], **axes),
    ]
    same(nodes, {"x": normal(3, 4, 5) * 9}, ["q", "y"], given, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_convolutions_with_channels_last(dtype: Any) -> None:
    given = scales(dtype, "xy", 0.4)
    weights = {"w": small(6, 2, 3, 3), "ws": np.full(6, 0.01, np.float32)}
    weights |= {"wz": np.zeros(6, np.int8), "b": whole(np.int32, 6) // 2**18} | given
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
    made = node("QLinearConv", names, ["y"], channels_last=1, group=2, pads=[1, 0, 0, 1])
    same([made], {"x": whole(dtype, 2, 8, 7, 4)}, ["y"], weights)


def test_products_of_elements_in_32_bits() -> None:
    feeds = {"a": whole(np.uint8, 3, 40), "b": whole(np.uint8, 40, seed=1)}
    given = {"az": np.uint8(3), "bz": np.uint8(250)}
    made = model([node("MulInteger", ["a", "az", "b", "bz"], ["y"])], feeds, ["y"], given)
    (found,) = ran(made, feeds)
    want = (feeds["a"].astype(np.int32) - 3) * (feeds["b"].astype(np.int32) - 250)
    np.testing.assert_array_equal(found, want)
