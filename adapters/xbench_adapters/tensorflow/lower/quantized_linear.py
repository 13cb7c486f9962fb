"""Products of matrices and convolutions of whole numbers of 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench.graph.demands import rows_only
from xbench.graph.geometry.windows import settled
from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.convolution import convolved, kernel_of
from xbench_adapters.tensorflow.lower.quantized_products import (
    by_column,
    by_row,
    centred,
    factor,
    known_factor,
    product,
    to_int32,
    wide_enough,
)
from xbench_adapters.tensorflow.lower.quantized_scales import (
    along,
    now,
    offset,
    quantized,
    scale_of,
    single,
    target_of,
)
from xbench_adapters.tensorflow.lower.sliding import lengths_of, rule_at
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.unfolded import unfolded

if TYPE_CHECKING:
    from collections.abc import Callable

    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

MICROSOFT = "com.microsoft"

_BYTES = ("int8", "uint8")


def matmul_ratio(a_scale: Any, b_scale: Any, y_scale: Any) -> Any:
    """Return what a product of quantised matrices is worth in quanta of the result."""
    ratio = by_row(a_scale) * by_column(b_scale) / by_row(y_scale)
    return tf.cast(ratio, tf.float32)


def conv_ratio(x_scale: Any, w_scale: Any, y_scale: Any) -> Any:
    """Return what a quantised convolution is worth in quanta of the result, by channel."""
    scale = single(w_scale) if w_scale.shape.num_elements() == 1 else w_scale
    return tf.cast(single(x_scale) * scale / single(y_scale), tf.float32)


@lowering("MatMulInteger", 10, raw=True)
def matmul_integer(node: Node, to: Builder) -> Any:
    """Return a product of whole numbers in 32 bits, each less its zero point."""
    _bytes(to, *node.inputs[:2])
    b, b_zero = factor(to, node.inputs[1], node.input(3))
    rows_only(node, to, 0, node.input(2))
    return to_int32(product(to.value(node.inputs[0]), b, offset(to, node.input(2)), b_zero))


@lowering("QLinearMatMul", 10, raw=True)
def qlinear_matmul(node: Node, to: Builder) -> Any:
    """Return a product of quantised matrices, quantised."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.inputs
    _bytes(to, a, b)
    rows_only(node, to, 0, a_scale, a_zero, y_scale, y_zero)
    right, b_offset = factor(to, b, b_zero)
    ratio = _ratio(to, matmul_ratio, a_scale, b_scale, y_scale)
    whole = product(to.value(a), right, offset(to, a_zero), b_offset)
    found = tf.cast(whole, tf.float32) * ratio
    return quantized(found, by_row(offset(to, y_zero)), *target_of(to, y_zero))


@lowering("QGemm", 1, domain=MICROSOFT, raw=True)
def qgemm(node: Node, to: Builder) -> Any:
    """Return a product of quantised matrices with a bias in 32 bits: quantised, or as floats."""
    given = node.attributes
    a, a_scale, a_zero, b, b_scale, b_zero = node.inputs[:6]
    y_scale, y_zero = node.input(7), node.input(8)
    if bool(y_scale) != bool(y_zero):
        to.refuse("a scale of the result without its zero point")
    _bytes(to, a, b)
    right, offsets = _right_of_gemm(to, b, b_zero, turned=bool(given.get("transB", 0)))
    left = tf.transpose(to.value(a)) if given.get("transA", 0) else to.value(a)
    whole = product(left, right, single(offset(to, a_zero)), offsets)
    if node.input(6):
        whole = tf.cast(whole, tf.float64) + tf.cast(to.value(node.inputs[6]), tf.float64)
    ratio = single(scale_of(to, a_scale)) * by_column(scale_of(to, b_scale))
    ratio = given.get("alpha", 1.0) * ratio
    if not y_scale:
        return tf.cast(whole, tf.float32) * ratio
    found = tf.cast(whole, tf.float32) * (ratio / single(scale_of(to, y_scale)))
    return quantized(found, single(offset(to, y_zero)), *target_of(to, y_zero))


def _right_of_gemm(to: Builder, name: str, zero: str, *, turned: bool) -> tuple[Any, Any]:
    """Return the right factor as it is multiplied, and its zero point where it still has one."""
    if not turned:
        return factor(to, name, zero)
    known = known_factor(to, name, zero, (-1,))
    if known is not None:
        return tf.constant(np.ascontiguousarray(known.T)), None
    return tf.transpose(to.value(name)), offset(to, zero)


@lowering("ConvInteger", 10, raw=True)
def conv_integer(node: Node, to: Builder) -> Last:
    """Return a convolution of whole numbers in 32 bits, each less its zero point."""
    _bytes(to, *node.inputs[:2])
    x = to.last(node.inputs[0])
    return Last(to_int32(_convolution(node, to, x, (0, 2), (1, 3), "")))


@lowering("QLinearConv", 10, raw=True)
@lowering("QLinearConv", 1, domain=MICROSOFT, raw=True)
def qlinear_conv(node: Node, to: Builder) -> Any:
    """Return a convolution of quantised numbers with a bias in 32 bits, quantised."""
    _bytes(to, node.inputs[0], node.inputs[3])
    in_last = bool(node.attributes.get("channels_last", 0))
    x = to.value(node.inputs[0]) if in_last else to.last(node.inputs[0])
    whole = _convolution(node, to, x, (0, 2), (3, 5), node.input(8))
    ratio = _ratio(to, conv_ratio, *(node.inputs[place] for place in (1, 4, 6)))
    scaled = tf.cast(whole, tf.float32) * ratio
    zero = single(offset(to, node.input(7)))
    found = quantized(scaled, zero, *target_of(to, node.input(7) or node.outputs[0]))
    return found if in_last else Last(found)


def _convolution(
    node: Node, to: Builder, x: Any, of_x: tuple[int, int], of_w: tuple[int, int], bias: str
) -> Any:
    """Return a convolution of numbers less their zero points: whole floats, channels last.

    Args:
        node: The node.
        to: The builder.
        x: Whole numbers of 8 bits, channels last.
        of_x: The places of the numbers and of their zero point among the inputs.
        of_w: The same for the weight.
        bias: The name of whole numbers that are added, one a channel; "" for none.
    """
    name, zero = node.inputs[of_w[0]], node.input(of_w[1])
    rank = to.rank(name)
    if rank not in (3, 4, 5):
        to.refuse(f"{rank - 2} spatial axes")
    order = [*range(2, rank), 1, 0]
    array = to.constant(bias) if bias else None
    settled_bias = array is not None or not bias  # else no bound on the sums is known
    known = known_factor(to, name, zero, range(1, rank), array) if settled_bias else None
    if known is not None:
        weight: Any = np.ascontiguousarray(known.transpose(order))
        dtype = tf.as_dtype(weight.dtype)
    else:
        shape = to.graph.value(name).static
        dtype = wide_enough(None if shape is None else int(np.prod(shape[1:])), bool(bias))
        less = offset(to, zero)
        less = None if less is None else along(less, 0, rank)
        weight = tf.transpose(centred(to.value(name), less, dtype), order)
    left = centred(x, single(offset(to, node.input(of_x[1]))), dtype)
    rule, kernel = rule_at(node, to), kernel_of(node, to, weight)
    windows = settled(rule, kernel, lengths_of(left))
    added = tf.cast(to.value(bias), dtype) if bias else None
    groups = node.attributes.get("group", 1)
    return convolved(left, weight, windows, groups, added, same=rule.kind == "SAME_UPPER")


def _ratio(to: Builder, function: Callable[..., Any], *names: str) -> Any:
    """Return what ``function`` makes of scales, now where all are known."""
    arrays = [to.constant(name) for name in names]
    if all(one is not None for one in arrays):
        return unfolded(now(function, *arrays))
    return function(*(to.value(name) for name in names))


def _bytes(to: Builder, *names: str) -> None:
    for name in names:
        dtype = to.graph.value(name).dtype
        if dtype is None or dtype.name not in _BYTES:
            to.refuse("factors that are not whole numbers of 8 bits")
