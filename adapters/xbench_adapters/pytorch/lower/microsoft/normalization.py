"""Normalisations that ONNX Runtime fuses with the sums and tables before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench.graph.plain import Node, Value
from xbench_adapters.pytorch.lower.shared.standard import as_standard, aside, first
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench_adapters.pytorch.builder import Builder


@lowering("LayerNormalization", 1, 16)
def layer_normalization(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return the trailing axes normalised, as before the operator was ONNX's own."""
    return as_standard(node, to, "LayerNormalization", 17)


@lowering("SimplifiedLayerNormalization", 1)
@lowering("SimplifiedLayerNormalization", 1, domain=MICROSOFT)
def simplified_layer_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return the trailing axes over their root mean square."""
    return first(as_standard(node, to, "RMSNormalization", 23, outputs=node.outputs[:1]))


def _summed(node: Node, to: Builder, bias: str) -> tuple[torch.fx.Node, str]:
    """Return the sum of input, skip and bias, and its name."""
    total = to.call(torch.add, to.value(node.inputs[0]), to.value(node.inputs[1]))
    total = to.call(torch.add, total, to.value(bias)) if bias else total
    return total, aside(node, to, "sum", total, to.graph.value(node.inputs[0]))


def _normalized(
    node: Node, to: Builder, standard: tuple[str, int], x: str, *weights: str
) -> torch.fx.Node:
    """Return the last axis of ``x`` normalised, by one of ONNX's own operators."""
    found = as_standard(
        node,
        to,
        *standard,
        inputs=(x, *(one for one in weights if one)),
        outputs=node.outputs[:1],
        axis=-1,
        epsilon=node.attributes.get("epsilon", 1e-12),
    )
    return first(found)


@lowering("SkipLayerNormalization", 1, domain=MICROSOFT)
def skip_layer_normalization(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return the last axis of a sum normalised, and the sum."""
    total, name = _summed(node, to, node.input(4))
    result = _normalized(node, to, ("LayerNormalization", 17), name, node.inputs[2], node.input(3))
    return result, None, None, total


@lowering("SkipSimplifiedLayerNormalization", 1, domain=MICROSOFT)
def skip_simplified_layer_normalization(
    node: Node, to: Builder
) -> tuple[torch.fx.Node | None, ...]:
    """Return the last axis of a sum over its root mean square, and the sum."""
    total, name = _summed(node, to, node.input(3))
    result = _normalized(node, to, ("RMSNormalization", 23), name, node.inputs[2])
    return result, None, None, total


def embedded(
    ids: torch.Tensor,
    segments: torch.Tensor | None,
    words: torch.Tensor,
    places: torch.Tensor,
    kinds: torch.Tensor | None,
    at: torch.Tensor | None,
) -> torch.Tensor:
    """Return the sum of the vectors of words, of their places and of their segments.

    Args:
        ids: Words (batch, length).
        segments: The segment of each word.
        words: Vectors of words.
        places: Vectors of places.
        kinds: Vectors of segments.
        at: The place of each word; None where they are counted.
    """
    whole = functional.embedding(ids, words)
    whole = whole + (places[: ids.shape[1]] if at is None else functional.embedding(at, places))
    if segments is None or kinds is None:
        return whole
    return whole + functional.embedding(segments, kinds)


def kept_words(mask: torch.Tensor | None, ids: torch.Tensor) -> torch.Tensor:
    """Return how many words of each item a mask keeps; without one 0, which stands for none."""
    if mask is None:
        return torch.zeros(ids.shape[0], dtype=torch.int32, device=ids.device)
    return (mask == 1).sum(1).to(torch.int32)


@lowering("EmbedLayerNormalization", 1, domain=MICROSOFT)
def embed_layer_normalization(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return embeddings normalised, how many words the mask keeps, and the embeddings."""
    given = [to.optional(node.input(place)) for place in (0, 1, 2, 3, 4, 8)]
    total = to.call(embedded, *given)
    ids, words = (to.graph.value(node.inputs[place]) for place in (0, 2))
    shape = None
    if ids.shape is not None and words.shape is not None:
        shape = (*ids.shape, words.shape[1])
    name = aside(node, to, "sum", total, Value(words.dtype, shape))
    count = to.call(kept_words, to.optional(node.input(7)), given[0])
    result = _normalized(node, to, ("LayerNormalization", 17), name, *node.inputs[5:7])
    return result, count, total


def group_norm(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    groups: int,
    epsilon: float,
    last: bool,
    activated: bool,
) -> torch.Tensor:
    """Return groups of channels normalised, in the type of the weights, and activated.

    Args:
        x: Images.
        weight: What each channel is multiplied by.
        bias: What is added to each channel.
        groups: How many groups there are.
        epsilon: What is added to variances.
        last: Whether channels are the last axis, not the second.
        activated: Whether the result goes through x * sigmoid(x).
    """
    images = (x.movedim(-1, 1) if last else x).to(weight.dtype)
    result = functional.group_norm(images, groups, weight, bias, epsilon)
    result = functional.silu(result) if activated else result
    return (result.movedim(1, -1) if last else result).to(x.dtype)


def _group_normed(node: Node, to: Builder, x: torch.fx.Node) -> torch.fx.Node:
    get = node.attributes.get
    activation = node.attributes["activation"]
    if activation not in (0, 1):
        to.refuse(f"activation {activation}")
    weights = (to.value(name) for name in node.inputs[1:3])
    options = (node.attributes["groups"], get("epsilon", 1e-5), bool(get("channels_last", 1)))
    return to.call(group_norm, x, *weights, *options, activation == 1)


@lowering("GroupNorm", 1, domain=MICROSOFT)
def microsoft_group_norm(node: Node, to: Builder) -> torch.fx.Node:
    """Return groups of channels normalised, and activated where asked."""
    return _group_normed(node, to, to.value(node.inputs[0]))


def skipped(
    x: torch.Tensor, skip: torch.Tensor, bias: torch.Tensor | None, last: bool
) -> torch.Tensor:
    """Return the sum of images, of others or of one vector for each, and of a bias."""
    if skip.ndim == 2:
        skip = skip[:, None, None] if last else skip[:, :, None, None]
    if bias is not None and not last:
        bias = bias[:, None, None]
    return x + skip if bias is None else x + skip + bias


@lowering("SkipGroupNorm", 1, domain=MICROSOFT)
def skip_group_norm(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return groups of channels of a sum normalised, and the sum."""
    last = bool(node.attributes.get("channels_last", 1))
    x, skip = to.value(node.inputs[0]), to.value(node.inputs[3])
    total = to.call(skipped, x, skip, to.optional(node.input(4)), last)
    return _group_normed(node, to, total), total
