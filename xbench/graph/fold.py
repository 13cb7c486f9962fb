"""The value of a node whose inputs are all known, from `onnx.reference`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Value

_GROWTH_LIMIT = 1 << 20
"""Elements up to which a folded value may be larger than the inputs it comes from."""

_DRAWN = frozenset(
    {"Bernoulli", "Dropout", "Multinomial"}
    | {f"Random{kind}{like}" for kind in ("Normal", "Uniform") for like in ("", "Like")}
)
"""Operators that draw at random: each run must draw anew."""

_SLOW = frozenset(
    {
        "Conv",
        "ConvInteger",
        "ConvTranspose",
        "DeformConv",
        "QLinearConv",
        "AveragePool",
        "MaxPool",
        "LpPool",
        "RNN",
        "GRU",
        "LSTM",
        "Loop",
        "Scan",
        "If",
        "NonMaxSuppression",
        "RoiAlign",
        "Resize",
        "Upsample",
        "GridSample",
        "Attention",
        "StringNormalizer",
        "TfIdfVectorizer",
    }
)
"""Compute that the reference does in Python loops; a framework does it at the first run."""

_ASTRAY = frozenset(
    {"BatchNormalization", "Hardmax", "LRN", "LogSoftmax", "LpNormalization", "PRelu", "Softmax"}
    | {"NegativeLogLikelihoodLoss", "OneHot", "SoftmaxCrossEntropyLoss", "Unique"}
)
"""Operators of which the reference gives something else than their text says in some version.

So it does where `broadcast` lets the second operand lie at an axis: it knows no such axis.
"""

_PLAIN = "?bhilqBHILQefdFD"
"""NumPy's own element types; ONNX's small floats and packed integers are left alone."""


def can_fold(node: onnx.NodeProto, inputs: Sequence[Array], outputs: Sequence[Value]) -> bool:
    """Return whether evaluating a node now is safe and does not swell the model.

    Args:
        node: The node, of ONNX's own domain.
        inputs: The values of its inputs that are present.
        outputs: What is inferred of its outputs.
    """
    if node.op_type in _DRAWN or node.op_type in _SLOW or node.op_type in _ASTRAY:
        return False
    if any(one.name == "broadcast" and one.i for one in node.attribute):
        return False
    if any(array.dtype.char not in _PLAIN for array in inputs):
        return False
    if node.op_type == "Slice" and _starts_before(inputs):
        return False
    if node.op_type == "GatherElements" and inputs[0].shape[-1:] == (1,):
        return False  # of many rows of one element, the reference picks within each row
    allowed = max(_GROWTH_LIMIT, sum(array.size for array in inputs))
    sizes = [_size(value) for value in outputs]
    if any(size is None for size in sizes):
        # The extent depends on the data (NonZero, Unique): bounded by a small input alone.
        return sum(array.size for array in inputs) <= _GROWTH_LIMIT // 16 and not _expands(node)
    return sum(size or 0 for size in sizes) <= allowed


def _starts_before(inputs: Sequence[Array]) -> bool:
    """Return whether a slice backwards may start before its axis: the reference errs there."""
    if len(inputs) < 5 or (inputs[4] > 0).all():
        return False
    return bool((inputs[1] < -min(inputs[0].shape, default=0)).any())


def _size(value: Value) -> int | None:
    return None if value.static is None else int(np.prod(value.static, dtype=np.int64))


def _expands(node: onnx.NodeProto) -> bool:
    return node.op_type in {"Expand", "Tile", "ConstantOfShape", "Range", "Pad", "OneHot"}


def evaluated(
    node: onnx.NodeProto, values: Mapping[str, Array], opsets: Mapping[str, int]
) -> list[Array] | None:
    """Return a node's outputs, or None where the reference cannot give them."""
    names = [name for name in dict.fromkeys(node.input) if name]
    outputs = [name for name in node.output if name]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = ReferenceEvaluator(_model(node, names, outputs, values, opsets)).run(
                None, {name: values[name] for name in names}
            )
    except Exception:  # the reference fails in its own ways: the node then stays
        return None
    if not all(isinstance(one, np.ndarray | np.generic) for one in found):
        return None
    return [np.asarray(one) for one in found]


def _model(
    node: onnx.NodeProto,
    names: list[str],
    outputs: list[str],
    values: Mapping[str, Array],
    opsets: Mapping[str, int],
) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(values[name].dtype), values[name].shape
        )
        for name in names
    ]
    results = [helper.make_tensor_value_info(name, 0, None) for name in outputs]
    graph = helper.make_graph([node], "one", inputs, results)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*one) for one in opsets.items()]
    )
