"""Ways to give an operator its inputs, and a check that an import agrees in each of them."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
import onnx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from tests.adapters.pytorch.graphs import Arrays, model, onnxruntime_says, run
from xbench_adapters.pytorch import import_onnx

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,  # the same cases each time: a failure can be looked at
    suppress_health_check=[HealthCheck.filter_too_much],
)
WAYS = ["known", "fed", "open"]
ways = st.sampled_from(WAYS)


def open_up(whole: onnx.ModelProto, names: Container[str]) -> None:
    """Leave every length of some inputs open."""
    for one in whole.graph.input:
        for place, dim in enumerate(one.type.tensor_type.shape.dim):
            if one.name in names:
                dim.dim_param = f"{one.name}_{place}"


def agrees(
    nodes: Sequence[onnx.NodeProto],
    feeds: Arrays,
    rest: Arrays,
    outputs: Sequence[str] = ("y",),
    *,
    way: str = "known",
    opset: int = 20,
    reference: bool = False,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Check outputs against ONNX Runtime's, or those of ONNX's reference.

    Args:
        nodes: The computation.
        feeds: Inputs of every run.
        rest: Inputs that are constants where the way is ``known``.
        outputs: What to compare.
        way: ``known``, ``fed`` (the rest are inputs too) or ``open`` (so are lengths).
        opset: The operator set.
        reference: Whether ONNX's reference tells, where ONNX Runtime has no such operator.
        rtol: As in NumPy.
        atol: As in NumPy.
    """
    given = dict(feeds) if way == "known" else {**feeds, **rest}
    whole = model(nodes, given, outputs, rest if way == "known" else None, opset)
    if way == "open":
        open_up(whole, feeds)
    wanted = (
        ReferenceEvaluator(whole).run(None, given) if reference else onnxruntime_says(whole, given)
    )
    for want, have in zip(wanted, run(import_onnx(whole), given), strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(have, want, rtol=rtol, atol=atol)
