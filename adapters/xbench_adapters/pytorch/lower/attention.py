"""Attention, from the pattern that exporters write for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    import torch.fx

    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


@lowering("ScaledDotProductAttention", 1, domain="xbench")
def scaled_dot_product_attention(node: Node, to: Builder) -> torch.fx.Node:
    """Return softmax(scale * Q @ K' + mask) @ V, with the mask's addition where it has one."""
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
