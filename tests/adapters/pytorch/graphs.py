"""Small ONNX models for the tests of the importer, and what ONNX Runtime says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper

from xbench_adapters.pytorch import import_onnx

Arrays = Mapping[str, Any]
"""Arrays by name; a NumPy scalar is one of no dimensions."""


def model(
    nodes: Sequence[onnx.NodeProto],
    feeds: Arrays,
    outputs: Sequence[str],
    weights: Arrays | None = None,
    opset: int = 20,
) -> onnx.ModelProto:
    """Return a model whose inputs are as the feeds are."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(one.dtype), one.shape
            )
            for name, one in feeds.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(one), name) for name, one in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def onnxruntime_says(whole: onnx.ModelProto, feeds: Arrays) -> list[Any]:
    """Return the outputs that ONNX Runtime computes, its optimisations off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        whole.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: list[Any] = session.run(None, dict(feeds))
    return found


def run(module: torch.fx.GraphModule, feeds: Arrays) -> list[Any]:
    """Return the outputs that an imported module computes, as arrays."""
    with torch.inference_mode():
        return [one.numpy() for one in module(*(torch.from_numpy(a) for a in feeds.values()))]


def agree(
    nodes: Sequence[onnx.NodeProto],
    feeds: Arrays,
    outputs: Sequence[str],
    weights: Arrays | None = None,
    *,
    opset: int = 20,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> torch.fx.GraphModule:
    """Return the imported module, after both gave the same outputs."""
    whole = model(nodes, feeds, outputs, weights, opset)
    wanted = onnxruntime_says(whole, feeds)
    module = import_onnx(whole)
    for want, have in zip(wanted, run(module, feeds), strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(have, want, rtol=rtol, atol=atol)
    return module


def normal(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return seeded normal floats."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
