"""Operators on whole numbers of few bits, against ONNX Runtime or ONNX's own reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.adapters.pytorch.graphs import few, model, normal, onnxruntime_says, reference_says
from tests.adapters.pytorch.test_operators import windows
from tests.adapters.pytorch.test_quantized import halves, scale_of, small, whole
from tests.adapters.tensorflow.graphs import run
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

node = helper.make_node
few = settings(few, max_examples=10)
bytes_ = st.sampled_from([np.uint8, np.int8])
granularity = st.sampled_from(["tensor", "axis", "blocks"])


def same(
    nodes: Sequence[onnx.NodeProto],
    feeds: dict[str, Any],
    weights: dict[str, Any] | None = None,
    outputs: Sequence[str] = ("y",),
    *,
    quanta: int = 0,
    tolerance: float = 0.0,
) -> None:
    """Assert that ONNX Runtime and the imported model agree.

    Whole numbers may be ``quanta`` apart, floats ``tolerance``, also of their size.
    """
    feeds = {name: np.asarray(one) for name, one in feeds.items()}
    made = model(nodes, feeds, outputs, weights, 21)
    wanted = onnxruntime_says(made, feeds)
    for want, have in zip(wanted, run(import_onnx(made), feeds), strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        if want.dtype.kind in "iu":
            apart = np.abs(have.astype(np.int64) - want.astype(np.int64))
            assert apart.max(initial=0) <= quanta
        else:
            np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)


def as_reference(
    nodes: Sequence[onnx.NodeProto], feeds: dict[str, Any], weights: dict[str, Any], dtype: int
) -> None:
    """Assert that ONNX's reference and the imported model give the same output ``y``."""
    made = model(nodes, feeds, ["y"], weights, 25)
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", dtype, None))
    with np.errstate(all="ignore"):
        (want,) = reference_says(made, feeds)
    (have,) = run(import_onnx(made), feeds)
    np.testing.assert_array_equal(have.astype(np.float64), np.asarray(want).astype(np.float64))


@given(
    st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]),
    granularity,
    st.booleans(),
    st.booleans(),
)
@few
def test_quantising_rounds_half_to_even_and_saturates(
    dtype: Any, kind: str, zeroed: bool, known: bool
) -> None:
    x = halves(3, 6, 4) * (1 if dtype in (np.uint8, np.int8) else 500)
    shape = scale_of(x.shape, kind, 4)
    scale = np.resize(np.array([1, 0.25, 3], np.float32), shape)
    tensors: dict[str, Any] = {"s": np.asarray(scale)}
    if zeroed or dtype is not np.uint8:
        tensors["z"] = whole(dtype, *shape)
    made = node("QuantizeLinear", ["x", *tensors], ["y"], block_size=4 if kind == "blocks" else 0)
    same([made], {"x": x} | ({} if known else tensors), tensors if known else None)


@given(
    st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.int32]),
    granularity,
    st.booleans(),
    st.sampled_from([np.float32, np.float16]),
)
@few
def test_dequantising(dtype: Any, kind: str, zeroed: bool, floats: Any) -> None:
    x = whole(dtype, 3, 6, 4)
    shape = scale_of(x.shape, kind, 4)
    scale = np.resize(np.array([0.01, 0.25, 0.003], floats), shape)
    tensors: dict[str, Any] = {"s": np.asarray(scale)}
    if zeroed and dtype is not np.int32:
        tensors["z"] = whole(dtype, *shape, seed=1)
    made = node("DequantizeLinear", ["x", *tensors], ["y"], block_size=4 if kind == "blocks" else 0)
    same([made], {"x": x} | tensors, tolerance=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16])
@pytest.mark.parametrize("kept", [False, True])
def test_what_is_quantised_and_dequantised_at_once(dtype: Any, kept: bool) -> None:
    x = np.concatenate([halves(400), [np.nan, np.inf, -np.inf]]).astype(np.float32)
    weights: dict[str, Any] = {"s": np.float32(0.25), "z": whole(dtype, seed=3)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    same(nodes, {"x": x}, weights, ["q", "y"] if kept else ["y"])


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2", "float4_e2m1fn"])
@pytest.mark.parametrize("kind", ["tensor", "axis", "blocks"])
def test_types_of_less_than_a_byte(name: str, kind: str) -> None:
    x = np.concatenate([halves(3, 6, 4) / 16, halves(3, 6, 4)], 2)
    shape = scale_of(x.shape, kind, 4)
    scale = np.asarray(np.resize(np.array([1, 0.5, 2], np.float32), shape))
    attributes: dict[str, Any] = {"block_size": 4 if kind == "blocks" else 0}
    weights: dict[str, Any] = {"s": scale, "z": np.ones(shape, getattr(ml_dtypes, name))}
    code = int(helper.np_dtype_to_tensor_dtype(weights["z"].dtype))
    made = node("QuantizeLinear", ["x", "s", "z"], ["y"], **attributes)
    as_reference([made], {"x": x}, weights, code)
    if name == "float4_e2m1fn":
        weights["z"] = np.zeros(shape, weights["z"].dtype)  # the reference leaves it out
    codes = np.resize(np.arange(-8, 8), x.shape).astype(weights["z"].dtype)
    made = node("DequantizeLinear", ["c", "s", "z"], ["y"], **attributes)
    as_reference([made], {"c": codes}, weights, TensorProto.FLOAT)
    made = node("DequantizeLinear", ["c", "s", "z"], ["d"], **attributes)
    add = node("Add", ["x", "d"], ["y"])
    as_reference([made, add], {"x": x}, weights | {"c": codes}, TensorProto.FLOAT)


@pytest.mark.parametrize(
    "name", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
)
@pytest.mark.parametrize("saturate", [0, 1])
def test_floats_of_a_byte(name: str, saturate: int) -> None:
    finfo: Any = ml_dtypes.finfo
    largest = float(finfo(getattr(ml_dtypes, name)).max)
    edges = largest / 2 * np.array([1, 1.01, 1.03, 1.04, 1.0625, 1.07, 1.2, 2])
    x = np.concatenate([edges, -edges, [0.0, -0.0, np.nan], halves(300)]).astype(np.float32)
    weights: dict[str, Any] = {"s": np.float32(0.5)}
    weights["z"] = np.zeros((), getattr(ml_dtypes, name))
    code = int(helper.np_dtype_to_tensor_dtype(weights["z"].dtype))
    made = node("QuantizeLinear", ["x", "s", "z"], ["y"], saturate=saturate)
    as_reference([made], {"x": x}, weights, code)
    every = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name))
    made = node("DequantizeLinear", ["x", "s", "z"], ["y"])
    as_reference([made], {"x": every}, weights, TensorProto.FLOAT)


def test_floats_of_a_byte_have_no_zero_point() -> None:
    zero = np.ones((), ml_dtypes.float8_e5m2)
    made = node("QuantizeLinear", ["x", "s", "z"], ["y"])
    made = model([made], {"x": halves(3)}, ["y"], {"s": np.float32(1), "z": zero}, 21)
    with pytest.raises(UnsupportedNodeError, match="zero point"):
        import_onnx(made)


@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=20))
@few
def test_quantising_by_the_range_of_the_input(values: list[float]) -> None:
    x = np.array(values, np.float32)
    made = node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])
    outputs = ["y", "s", "z"] if x.any() else ["y", "z"]  # of zeros alone any scale is right
    same([made], {"x": x}, None, outputs, tolerance=1e-7)


@given(bytes_, st.booleans(), st.booleans(), st.integers(0, 2))
@few
def test_products_of_matrices_in_32_bits(
    left: Any, zeroed: bool, known: bool, batches: int
) -> None:
    b: dict[str, Any] = {"b": small(*[2] * min(batches, 1), 7, 5)}
    feeds: dict[str, Any] = {"a": whole(left, *[2] * batches, 3, 7)}
    if zeroed:
        feeds["az"] = whole(left, seed=2)
        b["bz"] = whole(np.int8, 5, seed=3) if batches < 1 else whole(np.int8, seed=3)
    names = ["a", "b", "az" if zeroed else "", "bz" if zeroed else ""]
    made = node("MatMulInteger", names, ["y"])
    same([made], feeds if known else feeds | b, b if known else None)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("terms", [258, 259, 3001, 40000])
def test_sums_beyond_what_float32_holds_are_exact(terms: int, known: bool) -> None:
    a = np.full((1, terms), 255, np.uint8)
    a[0, 0] = 254
    b = {"b": np.full((terms, 1), 255, np.uint8)}
    feeds = {"a": a} if known else {"a": a} | b
    made = model([node("MatMulInteger", ["a", "b"], ["y"])], feeds, ["y"], b if known else None)
    (found,) = run(import_onnx(made), feeds)
    exact = int(a.astype(np.int64).sum()) * 255
    assert int(found[0, 0]) == (exact + 2**31) % 2**32 - 2**31


def test_zero_points_by_row() -> None:
    a, zero = whole(np.uint8, 3, 4), np.array([1, 200, 7], np.uint8)
    feeds = {"a": a, "b": whole(np.int8, 4, 2), "z": zero}
    made = model([node("MatMulInteger", ["a", "b", "z"], ["y"])], feeds, ["y"])
    (found,) = run(import_onnx(made), feeds)
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
    same([made], feeds if known else feeds | weights, weights if known else None)


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
    same([made], feeds if known else feeds | tensors, tensors if known else None)


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
    tensors = {"xs": np.float32(0.02), "xz": whole(dtype, seed=5)} | tensors
    made = node("QLinearConv", [*feeds, *tensors], ["y"], group=groups, **attributes)
    same([made], feeds if known else feeds | tensors, tensors if known else None)


@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_quantising_what_has_its_channels_last(axis: int | None) -> None:
    x = halves(2, 3, 4, 5) / 4
    shape = () if axis is None else (x.shape[axis],)
    scale = np.resize(np.array([0.25, 0.5, 1], np.float32), shape)
    told: dict[str, Any] = {"s": np.asarray(scale), "z": whole(np.uint8, *shape)}
    told["w"] = np.eye(3, dtype=np.float32)[..., None, None]
    along: dict[str, Any] = {"axis": 1 if axis is None else axis}
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("QuantizeLinear", ["c", "s", "z"], ["q"], **along),
        node("DequantizeLinear", ["q", "s", "z"], ["d"], **along),
        node("MaxPool", ["d"], ["y"], kernel_shape=[2, 2]),
    ]
    same(nodes, {"x": x}, told, ["q", "y"])
    same(nodes, {"x": x}, told)


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
    same(nodes, {"x": normal(1, 4, 6, 5)}, told)
