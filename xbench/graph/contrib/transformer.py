"""Types of what ONNX Runtime's transformer optimiser writes: attention, normalisations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from xbench.graph.contrib.rules import Known, like, tensor, typed
from xbench.graph.plain import Dim

Types = Sequence[onnx.TypeProto | None]


def _plus(one: Dim, other: Dim) -> Dim:
    return one + other if isinstance(one, int) and isinstance(other, int) else None


def _part(whole: Dim, count: int) -> Dim:
    return whole // count if isinstance(whole, int) else None


@typed("LayerNormalization", "")
@typed("SimplifiedLayerNormalization", "")
@typed("SimplifiedLayerNormalization")
@typed("RotaryEmbedding")
def _like_first(known: Known) -> Types:
    return [like(known)]


@typed("SkipLayerNormalization")
@typed("SkipSimplifiedLayerNormalization")
def _skip_norm(known: Known) -> Types:
    return [like(known), None, None, like(known)]


@typed("EmbedLayerNormalization")
def _embed_norm(known: Known) -> Types:
    ids, words = known.value(0), known.value(2)
    if ids.shape is None or words.shape is None:
        whole = tensor(words.dtype, [None] * 3)
        return [whole, tensor(np.dtype(np.int32), [None]), whole]
    whole = tensor(words.dtype, (*ids.shape, words.shape[1]))
    return [whole, tensor(np.dtype(np.int32), ids.shape[:1]), whole]


@typed("Attention")
def _attention(known: Known) -> Types:
    value, weight, past = known.value(0), known.value(1), known.value(4)
    batch, length = (value.shape or (None, None))[:2]
    heads, sizes = int(known.attributes["num_heads"]), known.attributes.get("qkv_hidden_sizes")
    hidden: Dim = None if weight.shape is None else _part(weight.shape[1], 3)
    hidden = sizes[2] if sizes else hidden
    before = 0 if not past.rank else (past.shape or ())[3]
    if not past.rank and len(known.node.input) > 4 and known.node.input[4]:
        before = None
    total = _plus(before, length)
    present = tensor(value.dtype, [2, batch, heads, total, _part(hidden, heads)])
    return [tensor(value.dtype, [batch, length, hidden]), present]


def _lengths(known: Known) -> tuple[Dim, Dim, Dim]:
    """Return how many keys there are, and the size of their heads and of those of values."""
    heads = int(known.attributes["num_heads"])
    query, key, value = (known.value(place).shape for place in range(3))
    if query is not None and len(query) == 5:
        return query[1], query[4], query[4]
    if query is None or key is None:
        return None, None, None
    if len(key) == 5:
        return key[1], key[4], key[4]
    if len(key) == 4:
        return key[2], key[3], None if value is None else value[3]
    return key[1], _part(key[2], heads), None if value is None else _part(value[2], heads)


@typed("MultiHeadAttention")
def _multi_head_attention(known: Known) -> Types:
    value, past = known.value(0), known.value(6)
    heads, (keys, size, width) = int(known.attributes["num_heads"]), _lengths(known)
    batch, length = (value.shape or (None, None))[:2]
    hidden = width * heads if isinstance(width, int) else None
    given = len(known.node.input) > 6 and known.node.input[6]
    before: Dim = 0 if not given else None
    if past.shape is not None:
        before = past.shape[2]
    total = _plus(before, keys)
    return [
        tensor(value.dtype, [batch, length, hidden]),
        tensor(value.dtype, [batch, heads, total, size]),
        tensor(value.dtype, [batch, heads, total, width]),
    ]


@typed("GroupQueryAttention")
def _group_query_attention(known: Known) -> Types:
    value, past, total = known.value(0), known.value(3), known.constant(6)
    heads, shared = (int(known.attributes[name]) for name in ("num_heads", "kv_num_heads"))
    batch, length, hidden = value.shape or (None, None, None)
    packed = not known.node.input[1]
    size = _part(hidden, heads + 2 * shared if packed else heads)
    hidden = size * heads if isinstance(size, int) else None
    room: Dim = None if total is None else int(total.reshape(-1)[0])
    if known.node.input[3]:
        before = None if past.shape is None else past.shape[2]
        both = isinstance(room, int) and isinstance(before, int)
        room = max(room, before) if both else None  # type: ignore[type-var]  # both are lengths
    cache = tensor(value.dtype, [batch, shared, room, size])
    return [tensor(value.dtype, [batch, length, hidden]), cache, cache]


@typed("LinearAttention")
def _linear_attention(known: Known) -> Types:
    query, value = known.value(0), known.value(2)
    heads, shared = (int(known.attributes[name]) for name in ("q_num_heads", "kv_num_heads"))
    if query.shape is None or value.shape is None:
        return [tensor(query.dtype, [None] * 3), None]
    batch, length, hidden = query.shape
    width = _part(value.shape[2], shared)
    whole = width * heads if isinstance(width, int) else None
    state = known.value(3).dtype or query.dtype
    return [
        tensor(query.dtype, [batch, length, whole]),
        tensor(state, [batch, shared, _part(hidden, heads), width]),
    ]


@typed("RelativePositionBias")
def _relative_position_bias(known: Known) -> Types:
    table = known.value(0)
    heads = None if table.shape is None else table.shape[1]
    lengths = [known.constant(place) for place in (1, 2)]
    known_lengths = [None if one is None else int(one.reshape(-1)[0]) for one in lengths]
    return [tensor(table.dtype, [1, heads, *known_lengths])]


@typed("GatedRelativePositionBias")
def _gated_relative_position_bias(known: Known) -> Types:
    query, places = known.value(0), known.value(2)
    if query.shape is None or places.shape is None:
        return [tensor(query.dtype, [None] * 4)]
    return [tensor(query.dtype, (query.shape[0], *places.shape[1:]))]
