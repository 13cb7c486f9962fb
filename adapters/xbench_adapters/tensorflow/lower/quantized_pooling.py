"""Means over windows of quantised numbers, as ONNX Runtime's quantiser writes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.geometry.windows import EMPTY, counts_of, covered, settled
from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.pool_windows import Pool, mean
from xbench_adapters.tensorflow.lower.quantized_microsoft import parts, result
from xbench_adapters.tensorflow.lower.quantized_scales import real, requantized
from xbench_adapters.tensorflow.lower.sliding import lengths_of, rule_at
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

MICROSOFT = "com.microsoft"


@lowering("QLinearGlobalAveragePool", 1, domain=MICROSOFT, raw=True)
def global_average_pool(node: Node, to: Builder) -> Any:
    """Return the mean over all spatial axes, which stay with length 1, quantised."""
    name = node.inputs[0]
    rank = to.rank(name)
    told_last = bool(node.attributes.get("channels_last", 0))
    in_last = not told_last and to.has_last(name)
    x = real(*parts(node, to, 0, to.last(name) if in_last else to.value(name)))
    axes = list(range(1, rank - 1)) if told_last or in_last else list(range(2, rank))
    found = requantized(tf.reduce_mean(x, axes, keepdims=True), *result(node, to, 3))
    return Last(found) if in_last else found


@lowering("QLinearAveragePool", 1, domain=MICROSOFT, raw=True)
def average_pool(node: Node, to: Builder) -> Any:
    """Return the mean of each window, quantised; beyond all padding counts like padding."""
    given, name = node.attributes, node.inputs[0]
    kernel, told_last = tuple(given["kernel_shape"]), bool(given.get("channels_last", 0))
    if len(kernel) not in (1, 2, 3) or to.rank(name) != len(kernel) + 2:
        to.refuse(f"kernel_shape {kernel} for {to.rank(name)} dimensions")
    x = real(*parts(node, to, 0, to.value(name) if told_last else to.last(name)))
    rule, lengths = rule_at(node, to), lengths_of(x)
    windows = settled(rule, kernel, lengths)
    if not covered(windows):
        to.refuse(EMPTY)
    counts = counts_of(windows, lengths, ceil=bool(given.get("ceil_mode", 0)))
    pool = Pool(x, windows, lengths, counts, same=rule.kind == "SAME_UPPER")
    pads = bool(given.get("count_include_pad", 0))
    if pads:
        before, after = zip(*pool.ends, strict=True)
        pool = replace(pool, windows=replace(windows, before=before, after=after), same=False)
    found = requantized(mean(pool, pads=pads), *result(node, to, 3))
    return found if told_last else Last(found)
