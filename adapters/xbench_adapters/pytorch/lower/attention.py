"""Attention: natively where it is one step, else step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared import attend
from xbench_adapters.pytorch.registry import lowering
from xbench_adapters.pytorch.tensors import FLOATS

if TYPE_CHECKING:
    from xbench.graph.plain import Graph, Node
    from xbench_adapters.pytorch.builder import Builder


@lowering("Attention", 23)
def attention(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return attention, the keys and values with those of the past, and scores."""
    counts = (node.attributes.get(name) for name in ("q_num_heads", "kv_num_heads"))
    query_heads, heads = counts
    query = _heads(to, node.inputs[0], query_heads)
    key, value = (_heads(to, name, heads) for name in node.inputs[1:3])
    if node.input(4):
        key = to.call(attend.grown, to.value(node.input(4)), key)
        value = to.call(attend.grown, to.value(node.input(5)), value)
    mask, causal = _mask(node, to, query, key)
    scale, shown = node.attributes.get("scale"), None
    if _in_one_step(node, to):
        options = {"attn_mask": mask, "is_causal": causal, "scale": scale}
        options |= {"enable_gqa": True} if _grouped(node, to) else {}
        result = to.call(functional.scaled_dot_product_attention, query, key, value, **options)
    else:
        if causal:
            mask = _placed(node, to, query, key, None)
        precision = FLOATS.get(node.attributes.get("softmax_precision", 0))
        steps = (node.attributes["softcap"], precision, node.attributes["qk_matmul_output_mode"])
        pair = to.call(attend.attended, query, key, value, mask, scale, *steps)
        result, shown = to.items(pair, 2)
    if to.graph.value(node.inputs[0]).rank != 4:
        result = to.call(attend.merge_heads, result, to.value(node.inputs[0]))
    return result, key, value, shown


def _heads(to: Builder, name: str, heads: int | None) -> torch.fx.Node:
    rank = to.graph.value(name).rank
    if heads is None and rank == 3:
        to.refuse("three dimensions without a number of heads")
    if rank == 4 or heads is None:
        return to.value(name)
    return to.call(attend.split_heads, to.value(name), heads)


def _in_one_step(node: Node, to: Builder) -> bool:
    """Return whether PyTorch's own attention is the same computation."""
    if node.wants(3) or node.attributes["softcap"]:
        return False
    types = {to.graph.value(name).dtype for name in node.inputs[:3]}
    if len(types) > 1:
        return False
    precision = FLOATS.get(node.attributes.get("softmax_precision", 0))
    # Natively halves are summed and raised in float32.
    dtype = to.dtype(node.inputs[0])
    return precision in (None, dtype) or (precision is torch.float32 and dtype.itemsize == 2)


def _grouped(node: Node, to: Builder) -> bool:
    """Return whether several heads of queries may share one of keys."""
    if to.graph.value(node.inputs[0]).rank == 3:
        return bool(node.attributes["q_num_heads"] != node.attributes["kv_num_heads"])
    shapes = [to.graph.value(name).shape for name in node.inputs[:2]]
    if any(shape is None for shape in shapes):
        return True
    left, right = (shape[1] for shape in shapes if shape is not None)
    return left != right or left is None


def _mask(
    node: Node, to: Builder, query: torch.fx.Node, key: torch.fx.Node
) -> tuple[torch.fx.Node | None, bool]:
    """Return the mask, and whether it is that each query sees itself and those before it."""
    given, past, lengths = node.input(3), node.input(4), node.input(6)
    causal = bool(node.attributes["is_causal"])
    window = max(_window(node)) >= 0
    if not given and not lengths and not window and not past:
        return None, causal
    if not given and not lengths and not window and not causal:
        return None, False
    if given and not lengths and not window and not causal and _fits(node, to):
        return to.value(given), False
    return _placed(node, to, query, key, to.optional(given)), False


def _window(node: Node) -> tuple[int, int]:
    get = node.attributes.get
    return get("left_window_size", -1), get("right_window_size", -1)


def _fits(node: Node, to: Builder) -> bool:
    """Return whether a mask is as PyTorch's own attention takes it."""
    mask, (query, key) = to.graph.value(node.input(3)), map(to.graph.value, node.inputs[:2])
    if mask.static is None or mask.rank not in (2, 4) or key.shape is None or node.input(4):
        return False
    kind = mask.dtype is not None and (mask.dtype.name == "bool" or mask.dtype == query.dtype)
    return kind and mask.static[-1] == key.shape[-2 if key.rank == 4 else 1]


def _placed(
    node: Node,
    to: Builder,
    query: torch.fx.Node,
    key: torch.fx.Node,
    mask: torch.fx.Node | None,
) -> torch.fx.Node:
    past, lengths = (to.optional(node.input(place)) for place in (4, 6))
    causal = bool(node.attributes["is_causal"])
    return to.call(placed_mask, query, key, mask, past, lengths, causal, _window(node))


def placed_mask(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    past: torch.Tensor | None,
    lengths: torch.Tensor | None,
    causal: bool,
    window: tuple[int, int],
) -> torch.Tensor | None:
    """Return all that masks keys as one mask; None where every query sees every key."""
    queries, keys = query.shape[2], key.shape[2]
    if mask is not None:
        mask = _widened(mask, keys, query.dtype)
    offset: torch.Tensor | int = 0 if past is None else past.shape[2]
    seen = None
    if lengths is not None:
        offset = lengths - queries if past is None else offset
        seen = (torch.arange(keys, device=key.device) < lengths.reshape(-1, 1))[:, None, None]
    before, after = window
    if causal:
        after = 0
    sees_all = before < 0 and (
        after < 0 or (isinstance(offset, int) and offset + after >= keys - 1)
    )
    if not sees_all:
        seen = attend.both(seen, attend.reachable(queries, keys, offset, (before, after), key))
    return attend.both(mask, seen)


def _widened(mask: torch.Tensor, keys: int, dtype: torch.dtype) -> torch.Tensor:
    """Return a mask of at least two dimensions, the keys beyond its end masked."""
    if mask.dtype != torch.bool:
        mask = mask.to(dtype)
    if mask.ndim < 2:
        mask = mask.reshape(1, -1)
    if mask.ndim == 3:
        mask = mask[None]
    missing = keys - mask.shape[-1]
    if missing <= 0:
        return mask
    rest = False if mask.dtype == torch.bool else attend.LOWEST
    return functional.pad(mask, (0, missing), value=rest)


@lowering("FlexAttention", 1, domain="ai.onnx.preview")
def flex_attention(node: Node, to: Builder) -> torch.fx.Node:
    """Return attention whose scores and weights go through graphs of the node."""
    query, key, value = (to.value(name) for name in node.inputs[:3])
    scale = node.attributes.get("scale")
    bends, changes = (node.attributes.get(name) for name in ("score_mod", "prob_mod"))
    dtype = to.dtype(node.inputs[0])
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    precision = FLOATS.get(node.attributes.get("softmax_precision", 0), wide)
    if bends is None and changes is None and precision is wide:
        options: dict[str, Any] = {"scale": scale, "enable_gqa": True}
        return to.call(functional.scaled_dot_product_attention, query, key, value, **options)
    scores = to.call(flex_scores, query, key, scale, precision)
    scores = scores if bends is None else _through(to, bends, scores)
    weights = to.call(torch.softmax, scores, -1)
    weights = weights if changes is None else _through(to, changes, weights)
    return to.call(flex_result, weights, value)


def _through(to: Builder, graph: Graph, x: torch.fx.Node) -> torch.fx.Node:
    """Return what a graph of the node makes of a tensor."""
    captures = [to.raw(name) for name in graph.captures]
    return to.item(to.module(to.inner(graph), x, *captures), 0)


def flex_scores(
    query: torch.Tensor, key: torch.Tensor, scale: float | None, precision: torch.dtype
) -> torch.Tensor:
    """Return the scaled products of queries and keys, in the type that softmax takes."""
    return attend.scores_of(query, key, scale).to(precision)


def flex_result(weights: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return values weighed in the type of the weights, and then in their own."""
    heads = attend.repeated(value, weights.shape[1])
    return (weights @ heads.to(weights.dtype)).to(value.dtype)


@lowering("ScaledDotProductAttention", 1, domain="xbench")
def scaled_dot_product_attention(node: Node, to: Builder) -> torch.fx.Node:
    """Return softmax(scale * Q @ K' + mask) @ V, from the pattern that exporters write for it."""
    query, key, value = (to.value(name) for name in node.inputs[:3])
    return to.call(
        functional.scaled_dot_product_attention,
        query,
        key,
        value,
        attn_mask=to.optional(node.input(3)),
        is_causal=bool(node.attributes["is_causal"]),
        scale=node.attributes["scale"],
    )
