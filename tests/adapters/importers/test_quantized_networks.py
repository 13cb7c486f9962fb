"""Parts of networks that ONNX Runtime's quantiser wrote, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import normal
from tests.adapters.importers.chosen import few
from tests.adapters.importers.microsoft import node
from tests.adapters.importers.quantised import bytes_, same, small, whole
from tests.adapters.importers.test_quantized_microsoft import scales


@given(bytes_, st.booleans(), st.booleans(), st.booleans())
@few
def test_matrix_products_with_a_bias_and_a_factor(
    dtype: Any, by_column: bool, turned: bool, known: bool
) -> None:
    """As integers too, where ONNX Runtime applies the factor before it rounds."""
    shape = (6,) if by_column else ()
    feeds = {"a": whole(dtype, *((9, 4) if turned else (4, 9))), "as": np.float32(0.02)}
    feeds["az"] = whole(dtype, seed=3)
    weights: dict[str, Any] = {
        "b": small(*((6, 9) if turned else (9, 6))),
        "bs": np.asarray(np.resize(np.array([0.01, 0.02, 0.005], np.float32), shape)),
        "bz": np.asarray(np.resize(np.array([1, -2, 0], np.int8), shape)),
        "c": whole(np.int32, 6) // 2**14,
        "ys": np.float32(0.9),
        "yz": whole(dtype, seed=4),
    }
    made = node(
        "QGemm", [*feeds, *weights], ["y"], transA=int(turned), transB=int(turned), alpha=0.7
    )
    same([made], feeds if known else feeds | weights, ["y"], weights if known else None)


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
    made = node(
        "MatMulNBits", ["a", *weights], ["y"], K=inner, N=outer, block_size=block, bits=bits
    )
    feeds = {"a": normal(2, 3, inner)} | ({} if known else weights)
    same([made], feeds, ["y"], weights if known else None, rtol=1e-3, atol=1e-3)


def quantised_network() -> tuple[list[onnx.NodeProto], dict[str, Any], dict[str, Any]]:
    """Return convolution, sum, concatenation and mean over quantised images."""
    told = scales(np.uint8, "abcd", 0.2)
    weights = told | {"w": small(2, 2, 3, 3), "ws": np.float32(0.01), "wz": np.int8(0)}
    conv = ["w", "ws", "wz"]
    nodes = [
        helper.make_node(
            "QLinearConv", ["x", "as", "az", *conv, "bs", "bz"], ["p"], pads=[1, 1, 1, 1]
        ),
        node("QLinearAdd", ["p", "bs", "bz", "p", "bs", "bz", "cs", "cz"], ["q"]),
        node("QLinearConcat", ["cs", "cz", "p", "bs", "bz", "q", "cs", "cz"], ["r"], axis=1),
        node("QLinearGlobalAveragePool", ["r", "cs", "cz", "ds", "dz"], ["y"]),
    ]
    return nodes, {"x": whole(np.uint8, 1, 2, 6, 5)}, weights


def test_quantised_networks() -> None:
    nodes, feeds, weights = quantised_network()
    same(nodes, feeds, ["y"], weights, quanta=1)


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
    made = node("QAttention", names, ["y"], num_heads=2)
    feeds = {"x": whole(np.uint8, 2, 4, 8)} | mask
    same([made], feeds, ["y"], weights, rtol=1e-4, atol=1e-4)


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
    made = node("QEmbedLayerNormalization", names, ["y", "n"])
    same([made], feeds, ["y", "n"], tables | told, rtol=1e-4, atol=1e-4)


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
    made = node("DynamicQuantizeLSTM", names, ["y", "l", "s"], direction=direction, hidden_size=6)
    same([made], feeds, ["y", "l", "s"], weights, rtol=1e-4, atol=1e-4)
