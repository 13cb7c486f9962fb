"""Operators of ONNX Runtime's quantiser, against ONNX Runtime.

Where its kernels look results up in tables of their own precision, or add in another order, a
number may be one quantum away: `quanta=1`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.pytorch.graphs import few, model, normal
from tests.adapters.pytorch.microsoft import node as fused
from tests.adapters.pytorch.test_operators import windows
from tests.adapters.pytorch.test_quantized import small, whole
from tests.adapters.tensorflow.test_quantized import bytes_, same
from xbench_adapters.tensorflow import import_onnx

node = helper.make_node
few = settings(few, max_examples=10)


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
    told = scales(dtype, "aby", 0.05)
    made = fused(operator, ["a", "as", "az", "b", "bs", "bz", "ys", "yz"], ["y"])
    same([made], feeds if known else feeds | told, told if known else None, quanta=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("operator", ["QLinearSigmoid", "QLinearLeakyRelu"])
def test_functions_of_one(operator: str, dtype: Any) -> None:
    told = scales(dtype, "xy", 0.004 if operator == "QLinearSigmoid" else 0.01)
    made = fused(operator, ["x", *told], ["y"], **({} if operator[7] == "S" else {"alpha": 0.2}))
    same([made], {"x": whole(dtype, 2, 200)}, told)


@pytest.mark.parametrize(("opset", "axis"), [(12, 1), (13, 1), (13, -1)])
def test_softmax(opset: int, axis: int) -> None:
    told = {"xs": np.float32(0.03), "xz": np.uint8(3), "ys": np.float32(1 / 256), "yz": np.uint8(0)}
    made = fused("QLinearSoftmax", ["x", *told], ["y"], axis=axis, opset=opset)
    same([made], {"x": whole(np.uint8, 3, 5, 4)}, told, quanta=1)


@pytest.mark.parametrize("axis", [1, -1])
def test_joins(axis: int) -> None:
    told = scales(np.int8, "aby", 0.02)
    shape = (3, 2, 20) if axis == 1 else (3, 5, 9)
    feeds = {"a": whole(np.int8, 3, 5, 20), "b": whole(np.int8, *shape)}
    names = ["ys", "yz", "a", "as", "az", "b", "bs", "bz"]
    same([fused("QLinearConcat", names, ["y"], axis=axis)], feeds, told, quanta=1)


@pytest.mark.parametrize("last", [0, 1])
def test_means_over_all_places(last: int) -> None:
    told = scales(np.uint8, "xy", 0.01)
    made = fused("QLinearGlobalAveragePool", ["x", *told], ["y"], channels_last=last)
    same([made], {"x": whole(np.uint8, 2, 6, 7, 5)}, told, quanta=1)


@given(st.data(), st.integers(1, 3), st.booleans(), st.booleans(), st.booleans())
@few
def test_means_over_windows(
    data: st.DataObject, axes: int, ceil: bool, counts: bool, last: bool
) -> None:
    attributes = data.draw(windows(axes))
    if attributes["auto_pad"] == "NOTSET":
        attributes["ceil_mode"] = int(ceil)
    last = last and axes == 2
    told = scales(np.uint8, "xy", 0.01)
    spatial = tuple(6 + place for place in range(axes))
    feeds = {"x": whole(np.uint8, *((2, *spatial, 3) if last else (2, 3, *spatial)))}
    made = fused(
        "QLinearAveragePool", ["x", *told], ["y"],
        count_include_pad=int(counts), channels_last=int(last), **attributes,
    )  # fmt: skip
    same([made], feeds, told, quanta=1)


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
    made = fused(
        "QGemm", ["a", "as", "az", *weights], ["y"],
        transA=int(turned), transB=int(turned), alpha=0.7,
    )  # fmt: skip
    told = feeds if known else feeds | weights
    same([made], told, weights if known else None, tolerance=1e-5)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_products_with_floats(known: bool, biased: bool) -> None:
    b = {"b": small(8, 6), "bs": np.float32(0.02), "bz": np.int8(3)}
    c = {"c": normal(6)} if biased else {}
    made = fused("DynamicQuantizeMatMul", ["a", *b, *c], ["y"])
    feeds = {"a": normal(2, 3, 8)} | ({} if known else b | c)
    same([made], feeds, b | c if known else None, tolerance=1e-5)
    scale = {"as": np.float32(0.1)}
    made = fused("MatMulIntegerToFloat", ["a", "b", "as", "bs", "az", "bz", *c], ["y"])
    feeds = {"a": whole(np.uint8, 2, 3, 8), "az": np.uint8(9)} | ({} if known else scale | b | c)
    same([made], feeds, scale | b | c if known else None, tolerance=1e-5)


@given(st.sampled_from([2, 4, 8]), st.sampled_from(["none", "packed", "floats"]), st.booleans())
@few
def test_weights_in_blocks(bits: int, zeros: str, known: bool) -> None:
    inner, outer, block = 40, 6, 16
    blocks = -(-inner // block)
    weights: dict[str, Any] = {
        "b": whole(np.uint8, outer, blocks, block * bits // 8),
        "s": np.abs(normal(outer * blocks)) / 9,
    }
    if zeros == "packed":
        weights["z"] = whole(np.uint8, outer * -(-blocks * bits // 8))
    elif zeros == "floats":
        weights["z"] = normal(outer * blocks, seed=2)
    assume((bits, zeros) != (8, "floats"))  # ONNX Runtime has no such kernel
    made = fused(
        "MatMulNBits", ["a", *weights], ["y"], K=inner, N=outer, block_size=block, bits=bits
    )
    feeds = {"a": normal(2, 3, inner)} | ({} if known else weights)
    same([made], feeds, weights if known else None, tolerance=1e-3)


def test_quantised_networks_keep_their_channels_last() -> None:
    """Between quantised convolutions nothing is turned: twice, at both ends of the network."""
    told = scales(np.uint8, "abcd", 0.2)
    weights = told | {"w": small(2, 2, 3, 3), "ws": np.float32(0.01), "wz": np.int8(0)}
    conv = ["w", "ws", "wz"]
    nodes = [
        node("QLinearConv", ["x", "as", "az", *conv, "bs", "bz"], ["p"], pads=[1, 1, 1, 1]),
        fused("QLinearAdd", ["p", "bs", "bz", "p", "bs", "bz", "cs", "cz"], ["q"]),
        fused("QLinearConcat", ["cs", "cz", "p", "bs", "bz", "q", "cs", "cz"], ["r"], axis=1),
        fused("QLinearGlobalAveragePool", ["r", "cs", "cz", "ds", "dz"], ["y"]),
    ]
    feeds = {"x": whole(np.uint8, 1, 2, 6, 5)}
    same(nodes, feeds, weights, quanta=1)
    module = import_onnx(model(nodes, feeds, ["y"], weights, 21))
    kinds = [one.type for one in module.call.get_concrete_function().graph.get_operations()]
    assert kinds.count("Transpose") <= 2


@pytest.mark.parametrize("masked", [False, True])
def test_attention_over_quantised_projections(masked: bool) -> None:
    weights: dict[str, Any] = {
        "w": small(8, 24),
        "b": normal(24),
        "as": np.float32(0.02),
        "ws": np.float32(0.01),
        "az": np.uint8(120),
        "wz": np.int8(3),
    }
    mask = {"m": np.array([3, 4], np.int32)} if masked else {}
    names = ["x", "w", "b", "as", "ws", "m" if masked else "", "az", "wz"]
    made = fused("QAttention", names, ["y"], num_heads=2)
    same([made], {"x": whole(np.uint8, 2, 4, 8)} | mask, weights, tolerance=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_embeddings(masked: bool) -> None:
    feeds = {"i": np.array([[3, 1, 4], [1, 5, 9]], np.int32)}
    feeds |= {"k": np.array([[0, 0, 1], [0, 1, 1]], np.int32)}
    feeds |= {"m": np.array([[1, 1, 0], [1, 1, 1]], np.int32)} if masked else {}
    tables = {name: whole(np.uint8, *shape, seed=ord(name)) for name, shape in (
        ("t", (10, 8)), ("p", (4, 8)), ("c", (2, 8)), ("g", (8,)), ("e", (8,)))}  # fmt: skip
    told: dict[str, Any] = {f"{one}s": np.float32(0.02) for one in tables}
    told |= {f"{one}z": np.uint8(ord(one)) for one in tables}
    names = ["i", "k", *tables, "m" if masked else "", *told]
    made = fused("QEmbedLayerNormalization", names, ["y", "n"])
    same([made], feeds, tables | told, ["y", "n"], tolerance=1e-4)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
def test_recurrent_networks(direction: str, lengths: bool) -> None:
    count = 2 if direction == "bidirectional" else 1
    weights: dict[str, Any] = {
        "w": whole(np.uint8, count, 7, 24), "r": whole(np.uint8, count, 6, 24),
        "b": normal(count, 48),
        "ws": np.full((count,), 0.004, np.float32), "wz": np.full((count,), 128, np.uint8),
        "rs": np.full((count,), 0.003, np.float32), "rz": np.full((count,), 128, np.uint8),
    }  # fmt: skip
    feeds: dict[str, Any] = {"x": normal(5, 3, 7)}
    feeds |= {"n": np.array([5, 3, 4], np.int32)} if lengths else {}
    feeds |= {"h": normal(count, 3, 6, seed=2), "c": normal(count, 3, 6, seed=3)}
    names = ["x", "w", "r", "b", "n" if lengths else "", "h", "c", "", "ws", "wz", "rs", "rz"]
    made = fused("DynamicQuantizeLSTM", names, ["y", "l", "s"], direction=direction, hidden_size=6)
    same([made], feeds, weights, ["y", "l", "s"], tolerance=1e-4)
