"""Products of matrices, layers, losses and Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    built,
    close,
    normal,
    onnxruntime_says,
    same,
)
from tests.adapters.importers.chosen import (
    agree,
    few,
    given_by,
)

node = helper.make_node


@pytest.mark.parametrize(
    ("left", "right"),
    [((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 5, 3), (3, 4)), ((2, 1, 5, 3), (6, 3, 4)),
     ((3,), (2, 3, 4)), ((0, 3), (3, 2))],
)  # fmt: skip
@pytest.mark.parametrize("known", [True, False])
def test_products_of_any_ranks(left: Any, right: Any, known: bool) -> None:
    feeds, other = {"a": normal(*left)}, {"b": normal(*right, seed=1)}
    one = node("MatMul", ["a", "b"], ["y"])
    if known:
        agree([one], feeds, ["y"], other)
    else:
        agree([one], feeds | other, ["y"])
        wanted = np.matmul(feeds["a"], other["b"])
        same(given_by(one, feeds | other, lengths=False)[0], wanted, 1e-4)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_products_of_whole_numbers_are_exact(dtype: str) -> None:
    draw = np.random.default_rng(0)
    feeds = {"a": draw.integers(0, 100, (3, 4)).astype(dtype),
             "b": draw.integers(0, 100, (4, 2)).astype(dtype)}  # fmt: skip
    same(given_by(node("MatMul", ["a", "b"], ["y"]), feeds)[0],
         np.matmul(feeds["a"], feeds["b"]))  # fmt: skip


@pytest.mark.parametrize("turns", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("third", ["", "row", "full", "one"])
def test_gemm_in_every_way(turns: Any, third: str) -> None:
    a, b = normal(*((4, 2) if turns[0] else (2, 4))), normal(*((3, 4) if turns[1] else (4, 3)))
    thirds = {"row": normal(3), "full": normal(2, 3), "one": normal(1)}
    names = ["a", "b", third] if third else ["a", "b"]
    one = node("Gemm", names, ["y"], transA=turns[0], transB=turns[1], alpha=0.5, beta=2.0)
    more = {third: thirds[third]} if third else {}
    agree([one], {"a": a}, ["y"], {"b": b} | more)
    agree([one], {"a": a, "b": b} | more, ["y"])


def test_gemm_of_whole_numbers_cuts_at_the_end() -> None:
    feeds = {"a": np.array([[3, 4]]), "b": np.array([[1], [2]]), "c": np.array([[5]])}
    one = node("Gemm", ["a", "b", "c"], ["y"], alpha=0.5, beta=0.5)
    same(given_by(one, feeds)[0], np.array([[8]]))
    one = node("Gemm", ["a", "b", "c"], ["y"], alpha=2.0, beta=3.0)
    same(given_by(one, feeds)[0], np.array([[37]]))


@pytest.mark.parametrize("equation", ["ij, jk", "bij,bjk -> bik", "ii->i", "...ij->...ji", "ij->"])
def test_einstein_sums(equation: str) -> None:
    shapes: dict[str, Any] = {"ij, jk": [(2, 3), (3, 4)], "bij,bjk -> bik": [(2, 3, 4), (2, 4, 5)]}
    arrays = [normal(*one) for one in shapes.get(equation, [(3, 3)])]
    feeds = dict(zip("ab", arrays, strict=False))
    one = node("Einsum", list(feeds), ["y"], equation=equation)
    same(given_by(one, feeds)[0], np.einsum(equation, *arrays), 1e-4)
    whole = {name: (array * 5).astype(np.int16) for name, array in feeds.items()}
    same(given_by(one, whole)[0], np.einsum(equation, *whole.values()).astype(np.int16))


def test_the_mean_and_deviation_of_a_layer_are_given_too() -> None:
    feeds, weights = {"x": normal(2, 3, 4)}, {"s": normal(3, 4, seed=1), "b": normal(3, 4, seed=2)}
    one = node("LayerNormalization", ["x", "s", "b"], ["y", "m", "i"], axis=1)
    agree([one], feeds, ["y", "m", "i"], weights)
    rows = {"x": normal(2, 3, 4) + 100}
    one = node("LayerNormalization", ["x", "s"], ["y"])
    agree([one], rows, ["y"], {"s": normal(4, seed=1)}, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_losses_ignore_a_class_and_weigh_others(reduction: str) -> None:
    feeds = {"x": normal(3, 5, 2), "t": np.array([[0, 4], [2, 2], [1, 3]])}
    weights = {"w": np.array([1, 2, 3, 4, 5], np.float32)}
    one = node("SoftmaxCrossEntropyLoss", ["x", "t", "w"], ["y", "l"],
               reduction=reduction, ignore_index=2)  # fmt: skip
    agree([one], feeds, ["y", "l"], weights, opset=13)


@pytest.mark.parametrize("size", [4, 7, 8, 11])
@pytest.mark.parametrize("ways", [(0, 0), (1, 0), (0, 1)])
def test_fourier_transforms_of_any_length(size: int, ways: tuple[int, int]) -> None:
    inverse, onesided = ways
    x = normal(2, 8, 3, 1) if onesided else normal(2, 8, 3, 2)
    feeds = {"x": x, "n": np.int64(size), "a": np.int64(1)}
    one = node("DFT", ["x", "n", "a"], ["y"], inverse=inverse, onesided=onesided)
    signal = x[..., 0] if onesided else x[..., 0] + 1j * x[..., 1]
    found = (np.fft.ifft if inverse else np.fft.fft)(signal, size, 1)
    found = found[:, : size // 2 + 1] if onesided else found
    wanted = np.stack([found.real, found.imag], -1).astype(np.float32)
    for openness in (True, False):
        same(given_by(one, feeds, lengths=openness)[0][..., :1], wanted[..., :1], 1e-3, 1e-4)
        same(given_by(one, feeds)[0], wanted, 1e-3, 1e-4)


def test_frames_of_a_signal_under_a_window() -> None:
    feeds = {"x": normal(2, 32, 1), "step": np.array(5), "w": np.hanning(8).astype(np.float32)}
    agree([node("STFT", ["x", "step", "w"], ["y"])], feeds, ["y"])


@given(
    st.sampled_from([(), (2,), (2, 2), (2, 1, 2)]),
    st.sampled_from(["none", "sum", "mean"]),
    st.sampled_from([None, -1, 1, 7]),
    st.booleans(),
    st.booleans(),
)
@few
def test_losses(
    spatial: Any, reduction: str, ignored: int | None, weighted: bool, logs: bool
) -> None:
    rng = np.random.default_rng(len(spatial))
    labels = rng.integers(0, 4, (3, *spatial))
    attributes: dict[str, Any] = {"reduction": reduction}
    if ignored is not None:
        labels.reshape(-1)[0] = ignored
        attributes["ignore_index"] = ignored
    feeds = {"x": normal(3, 4, *spatial), "t": labels} | (
        {"w": np.abs(normal(4))} if weighted else {}
    )
    outputs = ["y", "p"] if logs else ["y"]
    one = node("SoftmaxCrossEntropyLoss", [*feeds], outputs, **attributes)
    wanted = onnxruntime_says(built(one, feeds), feeds)
    close(given_by(one, feeds, lengths=False), wanted)
    one = node("NegativeLogLikelihoodLoss", [*feeds], ["y"], **attributes)
    wanted = onnxruntime_says(built(one, feeds), feeds)
    same(given_by(one, feeds)[0], wanted[0], 1e-4, 1e-5)
