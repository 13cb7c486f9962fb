"""Layers and whole models that ONNX Runtime's quantiser writes, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import model, normal, onnxruntime_says
from tests.adapters.importers.microsoft import node
from tests.adapters.importers.quantised import same, small, whole
from tests.adapters.pytorch.importer import few, ran
from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch import import_onnx

MASKS = {
    "none": None,
    "ends": np.array([5, 3], np.int32),
    "ends and starts": np.array([5, 4, 0, 2], np.int32),
    "by key": np.array([[1, 1, 1, 1, 0], [1, 0, 1, 1, 1]], np.int32),
    "by query": (whole(np.uint8, 2, 5, 5) > 60).astype(np.int32),
    "one for all": np.ones((2, 1), np.int32),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("past", [False, True])
def test_attention(mask: str, causal: int, past: bool) -> None:
    seen = MASKS[mask]
    if past and seen is not None and seen.ndim > 1 and seen.shape[1] > 1:
        seen = np.concatenate([np.ones((*seen.shape[:-1], 3), np.int32), seen], -1)
    feeds: dict[str, Any] = {"x": whole(np.uint8, 2, 5, 12)}
    feeds |= {} if seen is None else {"m": seen}
    feeds |= {"p": normal(2, 2, 2, 3, 4)} if past else {}
    weights = {"w": small(12, 24), "b": normal(24), "xs": np.float32(0.01)}
    weights |= {
        "ws": np.full(24, 0.004, np.float32),
        "xz": np.uint8(120),
        "wz": np.zeros(24, np.int8),
    }
    names = ["x", "w", "b", "xs", "ws", "" if seen is None else "m", "xz", "wz"]
    outputs = ["y", "all"] if past else ["y"]
    made = node(
        "QAttention",
        [*names, *(["p"] if past else [])],
        outputs,
        num_heads=2,
        unidirectional=causal,
    )
    same([made], feeds, outputs, weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("segmented", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_embeddings(dtype: Any, segmented: bool, masked: bool) -> None:
    feeds = {"i": np.array([[3, 1, 4], [1, 5, 9]], np.int32)}
    feeds |= {"k": np.array([[0, 0, 1], [0, 1, 1]], np.int32)} if segmented else {}
    feeds |= {"m": np.array([[1, 1, 0], [1, 1, 1]], np.int32)} if masked else {}
    tables = {"t": whole(dtype, 10, 8), "p": whole(dtype, 4, 8, seed=1)}
    tables |= {"g": whole(dtype, 8, seed=2), "e": whole(dtype, 8, seed=3)}
    names = "tpcge" if segmented else "tpge"
    tables |= {"c": whole(dtype, 2, 8, seed=4)} if segmented else {}
    given = {f"{one}{kind}": value for one in names for kind, value in (
        ("s", np.float32(0.02)), ("z", whole(dtype, seed=ord(one))))}  # fmt: skip
    order = ["i", "k", "t", "p", "c", "g", "e", "m"]
    order += [f"{one}{kind}" for kind in "sz" for one in "tpcge"]
    have = feeds | tables | given
    made = node(
        "QEmbedLayerNormalization", [one if one in have else "" for one in order], ["y", "n"]
    )
    same([made], feeds, ["y", "n"], tables | given, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_recurrent_networks(direction: str, lengths: bool, by_column: bool, dtype: Any) -> None:
    count = 2 if direction == "bidirectional" else 1
    shape, zero = (count, 24) if by_column else (count,), 128 if dtype is np.uint8 else 0
    weights = {
        "w": small(count, 7, 24) if dtype is np.int8 else whole(dtype, count, 7, 24),
        "r": small(count, 6, 24) if dtype is np.int8 else whole(dtype, count, 6, 24),
        "b": normal(count, 48),
        "ws": np.full(shape, 0.004, np.float32), "wz": np.full(shape, zero, dtype),
        "rs": np.full(shape, 0.003, np.float32), "rz": np.full(shape, zero, dtype),
    }  # fmt: skip
    feeds: dict[str, Any] = {"x": normal(5, 3, 7)}
    feeds |= {"n": np.array([5, 3, 4], np.int32)} if lengths else {}
    feeds |= {"h": normal(count, 3, 6, seed=2), "c": normal(count, 3, 6, seed=3)}
    names = ["x", "w", "r", "b", "n" if lengths else "", "h", "c", "", "ws", "wz", "rs", "rz"]
    made = node("DynamicQuantizeLSTM", names, ["y", "l", "s"], direction=direction, hidden_size=6)
    same([made], feeds, ["y", "l", "s"], weights, atol=1e-4)


@given(
    st.sampled_from([2, 4, 8]), st.sampled_from([16, 32]), st.sampled_from([40, 64]),
    st.sampled_from(["none", "packed", "floats"]), st.booleans(), st.booleans(),
)  # fmt: skip
@few
def test_weights_in_blocks(
    bits: int, block: int, inner: int, zeros: str, biased: bool, known: bool
) -> None:
    assume(bits == 4 or zeros != "floats")  # ONNX Runtime has none for other widths
    blocks = -(-inner // block)
    weights: dict[str, Any] = {"b": whole(np.uint8, 6, blocks, block * bits // 8)}
    weights["s"] = np.abs(normal(6, blocks)) + np.float32(0.1)
    if zeros == "packed":
        weights["z"] = whole(np.uint8, 6, -(-blocks * bits // 8))
    elif zeros == "floats":
        weights["z"] = normal(6, blocks) * 3
    names = ["a", "b", "s", "z" if zeros != "none" else "", "", "c" if biased else ""]
    weights |= {"c": normal(6)} if biased else {}
    feeds = {"a": normal(2, 3, inner)}
    made = node("MatMulNBits", names, ["y"], K=inner, N=6, bits=bits, block_size=block)
    same(
        [made], feeds if known else feeds | weights, ["y"], weights if known else None,
        rtol=1e-4, atol=1e-3,
    )  # fmt: skip


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeroed", [False, True])
def test_rows_of_a_table_in_blocks(bits: int, zeroed: bool) -> None:
    width = 48 * bits // 8
    weights = {"t": whole(np.uint8, 9, width), "s": np.abs(normal(9, 3)) + np.float32(0.1)}
    weights |= {"z": whole(np.uint8, 9, -(-3 * bits // 8))} if zeroed else {}
    made = node(
        "GatherBlockQuantized", ["t", "i", *list(weights)[1:]], ["y"], bits=bits, block_size=16
    )
    feeds = {"i": np.array([[0, 8, -1], [3, -9, 4]], np.int64)}
    same([made], feeds, ["y"], weights, rtol=1e-6)


@pytest.mark.parametrize(("axis", "along"), [(0, 1), (1, 0), (0, 0), (-1, 1), (2, 1)])
@pytest.mark.parametrize("name", ["int4", "uint4"])
def test_slices_of_a_table_in_blocks(axis: int, along: int, name: str) -> None:
    import ml_dtypes

    shape = [20, 18, 5]
    table = whole(np.uint8, *shape) % 16 - (8 if name == "int4" else 0)
    held = np.asarray(table, np.int8).astype(getattr(ml_dtypes, name))
    blocks = [-(-n // 16) if place == along else n for place, n in enumerate(shape)]
    weights = {"t": held, "s": np.abs(normal(*blocks)) + np.float32(0.1)}
    weights["z"] = np.resize(held, blocks)
    made = node(
        "GatherBlockQuantized", ["t", "i", "s", "z"], ["y"],
        gather_axis=axis, quantize_axis=along, block_size=16,
    )  # fmt: skip
    same([made], {"i": np.array([[0, 4], [-1, 2]], np.int64)}, ["y"], weights, rtol=1e-6)


def test_what_is_not_done_is_refused() -> None:
    weights = {"b": whole(np.uint8, 6, 2, 16), "s": normal(6, 2), "g": np.zeros(64, np.int32)}
    made = node("MatMulNBits", ["a", "b", "s", "", "g"], ["y"], K=64, N=6, bits=4, block_size=32)
    with pytest.raises(UnsupportedNodeError, match="g_idx"):
        import_onnx(model([made], {"a": normal(1, 64)}, ["y"], weights))


def small_network() -> onnx.ModelProto:
    """Return a network of convolutions, a sum, a pooling, a softmax and a linear layer."""
    weights = {"w1": normal(8, 3, 3, 3) / 3, "b1": normal(8), "w2": normal(8, 8, 3, 3, seed=1) / 6}
    weights |= {"b2": normal(8, seed=2), "w3": normal(8, 5, seed=3), "b3": normal(5)}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c2"], ["g"]),
        helper.make_node("Mul", ["c2", "g"], ["m"]),
        helper.make_node("Add", ["r1", "m"], ["s"]),
        helper.make_node("Concat", ["s", "r1"], ["j"], axis=2),
        helper.make_node("AveragePool", ["j"], ["a"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["q"]),
        helper.make_node("Softmax", ["q"], ["y"]),
    ]
    made = model(nodes, {"x": normal(2, 3, 8, 8)}, ["y"], weights, 17)
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, [2, 5]))
    return made


FEEDS = {"x": normal(2, 3, 8, 8)}


def quantised(folder: Path, kind: str, *, by_channel: bool) -> Path:
    """Return the small network as the quantiser writes it."""
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.left = [FEEDS]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    before, after = folder / "before.onnx", folder / "after.onnx"
    onnx.save(small_network(), before)
    options = {"per_channel": by_channel, "reduce_range": True}
    if kind == "dynamic":
        quantization.quantize_dynamic(before, after, **options)
    else:
        layout = quantization.QuantFormat[kind]
        quantization.quantize_static(before, after, Calibration(), quant_format=layout, **options)
    return after


def agrees(made: onnx.ModelProto) -> None:
    """Assert that a network gives, and exports to, what ONNX Runtime computes."""
    (want,) = onnxruntime_says(made, FEEDS)
    (have,) = ran(made, FEEDS)
    np.testing.assert_allclose(have, want, atol=2 / 255)
    x = torch.from_numpy(FEEDS["x"])
    exported = torch.export.export(import_onnx(made), (x,))
    torch.testing.assert_close(exported.module()(x)[0], torch.from_numpy(have))


@pytest.mark.filterwarnings("ignore")  # the quantiser's own
@pytest.mark.parametrize("kind", ["QOperator", "QDQ", "dynamic"])
@pytest.mark.parametrize("by_channel", [False, True])
def test_models_from_the_quantiser(tmp_path: Path, kind: str, by_channel: bool) -> None:
    agrees(onnx.load(quantised(tmp_path, kind, by_channel=by_channel)))


@pytest.mark.filterwarnings("ignore")  # the quantiser's own
@pytest.mark.parametrize("kind", ["QOperator", "QDQ", "dynamic"])
def test_models_from_the_optimiser_after_it(tmp_path: Path, kind: str) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.graph_optimization_level = level
    path = str(quantised(tmp_path, kind, by_channel=True))
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    agrees(onnx.load(tmp_path / "optimised.onnx"))


def test_lengths_may_be_open(tmp_path: Path) -> None:
    made = onnx.load(quantised(tmp_path, "QOperator", by_channel=True))
    del made.graph.value_info[:]
    for place in (0, 2):
        made.graph.input[0].type.tensor_type.shape.dim[place].dim_param = f"n{place}"
    made.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n0"
    feeds = {"x": normal(3, 3, 10, 8)}
    (want,) = onnxruntime_says(made, feeds)
    np.testing.assert_allclose(ran(made, feeds)[0], want, atol=2 / 255)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_quantising_and_dequantising_are_one_where_nothing_is_kept(kept: bool, apart: bool) -> None:
    weights = {"s": np.float32(0.25), "t": np.float32(0.5 if apart else 0.25)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "t"], ["y"]),
    ]
    outputs = ["q", "y"] if kept else ["y"]
    fused = import_onnx(model(nodes, {"x": normal(400)}, outputs, weights, 21))
    assert bool(fused.meta["xbench"]["fused"]) == (not kept and not apart)
