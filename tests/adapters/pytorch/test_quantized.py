"""Operators on whole numbers of few bits, against ONNX Runtime or ONNX's own reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.adapters.pytorch.graphs import Arrays, few, model, onnxruntime_says, ran, reference_says
from tests.adapters.pytorch.test_operators import windows
from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch import import_onnx
from xbench_adapters.pytorch.tensors import tensor_of

node = helper.make_node
bytes_ = st.sampled_from([np.uint8, np.int8])
Drawn = np.random.Generator


def whole(dtype: Any, *shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return seeded whole numbers over all of a type."""
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, dtype, endpoint=True)


def small(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return seeded numbers of 7 bits with a sign.

    On processors without instructions for it, ONNX Runtime adds pairs of products of unsigned
    and signed numbers in 16 bits, where those of 8 bits saturate: its results are then wrong.
    """
    return whole(np.int8, *shape, seed=seed) // 2


def halves(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return seeded multiples of a half: every other one lies between two whole numbers."""
    drawn = np.random.default_rng(seed).integers(-400, 400, shape)
    return (drawn / 2).astype(np.float32)


def same(
    nodes: Sequence[onnx.NodeProto],
    feeds: Arrays,
    outputs: Sequence[str],
    weights: Arrays | None = None,
    *,
    opset: int = 21,
    quanta: int = 0,
    rtol: float = 0.0,
    atol: float = 0.0,
) -> None:
    """Assert that ONNX Runtime and the imported model agree.

    Args:
        nodes: The graph.
        feeds: Its inputs.
        outputs: Its outputs.
        weights: Its constants.
        opset: The operator set of ONNX.
        quanta: The most that whole numbers may be apart.
        rtol: How far floats may be apart, of their size.
        atol: How far floats may be apart.
    """
    feeds = {name: np.asarray(one) for name, one in feeds.items()}
    made = model(nodes, feeds, outputs, weights, opset)
    wanted = onnxruntime_says(made, feeds)
    for want, have in zip(wanted, ran(made, *feeds.values()), strict=True):
        array = have.numpy()
        assert (array.dtype, array.shape) == (want.dtype, want.shape)
        if want.dtype.kind in "iu":
            apart = np.abs(array.astype(np.int64) - want.astype(np.int64))
            assert apart.max(initial=0) <= quanta
        else:
            np.testing.assert_allclose(array, want, rtol=rtol, atol=atol)


def as_reference(
    nodes: Sequence[onnx.NodeProto], feeds: Arrays, weights: Arrays, opset: int, dtype: int
) -> None:
    """Assert that ONNX's reference and the imported model give the same output ``y``."""
    made = model(nodes, feeds, ["y"], weights, opset)
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", dtype, None))
    with np.errstate(all="ignore"):
        (want,) = reference_says(made, feeds)
    (have,) = ran(made, *feeds.values())
    expected = tensor_of(np.asarray(want))
    assert have.dtype == expected.dtype
    torch.testing.assert_close(have.double(), expected.double(), rtol=0, atol=0, equal_nan=True)


def scale_of(shape: Sequence[int], kind: str, block: int) -> tuple[int, ...]:
    """Return the shape of scales for a tensor whose axis 1 they go along."""
    if kind == "blocks":
        return (shape[0], -(-shape[1] // block), *shape[2:])
    return () if kind == "tensor" else (shape[1],)


granularity = st.sampled_from(["tensor", "axis", "blocks"])


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
    fused = import_onnx(model(nodes, {"x": x}, ["q", "y"] if kept else ["y"], weights, 21))
    assert bool(fused.meta["xbench"]["fused"]) == (not kept and not apart)


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
    (found,) = ran(made, *feeds.values())
    exact = int(a.astype(np.int64).sum()) * 255
    assert int(found) == (exact + 2**31) % 2**32 - 2**31


def test_zero_points_by_row() -> None:
    a, zero = whole(np.uint8, 3, 4), np.array([1, 200, 7], np.uint8)
    feeds = {"a": a, "b": whole(np.int8, 4, 2), "z": zero}
    made = model([node("MatMulInteger", ["a", "b", "z"], ["y"])], feeds, ["y"])
    (found,) = ran(made, *feeds.values())
    want = (a.astype(np.int32) - zero[:, None]) @ feeds["b"].astype(np.int32)
    np.testing.assert_array_equal(found.numpy(), want)


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
