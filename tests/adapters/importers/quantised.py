"""Whole numbers of few bits, and checks of operators on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import Arrays, model, onnxruntime_says, reference_says
from tests.adapters.importers.chosen import holds, ran

bytes_ = st.sampled_from([np.uint8, np.int8])


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
    for want, array in zip(wanted, ran(made, feeds), strict=True):
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
    (have,) = ran(made, feeds)
    expected = holds(want)
    assert (have.dtype, have.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(have.astype(np.float64), expected.astype(np.float64))


def scale_of(shape: Sequence[int], kind: str, block: int) -> tuple[int, ...]:
    """Return the shape of scales for a tensor whose axis 1 they go along."""
    if kind == "blocks":
        return (shape[0], -(-shape[1] // block), *shape[2:])
    return () if kind == "tensor" else (shape[1],)


granularity = st.sampled_from(["tensor", "axis", "blocks"])
