"""ONNX Runtime's own operators in TensorFlow against ONNX Runtime, or what its pages say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.pytorch.graphs import Arrays, model, normal, onnxruntime_says, opened
from tests.adapters.pytorch.microsoft import node, whole
from tests.adapters.tensorflow.graphs import run
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

few = settings(max_examples=15, deadline=None, derandomize=True)


def close(found: Sequence[Any], wanted: Sequence[Any]) -> None:
    for have, want in zip(found, wanted, strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def agrees(
    one: Any,
    feeds: Arrays,
    weights: Arrays | None = None,
    *,
    wanted: Sequence[Any] | None = None,
    opset: int = 20,
    open_too: bool = True,
) -> Any:
    """Return the imported module, after it gave what ONNX Runtime gives, or what is wanted."""
    made = whole(one, feeds, weights, opset)
    wanted = onnxruntime_says(made, feeds) if wanted is None else wanted
    module = import_onnx(made)
    close(run(module, feeds), wanted)
    if open_too:
        close(run(import_onnx(opened(made)), feeds), wanted)
    return module


def operations(module: Any) -> list[str]:
    """Return the kinds of operations that a module is traced to."""
    return [one.type for one in module.call.get_concrete_function().graph.get_operations()]


ACTIVATIONS: dict[str, list[float]] = {
    "Relu": [],
    "Tanh": [],
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
    conv = node("FusedConv", names, ["y"], **attributes)
    assert "Conv2D" in operations(agrees(conv, feeds, weights, open_too=added))


def test_images_stay_as_fused_convolutions_have_them() -> None:
    """Two convolutions in a row and what lies between them turn their images once each way."""
    convs = [
        node("FusedConv", ["x", "w"], ["a"], activation="Relu", pads=[1, 1, 1, 1]),
        node("Gelu", ["a"], ["b"]),
        node("FusedConv", ["b", "w", "", "a"], ["y"], pads=[1, 1, 1, 1]),
    ]
    feeds, weights = {"x": normal(1, 3, 6, 6)}, {"w": normal(3, 3, 3, 3)}
    made = model(convs, feeds, ["y"], weights)
    module = import_onnx(made)
    close(run(module, feeds), onnxruntime_says(made, feeds))
    assert operations(module).count("Transpose") == 2


def test_a_fused_convolution_with_an_unknown_activation_is_refused() -> None:
    conv = node("FusedConv", ["x", "w"], ["y"], activation="Squash")
    with pytest.raises(UnsupportedNodeError, match="Squash"):
        import_onnx(whole(conv, {"x": normal(1, 2, 4, 4)}, {"w": normal(2, 2, 3, 3)}))


@given(
    st.tuples(*[st.integers(0, 1)] * 4),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from(["feeds", "weight"]),
    st.integers(2, 4),
)
@few
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
    if right == "weight":
        agrees(product, feeds, b, open_too=False)
    else:
        agrees(product, feeds | b, open_too=rank < 4)


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "LeakyRelu"])
def test_fused_gemm(activation: str) -> None:
    attributes = {"activation": activation, "alpha": 0.5, "beta": 2.0, "transB": 1}
    attributes |= {"activation_alpha": 0.3} if activation == "LeakyRelu" else {}
    gemm = node("FusedGemm", ["a", "b", "c"], ["y"], **attributes)
    agrees(gemm, {"a": normal(4, 5)}, {"b": normal(3, 5), "c": normal(3)})


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
    want = x[..., :2] * tf.nn.gelu(x[..., 2:]).numpy()
    agrees(node("BiasSplitGelu", ["x", "b"], ["y"]), two, wanted=[want])
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
    norm = node("SkipLayerNormalization", names, ["y", "", "", "t"], epsilon=1e-5)
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
    agrees(node("EmbedLayerNormalization", names, ["y", "n", "e"], epsilon=1e-6), feeds, weights)
