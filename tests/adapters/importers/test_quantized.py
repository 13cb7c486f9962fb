"""Operators on whole numbers of few bits, against ONNX Runtime or ONNX's own reference."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.adapters.graphs import (
    model,
)
from tests.adapters.importers.chosen import (
    few,
    import_onnx,
)
from tests.adapters.importers.quantised import (
    as_reference,
    granularity,
    halves,
    same,
    scale_of,
    whole,
)
from xbench.errors import UnsupportedNodeError

node = helper.make_node


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
    feeds = {"x": x} | ({} if known else tensors)
    same([made], feeds, ["y"], tensors if known else None)


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
    same([made], {"x": x} | tensors, ["y"], atol=1e-7, rtol=1e-6)


@given(st.sampled_from([np.uint8, np.int8, np.int16]), st.booleans(), st.booleans(), st.booleans())
@few
def test_what_is_quantised_and_dequantised_at_once(
    dtype: Any, kept: bool, apart: bool, zeroed: bool
) -> None:
    x = np.concatenate([halves(400), [np.nan, np.inf, -np.inf]]).astype(np.float32)
    weights: dict[str, Any] = {"s": np.float32(0.25), "t": np.float32(0.5 if apart else 0.25)}
    weights |= {"z": whole(dtype, seed=3)} if zeroed or dtype is not np.uint8 else {}
    zero = [name for name in weights if name == "z"]
    nodes = [
        node("QuantizeLinear", ["x", "s", *zero], ["q"]),
        node("DequantizeLinear", ["q", "t", *zero], ["y"]),
    ]
    same(nodes, {"x": x}, ["q", "y"] if kept else ["y"], weights)


FEW_BITS = ["int4", "uint4", "int2", "uint2", "float4_e2m1fn"]
EIGHT = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]


def code(name: str) -> int:
    """Return the code of an element type that NumPy lacks."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(getattr(ml_dtypes, name))))


@pytest.mark.parametrize("name", FEW_BITS)
@pytest.mark.parametrize("kind", ["tensor", "axis", "blocks"])
def test_types_of_less_than_a_byte(name: str, kind: str) -> None:
    x = np.concatenate([halves(3, 6, 4) / 16, halves(3, 6, 4)], 2)
    shape = scale_of(x.shape, kind, 4)
    scale = np.asarray(np.resize(np.array([1, 0.5, 2], np.float32), shape))
    attributes: dict[str, Any] = {"block_size": 4 if kind == "blocks" else 0}
    zero = np.ones(shape, getattr(ml_dtypes, name))
    weights = {"s": scale, "z": zero}
    made = node("QuantizeLinear", ["x", "s", "z"], ["y"], **attributes)
    as_reference([made], {"x": x}, weights, 25, code(name))
    if name == "float4_e2m1fn":
        weights["z"] = np.zeros(shape, zero.dtype)  # the reference leaves it out
    codes = np.resize(np.arange(-8, 8), x.shape).astype(zero.dtype)
    made = node("DequantizeLinear", ["c", "s", "z"], ["y"], **attributes)
    as_reference([made], {"c": codes}, weights, 25, TensorProto.FLOAT)
    made = node("DequantizeLinear", ["c", "s", "z"], ["d"], **attributes)
    add = node("Add", ["x", "d"], ["y"])
    as_reference([made, add], {"x": x}, weights | {"c": codes}, 25, TensorProto.FLOAT)


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("floats", [np.float32, np.float16])
def test_floats_of_a_byte(name: str, saturate: int, floats: Any) -> None:
    finfo: Any = ml_dtypes.finfo
    largest = float(finfo(getattr(ml_dtypes, name)).max)
    edges = largest / 2 * np.array([1, 1.01, 1.03, 1.04, 1.0625, 1.07, 1.2, 2])
    special = [0.0, -0.0, np.nan, *([np.inf, -np.inf] if saturate else [])]
    with np.errstate(over="ignore"):
        x = np.concatenate([edges, -edges, special, halves(300)]).astype(floats)
    weights = {"s": floats(0.5), "z": np.zeros((), getattr(ml_dtypes, name))}
    made = node("QuantizeLinear", ["x", "s", "z"], ["y"], saturate=saturate)
    as_reference([made], {"x": x[np.isfinite(x) | np.isnan(x)]}, weights, 21, code(name))
    every = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name))
    made = node("DequantizeLinear", ["x", "s", "z"], ["y"])
    kind = TensorProto.FLOAT if floats is np.float32 else TensorProto.FLOAT16
    as_reference([made], {"x": every}, weights, 21, kind)


def test_a_type_to_quantise_to_may_be_named() -> None:
    x = halves(40) / 16
    made = node("QuantizeLinear", ["x", "s"], ["y"], output_dtype=TensorProto.INT4)
    as_reference([made], {"x": x}, {"s": np.float32(0.75)}, 21, TensorProto.INT4)


def test_the_division_may_be_in_a_type_of_its_own() -> None:
    x = halves(300) * 0.37
    made = node("QuantizeLinear", ["x", "s"], ["y"], precision=TensorProto.FLOAT16)
    as_reference([made], {"x": x}, {"s": np.float32(0.3)}, 23, TensorProto.UINT8)


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
    same([made], {"x": x}, outputs, rtol=1e-7)


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
    same(nodes, {"x": x}, ["q", "y"], told)
    same(nodes, {"x": x}, ["y"], told)
