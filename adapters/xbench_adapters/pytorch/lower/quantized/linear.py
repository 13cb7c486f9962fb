"""Products of matrices and convolutions of whole numbers of 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx

from xbench.graph.demands import rows_only
from xbench_adapters.pytorch.lower.quantized.integer_products import (
    by_column,
    by_row,
    convolution,
    factor,
    known_factor,
    product,
    to_int32,
)
from xbench_adapters.pytorch.lower.quantized.scales import (
    Target,
    along,
    offset,
    quantized,
    target_of,
)
from xbench_adapters.pytorch.lower.shared.windows import Rule, rule_of
from xbench_adapters.pytorch.registry import MICROSOFT, lowering
from xbench_adapters.pytorch.tensors import tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder

_BYTES = ("int8", "uint8")


def matmul_integer(
    a: torch.Tensor, b: torch.Tensor, a_zero: torch.Tensor | None, b_zero: torch.Tensor | None
) -> torch.Tensor:
    """Return the product of matrices less their zero points, in 32 bits."""
    return to_int32(product(a, b, a_zero, b_zero), a.shape[-1])


def matmul_ratio(
    a_scale: torch.Tensor, b_scale: torch.Tensor, y_scale: torch.Tensor
) -> torch.Tensor:
    """Return what a product of quantised matrices is worth in quanta of the result."""
    ratio = by_row(a_scale) * by_column(b_scale) / by_row(y_scale)
    return ratio.to(torch.float32)


def matmul_quantized(
    a: torch.Tensor,
    b: torch.Tensor,
    zeros: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None],
    ratio: torch.Tensor,
    target: Target,
) -> torch.Tensor:
    """Return the product of quantised matrices, quantised: see `matmul_ratio`."""
    found = product(a, b, zeros[0], zeros[1]).to(torch.float32) * ratio
    return quantized(found, None if zeros[2] is None else by_row(zeros[2]), *target)


def gemm_quantized(
    a: torch.Tensor,
    b: torch.Tensor,
    zeros: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None],
    bias: torch.Tensor | None,
    scales: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    alpha: float,
    target: Target | None,
    *,
    turned: bool,
) -> torch.Tensor:
    """Return ``alpha`` times the product of quantised matrices and a bias in its quanta."""
    whole = product(a.t() if turned else a, b, zeros[0], zeros[1])
    if bias is not None:
        whole = whole.to(torch.float64) + bias
    ratio = alpha * scales[0].reshape(()) * by_column(scales[1])
    if scales[2] is None or target is None:
        return whole.to(torch.float32) * ratio
    found = whole.to(torch.float32) * (ratio / scales[2].reshape(()))
    return quantized(found, None if zeros[2] is None else zeros[2].reshape(()), *target)


def conv_integer(
    x: torch.Tensor,
    weight: torch.Tensor,
    zeros: tuple[torch.Tensor | None, torch.Tensor | None],
    rule: Rule,
    groups: int,
) -> torch.Tensor:
    """Return the convolution of numbers less their zero points, in 32 bits."""
    return to_int32(convolution(x, weight, zeros, None, rule, groups), weight[0].numel())


def conv_ratio(x_scale: torch.Tensor, w_scale: torch.Tensor, y_scale: torch.Tensor) -> torch.Tensor:
    """Return what a quantised convolution is worth in quanta of the result, by channel."""
    ratio = x_scale.reshape(()) * w_scale / y_scale.reshape(())
    return ratio.to(torch.float32)


def conv_quantized(
    x: torch.Tensor,
    weight: torch.Tensor,
    zeros: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None],
    bias: torch.Tensor | None,
    ratio: torch.Tensor,
    rule: Rule,
    groups: int,
    target: Target,
    *,
    channels_last: bool,
) -> torch.Tensor:
    """Return a convolution of quantised numbers, quantised: see `conv_ratio`."""
    x = x.movedim(-1, 1) if channels_last else x
    whole = convolution(x, weight, zeros[:2], bias, rule, groups).to(torch.float32)
    scaled = whole * along(ratio, 1, whole.dim())
    found = quantized(scaled, None if zeros[2] is None else zeros[2].reshape(()), *target)
    return found.movedim(1, -1).contiguous() if channels_last else found


@lowering("MatMulInteger", 10)
def lower_matmul_integer(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product of whole numbers in 32 bits, each less its zero point."""
    b, b_zero = factor(to, node.inputs[1], node.input(3))
    rows_only(node, to, 0, node.input(2))
    a_zero = offset(to, node.input(2))
    return to.call(matmul_integer, to.value(node.inputs[0]), b, a_zero, b_zero)


@lowering("QLinearMatMul", 10, raw=True)
def lower_qlinear_matmul(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product of quantised matrices, quantised."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.inputs
    _bytes(to, a, b)
    rows_only(node, to, 0, a_scale, a_zero, y_scale, y_zero)
    right, b_offset = factor(to, b, b_zero)
    ratio = _ratio(to, node, matmul_ratio, a_scale, b_scale, y_scale)
    zeros = (offset(to, a_zero), b_offset, offset(to, y_zero))
    target = target_of(to, y_zero)
    return to.call(matmul_quantized, to.value(a), right, zeros, ratio, target)


@lowering("QGemm", 1, domain=MICROSOFT)
def lower_qgemm(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product of quantised matrices with a bias in 32 bits: quantised, or as floats."""
    given = node.attributes
    a, a_scale, a_zero, b, b_scale, b_zero = node.inputs[:6]
    y_scale, y_zero = node.input(7), node.input(8)
    if bool(y_scale) != bool(y_zero):
        to.refuse("a scale of the result without its zero point")
    right, offsets = _right_of_gemm(to, b, b_zero, turned=bool(given.get("transB", 0)))
    scales = [to.value(name) for name in (a_scale, b_scale)]
    return to.call(
        gemm_quantized,
        to.value(a),
        right,
        (offset(to, a_zero), offsets, offset(to, y_zero)),
        to.optional(node.input(6)),
        (*scales, to.optional(y_scale)),
        given.get("alpha", 1.0),
        target_of(to, y_zero) if y_zero else None,
        turned=bool(given.get("transA", 0)),
    )


def _right_of_gemm(
    to: Builder, name: str, zero: str, *, turned: bool
) -> tuple[torch.fx.Node, torch.fx.Node | None]:
    """Return the right factor as it is multiplied, and its zero point where it still has one."""
    if not turned:
        return factor(to, name, zero)
    known = known_factor(to, name, zero, (-1,))
    if known is not None:
        return to.fixed(f"{name}_centred", known.T), None
    return to.call(torch.t, to.value(name)), offset(to, zero)


@lowering("ConvInteger", 10)
def lower_conv_integer(node: Node, to: Builder) -> torch.fx.Node:
    """Return a convolution of whole numbers in 32 bits, each less its zero point."""
    weight, zero = _kernel(node, to, node.inputs[1], node.input(3), None)
    zeros = (offset(to, node.input(2)), zero)
    slides = rule_of(node, to), node.attributes.get("group", 1)
    return to.call(conv_integer, to.value(node.inputs[0]), weight, zeros, *slides)


@lowering("QLinearConv", 10, raw=True)
@lowering("QLinearConv", 1, domain=MICROSOFT, raw=True)
def lower_qlinear_conv(node: Node, to: Builder) -> torch.fx.Node:
    """Return a convolution of quantised numbers with a bias in 32 bits, quantised."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = node.inputs[:8]
    name = node.input(8)
    known = to.constant(name) if name else None
    if name and known is None:  # no bound on the sums is known
        weight, zero = to.value(w), offset(to, w_zero)
    else:
        weight, zero = _kernel(node, to, w, w_zero, known)
    return to.call(
        conv_quantized,
        to.value(x),
        weight,
        (offset(to, x_zero), zero, offset(to, y_zero)),
        to.optional(name),
        _ratio(to, node, conv_ratio, x_scale, w_scale, y_scale),
        rule_of(node, to),
        node.attributes.get("group", 1),
        target_of(to, y_zero or node.outputs[0]),
        channels_last=bool(node.attributes.get("channels_last", 0)),
    )


def _kernel(
    node: Node, to: Builder, name: str, zero: str, bias: Array | None
) -> tuple[torch.fx.Node, torch.fx.Node | None]:
    """Return the weight of a convolution, and its zero point where it still has one."""
    rank = to.graph.value(name).rank
    if rank is not None and rank not in (3, 4, 5):
        to.refuse(f"{rank - 2} spatial axes")
    known = known_factor(to, name, zero, range(1, rank or 4), bias)
    if known is not None:
        return to.fixed(f"{node.name}_centred", known), None
    return to.value(name), offset(to, zero)


def _ratio(
    to: Builder, node: Node, function: Callable[..., torch.Tensor], *names: str
) -> torch.fx.Node:
    """Return what ``function`` makes of scales, now where all are known."""
    arrays = [to.constant(name) for name in names]
    known = [tensor_of(array) for array in arrays if array is not None]
    if len(known) == len(names):
        return to.fixed(f"{node.name}_ratio", function(*known).numpy())
    return to.call(function, *(to.value(name) for name in names))


def _bytes(to: Builder, *names: str) -> None:
    for name in names:
        dtype = to.graph.value(name).dtype
        if dtype is None or dtype.name not in _BYTES:
            to.refuse("factors that are not whole numbers of 8 bits")
