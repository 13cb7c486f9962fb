"""Small ONNX models for the tests of importers, and what others say of them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Arrays = Mapping[str, Any]
"""Arrays by name; a NumPy scalar is one of no dimensions."""

WAYS = ["known", "fed", "open"]
"""Whether shapes, axes and the like are constants, inputs, or inputs beside open lengths."""

ways = st.sampled_from(WAYS)


def normal(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return seeded normal floats."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


# Models


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
    others = sorted({one.domain for one in nodes} - {""})
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(one, 1) for one in others)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def opened(
    whole: onnx.ModelProto, names: Container[str] | None = None, *, ranks: bool = True
) -> onnx.ModelProto:
    """Return a copy of a model of whose inputs no length is known, or not even the rank.

    Args:
        whole: The model.
        names: Which inputs; None for all.
        ranks: Whether ranks are known.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(whole)
    for one in copy.graph.input:
        if names is not None and one.name not in names:
            continue
        for place, dim in enumerate(one.type.tensor_type.shape.dim):
            dim.dim_param = f"{one.name}_{place}"
        if not ranks:
            one.type.tensor_type.ClearField("shape")
    return copy


def built(
    one: onnx.NodeProto, feeds: Arrays, opset: int = 20, *, ranks: bool = True, lengths: bool = True
) -> onnx.ModelProto:
    """Return a model of one node, all of whose inputs are given at run time."""
    whole = model([one], feeds, one.output, opset=opset)
    return whole if ranks and lengths else opened(whole, ranks=ranks)


# What they give


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


def reference_says(whole: onnx.ModelProto, feeds: Arrays) -> list[Any]:
    """Return the outputs that ONNX's reference computes."""
    return list(ReferenceEvaluator(whole).run(None, dict(feeds)))


# Checks


def same(found: Any, wanted: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Check that an array has the type, shape and values that are wanted."""
    wanted = np.asarray(wanted)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol)


def close(
    found: Sequence[Any], wanted: Sequence[Any], rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    """Check that arrays are those wanted."""
    for have, want in zip(found, wanted, strict=True):
        same(have, want, rtol, atol)
