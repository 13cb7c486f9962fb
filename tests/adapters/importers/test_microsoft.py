"""ONNX Runtime's own operators against ONNX Runtime, or against what its pages say of them."""

from __future__ import annotations

from math import erf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    model,
    normal,
    onnxruntime_says,
)
from tests.adapters.importers.chosen import (
    examples,
    few,
    import_onnx,
)
from tests.adapters.importers.microsoft import agrees, node, whole
from xbench.errors import UnsupportedNodeError


def gelu(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2
    return found.astype(np.float32)


ACTIVATIONS = {
    "Relu": [],
    "Tanh": [],
    "Sigmoid": [],
    "LeakyRelu": [0.2],
    "Clip": [-0.5, 0.5],
    "HardSigmoid": [0.3, 0.4],
}


@pytest.mark.parametrize("activation", ["", *ACTIVATIONS])
@pytest.mark.parametrize("added", [False, True])
def test_fused_convolutions(activation: str, added: bool) -> None:
    attributes: dict[str, Any] = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    if activation:
        attributes["activation"] = activation
    if ACTIVATIONS.get(activation):
        attributes["activation_params"] = ACTIVATIONS[activation]
    weights = {"w": normal(4, 3, 3, 3), "b": normal(4, seed=1)}
    feeds = {"x": normal(2, 3, 6, 6)} | ({"z": normal(2, 4, 6, 6, seed=2)} if added else {})
    names = ["x", "w", "b", "z"] if added else ["x", "w", "b"]
    agrees(node("FusedConv", names, ["y"], **attributes), feeds, weights)


def test_a_fused_convolution_with_an_unknown_activation_is_refused() -> None:
    conv = node("FusedConv", ["x", "w"], ["y"], activation="Squash")
    with pytest.raises(UnsupportedNodeError, match="Squash"):
        import_onnx(whole(conv, {"x": normal(1, 2, 4, 4)}, {"w": normal(2, 2, 3, 3)}))


@pytest.mark.parametrize("operator", ["NhwcConv", "NhwcFusedConv"])
def test_convolutions_of_images_with_their_channels_last(operator: str) -> None:
    weights = {"w": normal(4, 3, 3, 3), "b": normal(4, seed=1)}
    feeds = {"x": normal(2, 6, 5, 3)}
    attributes = {"strides": [2, 1], "pads": [1, 0, 1, 0]}
    plain = helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)  # type: ignore[arg-type]  # attributes are any
    turned = {"x": np.ascontiguousarray(feeds["x"].transpose(0, 3, 1, 2))}
    (want,) = onnxruntime_says(model([plain], turned, ["y"], weights), turned)
    conv = node(operator, ["x", "w", "b"], ["y"], **attributes)
    agrees(conv, feeds, weights, wanted=[want.transpose(0, 2, 3, 1)])


@given(
    st.tuples(*[st.integers(0, 1)] * 4),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from(["feeds", "weight"]),
    st.integers(2, 4),
)
@examples(60)
def test_products_of_transposed_matrices(
    turns: tuple[int, ...], alpha: float, right: str, rank: int
) -> None:
    rank = 2 if right == "weight" else rank
    turns = (*turns[:2], *(turns[2:] if rank > 2 else (0, 0)))
    batch = (2, 3)[: rank - 2]

    def factor(rows: int, columns: int, turned: int, early: int, seed: int) -> Any:
        rows, columns = (columns, rows) if turned else (rows, columns)
        shape = (rows, *batch, columns) if early else (*batch, rows, columns)
        return normal(*shape, seed=seed)

    feeds = {"a": factor(4, 5, turns[0], turns[2], 0)}
    b = {"b": factor(5, 3, turns[1], turns[3], 1)}
    names = ("transA", "transB", "transBatchA", "transBatchB")
    attributes = dict(zip(names, turns, strict=True)) | {"alpha": alpha}
    product = node("FusedMatMul", ["a", "b"], ["y"], **attributes)
    agrees(product, *((feeds, b) if right == "weight" else (feeds | b,)))


def test_transposed_products_by_their_older_name() -> None:
    feeds = {"a": normal(2, 5, 4), "b": normal(2, 5, 3)}
    agrees(node("TransposeMatMul", ["a", "b"], ["y"], transA=1, alpha=0.25), feeds)


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "Tanh", "LeakyRelu"])
def test_fused_gemm(activation: str) -> None:
    attributes = {"activation": activation, "alpha": 0.5, "beta": 2.0, "transB": 1}
    attributes |= {"activation_alpha": 0.3} if activation == "LeakyRelu" else {}
    gemm = node("FusedGemm", ["a", "b", "c"], ["y"], **attributes)
    agrees(gemm, {"a": normal(4, 5)}, {"b": normal(3, 5), "c": normal(3)})


def test_a_product_through_an_activation_of_its_own() -> None:
    feeds = {"a": normal(2, 4, 5), "b": normal(2, 5, 3)}
    want = np.maximum(feeds["a"] @ feeds["b"] * 2, 0)
    product = node("FusedMatMulActivation", ["a", "b"], ["y"], alpha=2.0, activation="Relu")
    agrees(product, feeds, wanted=[want])


@pytest.mark.parametrize("operator", ["Gelu", "FastGelu", "QuickGelu", "BiasGelu"])
def test_gelus(operator: str) -> None:
    feeds = {"x": normal(2, 3, 4) * 3}
    if operator != "BiasGelu":
        agrees(node(operator, ["x"], ["y"]), feeds)
    if operator in ("FastGelu", "BiasGelu"):
        agrees(node(operator, ["x", "b"], ["y"]), feeds, {"b": normal(4)})
    if operator == "QuickGelu":
        agrees(node(operator, ["x"], ["y"], alpha=1.0), feeds)


def test_sums_that_are_fused_with_what_comes_next() -> None:
    feeds = {"x": normal(2, 3, 4), "b": normal(4), "s": normal(2, 3, 4, seed=1)}
    agrees(node("BiasAdd", ["x", "b", "s"], ["y"]), feeds, wanted=[sum(feeds.values())])
    two = {name: feeds[name] for name in "xb"}
    x = feeds["x"] + feeds["b"]
    split = node("BiasSplitGelu", ["x", "b"], ["y"])
    agrees(split, two, wanted=[x[..., :2] * gelu(x[..., 2:])])
    kept = np.ones((2, 3, 4), bool)
    agrees(node("BiasDropout", ["x", "b", "s"], ["y", "m"]), feeds, wanted=[x + feeds["s"], kept])
    exps = np.exp(x).reshape(2, -1)
    want = (exps / exps.sum(1, keepdims=True)).reshape(2, 3, 4)
    agrees(node("BiasSoftmax", ["x", "b"], ["y"], axis=1, is_inner_broadcast=1), two, wanted=[want])


def test_dropout_in_training_is_refused() -> None:
    weights = {"r": np.float32(0.5), "t": np.bool_(True)}
    dropout = node("BiasDropout", ["x", "b", "", "r", "t"], ["y"])
    with pytest.raises(UnsupportedNodeError, match="training"):
        import_onnx(whole(dropout, {"x": normal(2, 4), "b": normal(4)}, weights))


@given(st.booleans(), st.booleans(), st.sampled_from([(2, 3, 8), (1, 3, 8), (3, 8)]))
@few
def test_layer_normalisation_of_a_sum(beta: bool, bias: bool, skip: tuple[int, ...]) -> None:
    feeds = {"x": normal(2, 3, 8), "s": normal(*skip, seed=1)}
    weights = {"g": normal(8, seed=2), "b": normal(8, seed=3), "c": normal(8, seed=4)}
    names = ["x", "s", "g", "b" if beta else "", "c" if bias else ""]
    outputs = ["y", "", "", "t"]
    norm = node("SkipLayerNormalization", names, outputs, epsilon=1e-5)
    agrees(norm, feeds, weights)


@pytest.mark.parametrize("bias", [False, True])
def test_root_mean_square_normalisation_of_a_sum(bias: bool) -> None:
    feeds = {"x": normal(2, 3, 8), "s": normal(2, 3, 8, seed=1)}
    weights = {"g": normal(8, seed=2), "c": normal(8, seed=4)}
    names = ["x", "s", "g", "c"] if bias else ["x", "s", "g"]
    norm = node("SkipSimplifiedLayerNormalization", names, ["y", "", "", "t"], epsilon=1e-5)
    agrees(norm, feeds, weights)


@pytest.mark.parametrize("operator", ["LayerNormalization", "SimplifiedLayerNormalization"])
@pytest.mark.parametrize("axis", [-1, 1])
def test_normalisations_that_are_older_than_onnx_has_them(operator: str, axis: int) -> None:
    feeds, weights = {"x": normal(2, 3, 8)}, {"g": normal(*(2, 3, 8)[axis:], seed=2)}
    norm = helper.make_node(operator, ["x", "g"], ["y"], axis=axis, epsilon=1e-3)
    agrees(norm, feeds, weights, opset=14)


@given(st.booleans(), st.booleans(), st.booleans())
@few
def test_embeddings_that_are_normalised(segments: bool, masked: bool, placed: bool) -> None:
    rng = np.random.default_rng(0)

    def ids(most: int) -> Any:
        return rng.integers(0, most, (2, 5)).astype(np.int32)

    feeds = {"i": ids(11)} | ({"s": ids(2)} if segments else {})
    feeds |= {"m": ids(2)} if masked else {}
    feeds |= {"p": ids(9)} if placed else {}
    weights = {"w": normal(11, 8), "q": normal(9, 8, seed=1), "g": normal(8), "b": normal(8)}
    weights |= {"k": normal(2, 8, seed=2)} if segments else {}
    order = ("i", "s", "w", "q", "k", "g", "b", "m", "p")
    names = [name if name in feeds | weights else "" for name in order]
    feeds = {name: feeds[name] for name in names if name in feeds}
    embed = node("EmbedLayerNormalization", names, ["y", "n", "e"], epsilon=1e-6)
    agrees(embed, feeds, weights)


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("activation", [0, 1])
def test_group_normalisation(last: int, activation: int) -> None:
    x, gamma, beta = normal(2, 6, 4, 4), normal(6, seed=1), normal(6, seed=2)
    skip, bias = normal(2, 6, seed=3), normal(6, seed=4)

    def wanted(x: Any) -> Any:
        groups = x.reshape(2, 3, -1)
        centred = groups - groups.mean(-1, keepdims=True)
        y = (centred / np.sqrt(groups.var(-1, keepdims=True) + 1e-4)).reshape(x.shape)
        y = y * gamma[:, None, None] + beta[:, None, None]
        return turned(y / (1 + np.exp(-y)) if activation else y)

    def turned(x: Any) -> Any:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if last else x

    attributes = {"groups": 3, "epsilon": 1e-4, "channels_last": last, "activation": activation}
    weights = {"g": gamma, "b": beta}
    norm = node("GroupNorm", ["x", "g", "b"], ["y"], **attributes)
    agrees(norm, {"x": turned(x)}, weights, wanted=[wanted(x)])
    total = x + skip[:, :, None, None] + bias[:, None, None]
    norm = node("SkipGroupNorm", ["x", "g", "b", "s", "c"], ["y", "t"], **attributes)
    feeds = {"x": turned(x), "s": skip}
    agrees(norm, feeds, weights | {"c": bias}, wanted=[wanted(total), turned(total)])


def test_operators_that_onnx_got_later() -> None:
    x = normal(3, 4)
    agrees(node("Trilu", ["x", "k"], ["y"], upper=0), {"x": x, "k": np.array(1)})
    agrees(node("GatherND", ["x", "i"], ["y"]), {"x": x, "i": np.array([[0], [2]])})
    agrees(node("Pad", ["x", "p"], ["y"]), {"x": x, "p": np.array([1, 0, 0, 2])})
    agrees(node("Pad", ["x", "p"], ["y"], mode="edge"), {"x": x, "p": np.array([1, 0, 0, 2])})
    numbers = np.array([2, 1, 1, 3, 4, 3, 2], np.float32)
    agrees(node("Unique", ["x"], ["y", "i", "n"]), {"x": numbers})
    for axis in (0, -1, 1):
        agrees(node("ExpandDims", ["x", "a"], ["y"]), {"x": x, "a": np.array(axis, np.int32)})
    spans = {name: np.array(one, np.float32) for name, one in zip("abc", (1, 7, 1.5), strict=True)}
    agrees(node("Range", ["a", "b", "c"], ["y"]), spans)
    agrees(node("Range", ["a", "b"], ["y"]), {"a": np.array(5), "b": np.array(9)})
    agrees(node("Inverse", ["x"], ["y"]), {"x": normal(2, 3, 3)})


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_distances_of_rows(metric: str) -> None:
    agrees(
        node("CDist", ["a", "b"], ["y"], metric=metric),
        {"a": normal(4, 3), "b": normal(5, 3, seed=1)},
    )


def test_products_of_complex_numbers() -> None:
    feeds = {"a": normal(3, 4, 2), "b": normal(3, 4, 2, seed=1)}
    a, b = (one[..., 0] + 1j * one[..., 1] for one in feeds.values())
    for operator, found in (("ComplexMul", a * b), ("ComplexMulConj", a * b.conj())):
        want = np.stack((found.real, found.imag), -1).astype(np.float32)
        agrees(node(operator, ["a", "b"], ["y"]), feeds, wanted=[want])


def test_fourier_transforms_there_and_back() -> None:
    x = normal(3, 8)
    found = np.fft.rfft(x)
    want = np.stack((found.real, found.imag), -1).astype(np.float32)
    agrees(node("Rfft", ["x"], ["y"], signal_ndim=1), {"x": x}, wanted=[want])
    agrees(node("Irfft", ["x"], ["y"], signal_ndim=1), {"x": want}, wanted=[x])


@given(
    st.sampled_from(["bilinear", "nearest"]),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.booleans(),
)
@few
def test_boxes_of_images(mode: str, size: tuple[int, int], outside: bool) -> None:
    boxes = np.random.default_rng(3).uniform(-0.2 if outside else 0, 1, (4, 4))
    feeds = {"x": normal(2, 3, 6, 5), "b": boxes.astype(np.float32)}
    feeds["i"] = np.array([0, 1, 1, 0], np.int32)
    weights = {"s": np.array(size, np.int32)}
    attributes = {"mode": mode, "extrapolation_value": 0.5}
    agrees(node("CropAndResize", ["x", "b", "i", "s"], ["y"], **attributes), feeds, weights)


def test_transposed_convolutions_with_their_padding_as_an_input() -> None:
    weights = {"w": normal(2, 3, 3, 3), "p": np.array([1, 0, 1, 0]), "b": normal(3)}
    conv = node("ConvTransposeWithDynamicPads", ["x", "w", "p", "b"], ["y"], strides=[2, 2])
    agrees(conv, {"x": normal(1, 2, 4, 5)}, weights, open_too=False)


def test_layouts_for_one_processor_are_refused_with_a_way_out() -> None:
    reorder = helper.make_node("ReorderInput", ["x"], ["y"], domain="com.microsoft.nchwc")
    with pytest.raises(UnsupportedNodeError, match=r"ORT_ENABLE_EXTENDED|no TensorFlow lowering"):
        import_onnx(whole(reorder, {"x": normal(1, 8, 4, 4)}))


def test_what_has_no_lowering_is_refused_by_name() -> None:
    for operator in ("BeamSearch", "MoE", "MurmurHash3", "MatMulBnb4", "DynamicTimeWarping"):
        with pytest.raises(UnsupportedNodeError, match=operator):
            import_onnx(whole(node(operator, ["x"], ["y"]), {"x": normal(2, 2)}))
