"""Models whose operators are told their shapes, axes and places in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from hypothesis import HealthCheck, settings
from onnx.reference import ReferenceEvaluator

from tests.adapters.pytorch.graphs import model, onnxruntime_says, opened
from xbench_adapters.tensorflow import import_onnx
from xbench_adapters.tensorflow.tensors import held

few = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,  # the same cases each time: a failure can be looked at
    suppress_health_check=[HealthCheck.filter_too_much],
)


def ran(whole: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    """Return the outputs of a model, as arrays."""
    module = import_onnx(whole)
    given = [tf.constant(held(np.asarray(one))) for one in feeds.values()]
    return [one.numpy() for one in module(*given)]


def said(nodes: Sequence[onnx.NodeProto], feeds: dict[str, Any], opset: int = 20) -> Any:
    """Return the one output of a model that is given all of its feeds at run time."""
    (found,) = ran(model(nodes, feeds, [nodes[-1].output[0]], opset=opset), feeds)
    return found


def agree_as(
    way: str,
    nodes: Sequence[onnx.NodeProto],
    feeds: dict[str, Any],
    told: dict[str, Any],
    *,
    opset: int = 20,
    reference: bool = False,
    rtol: float = 0.0,
    atol: float = 0.0,
) -> None:
    """Check the outputs, named ``y...``, against ONNX Runtime's, or those of the reference.

    Args:
        way: Whether ``told`` is ``known``, ``fed`` to each run, or fed beside ``open`` lengths.
        nodes: The computation.
        feeds: Inputs of every run.
        told: Shapes, axes and the like.
        opset: The operator set.
        reference: Whether ONNX's reference tells, where ONNX Runtime has no such operator.
        rtol: As in NumPy.
        atol: As in NumPy.
    """
    names = [name for one in nodes for name in one.output if name.startswith("y")]
    given = feeds if way == "known" else {**feeds, **told}
    whole = model(nodes, given, names, told if way == "known" else None, opset)
    if way == "open":
        whole = opened(whole)
    wanted = (
        ReferenceEvaluator(whole).run(None, given) if reference else onnxruntime_says(whole, given)
    )
    for want, have in zip(wanted, ran(whole, given), strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(have, want, rtol=rtol, atol=atol)
