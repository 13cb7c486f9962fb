"""Windows whose padding XLA and LiteRT have not: theirs is none, or that of ``SAME``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xbench.graph.geometry.windows import (
    Rule,
    counts_of,
    covered,
    overhang_of,
    rule_of,
    settled,
    transposed,
)
from xbench.graph.plain import Node, Value
from xbench_adapters.tensorflow.draft import Draft

Ints = tuple[int, ...]

NEVER_BELOW_ZERO = frozenset({"Relu", "Sigmoid", "Abs", "Exp", "Softmax", "HardSigmoid"})


def max_pool(node: Node, draft: Draft) -> bool:
    """Pad beforehand."""
    value = draft.values.get(node.inputs[0], Value())
    kernel, shape = tuple(node.attributes.get("kernel_shape") or ()), value.static
    if shape is None or value.dtype is None or len(shape) != 4 or node.wants(1):
        return False
    ends = _reached(node, kernel, shape[2:])
    if ends is None or not any(ends):
        return False
    maker = draft.makers.get(node.inputs[0])
    if maker is not None and maker.operator in NEVER_BELOW_ZERO:
        least = value.dtype.type(0)  # never wins either, and XNNPACK pads by it
    else:
        least = value.dtype.type(-np.inf if value.dtype.kind == "f" else np.iinfo(value.dtype).min)
    padded = draft.add(
        node, "Pad",
        [node.inputs[0], _pads(draft, ends), draft.constant(np.asarray(least))],
        _widened(value, ends), mode="constant",
    )  # fmt: skip
    attributes = {**node.attributes, "pads": [0] * 4, "auto_pad": "NOTSET", "ceil_mode": 0}
    draft.end(node, "MaxPool", [padded], **attributes)
    return True


def _reached(node: Node, kernel: Ints, lengths: Ints) -> list[int] | None:
    """Return the padding that windows reach, before and after; None where it is as it should be."""
    try:
        rule = rule_of(node)
        windows = settled(rule, kernel, lengths)
    except ValueError:  # refused by name when it is lowered
        return None
    counts = counts_of(windows, lengths, ceil=bool(node.attributes.get("ceil_mode")))
    ends = overhang_of(windows, lengths, counts)
    same = settled(Rule(windows.strides, windows.dilations, (), "SAME_UPPER"), kernel, lengths)
    if ends == same.ends or not covered(windows) or windows.dilated:
        return None
    return [int(start) for start, _ in ends] + [int(end) for _, end in ends]


def conv_transpose(node: Node, draft: Draft) -> bool:
    """Cut what padding cuts, and add the bias, afterwards."""
    value = draft.values.get(node.inputs[0], Value())
    weight = draft.values.get(node.inputs[1], Value()).static
    result = draft.values.get(node.outputs[0], Value())
    bias = draft.constants.get(node.input(2))
    if value.static is None or weight is None or len(weight) != 4 or result.static is None:
        return False
    if node.input(2) and bias is None:
        return False
    extra = tuple(node.attributes.get("output_padding") or (0, 0))
    wanted = tuple(node.attributes.get("output_shape") or ())
    try:
        windows = transposed(rule_of(node), weight[2:], value.static[2:], extra, wanted)
    except ValueError:  # refused by name when it is lowered
        return False
    ends = [-start for start in windows.before]
    ends += [more - end for more, end in zip(extra, windows.after, strict=True)]
    if not any(ends):
        return False
    plain = {"pads": [0] * 4, "auto_pad": "NOTSET", "output_padding": [0] * 2, "output_shape": []}
    attributes = {**node.attributes, **plain}
    whole = draft.add(
        node,
        "ConvTranspose",
        node.inputs[:2],
        _widened(result, [-one for one in ends]),
        **attributes,
    )
    inputs = [whole, _pads(draft, ends)]
    if bias is None:
        draft.end(node, "Pad", inputs, mode="constant")
        return True
    cut = draft.add(node, "Pad", inputs, result, mode="constant")
    draft.end(node, "Add", [cut, draft.constant(bias.reshape(-1, 1, 1))])
    return True


def _pads(draft: Draft, ends: Sequence[int]) -> str:
    """Return a constant for what is put around two axes of space, or cut off."""
    return draft.constant(np.array([0, 0, *ends[:2], 0, 0, *ends[2:]], np.int64))


def _widened(value: Value, ends: Sequence[int]) -> Value:
    batch, channels, height, width = value.static or (0, 0, 0, 0)
    shape = (batch, channels, height + ends[0] + ends[2], width + ends[1] + ends[3])
    return Value(value.dtype, shape)
