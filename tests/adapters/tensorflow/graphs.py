"""Small ONNX models through the TensorFlow importer, beside what ONNX Runtime says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from tests.adapters.pytorch.graphs import built, model, onnxruntime_says
from xbench_adapters.tensorflow import import_onnx
from xbench_adapters.tensorflow.tensors import held

Arrays = Mapping[str, Any]


def run(module: Any, feeds: Arrays) -> list[Any]:
    """Return the outputs that an imported module computes, as arrays."""
    given = [tf.constant(held(np.asarray(one))) for one in feeds.values()]
    return [one.numpy() for one in module(*given)]


def given_by(one: onnx.NodeProto, feeds: Arrays, opset: int = 20, **openness: bool) -> list[Any]:
    """Return what an imported node gives, as arrays; see `built`."""
    return run(import_onnx(built(one, feeds, opset, **openness)), feeds)


def agree(
    nodes: Sequence[onnx.NodeProto],
    feeds: Arrays,
    outputs: Sequence[str],
    weights: Arrays | None = None,
    *,
    opset: int = 20,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> Any:
    """Return the imported module, after both gave the same outputs."""
    whole = model(nodes, feeds, outputs, weights, opset)
    wanted = onnxruntime_says(whole, feeds)
    module = import_onnx(whole)
    for want, have in zip(wanted, run(module, feeds), strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(have, want, rtol=rtol, atol=atol)
    return module
