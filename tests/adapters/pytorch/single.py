"""Models of a single node, with lengths and ranks left open where asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator

from tests.adapters.pytorch.graphs import Arrays, model
from xbench_adapters.pytorch import import_onnx
from xbench_adapters.pytorch.tensors import tensor_of


def built(
    one: onnx.NodeProto, feeds: Arrays, opset: int = 20, *, ranks: bool = True, lengths: bool = True
) -> onnx.ModelProto:
    """Return a model of one node.

    Args:
        one: The node.
        feeds: Its inputs, all of them given at run time.
        opset: The operator set.
        ranks: Whether the ranks of inputs are known.
        lengths: Whether their lengths are.
    """
    whole = model([one], feeds, one.output, opset=opset)
    if one.domain:
        whole.opset_import.append(helper.make_opsetid(one.domain, 1))
    for value in whole.graph.input:
        for place, dim in enumerate(value.type.tensor_type.shape.dim):
            if not lengths:
                dim.dim_param = f"{value.name}{place}"
        if not ranks:
            value.type.tensor_type.ClearField("shape")
    return whole


def given_by(one: onnx.NodeProto, feeds: Arrays, opset: int = 20, **openness: bool) -> list[Any]:
    """Return what the imported node gives, as arrays; bfloat16 as float32."""
    module = import_onnx(built(one, feeds, opset, **openness))
    with torch.inference_mode():
        found = module(*(tensor_of(np.asarray(each)) for each in feeds.values()))
    return [(each.float() if each.dtype == torch.bfloat16 else each).numpy() for each in found]


def reference(one: onnx.NodeProto, feeds: Arrays, opset: int = 20) -> list[Any]:
    """Return what ONNX's reference gives."""
    found = ReferenceEvaluator(built(one, feeds, opset)).run(None, dict(feeds))
    return list(found)


def same(found: Any, wanted: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Assert that an array has the type, shape and values that are wanted."""
    wanted = np.asarray(wanted)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol)
