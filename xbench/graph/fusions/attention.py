"""Attention as exporters spell it out, as one operator.

What is looked for, backwards from the last product; each part in brackets may be absent::

    MatMul([scale] Q, [scale] Transpose(K)) → [scale] → [+ mask] → Softmax → [NaN → 0] → MatMul V

torch's exporter scales Q and K each by the root of the scale, transposes K through three
dimensions, and puts zeros where a row that is masked throughout gives NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from xbench.graph.fusions.view import Rewrite, View, made, standard
from xbench.graph.plain import Value

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node

_HIDES = -1e30
"""A mask's entry at which no float32 score changes that its weight is 0."""


@dataclass(frozen=True, slots=True)
class _Scores:
    """The parts of softmax's input, by name."""

    query: str
    key_turned: str
    scale: float
    mask: str


def attention(node: Node, view: View) -> Rewrite | None:
    """Return `ScaledDotProductAttention` (Q, K, V, mask) in place of the pattern."""
    if node.operator != "MatMul" or node.domain:
        return None
    weights, value = node.inputs
    softmax, guarded = _softmax(weights, view)
    if softmax is None:
        return None
    scores = _scores(softmax.inputs[0], view)
    if scores is None or not _shapes_fit(scores, value, view):
        return None
    masked = _masked(scores, view, guarded=guarded)
    if masked is None:
        return None
    mask, causal = masked
    key, before = _key(scores.key_turned, node, view)
    inputs = (scores.query, key, value, *((mask,) if mask else ()))
    one = made(node, "ScaledDotProductAttention", inputs, is_causal=int(causal), scale=scores.scale)
    return Rewrite((*before.nodes, one), values=before.values)


def _softmax(name: str, view: View) -> tuple[Node | None, bool]:
    """Return the Softmax along the last axis that makes ``name``, and whether NaN becomes 0."""
    guard = view.maker(name, "Where")
    if guard is None:
        return _last(view.maker(name, "Softmax"), view), False
    test = view.maker(guard.inputs[0], "IsNaN")
    if test is None or view.number(guard.inputs[1]) != 0 or test.inputs[0] != guard.inputs[2]:
        return None, False
    return _last(view.maker(guard.inputs[2], "Softmax", uses=2), view), True


def _last(node: Node | None, view: View) -> Node | None:
    if node is None:
        return None
    rank = view.rank(node.inputs[0])
    return node if rank is not None and node.attributes["axis"] in (-1, rank - 1) else None


def _scores(name: str, view: View) -> _Scores | None:
    node, mask = view.maker(name, "Add"), ""
    if node is not None:
        sides = [view.scaled(one)[0] for one in node.inputs]
        places = [place for place, one in enumerate(sides) if view.maker(one, "MatMul")]
        if len(places) != 1:
            return None
        name, mask = node.inputs[places[0]], node.inputs[1 - places[0]]
    base, scale = view.scaled(name)
    product = view.maker(base, "MatMul")
    if product is None:
        return None
    (query, by_query), (key, by_key) = (view.scaled(one) for one in product.inputs)
    return _Scores(query, key, scale * by_query * by_key, mask)


def _shapes_fit(scores: _Scores, value: str, view: View) -> bool:
    """Return whether Q, K and V have the same leading lengths, so that nothing broadcasts."""
    shapes = [view.shape(name) for name in (scores.query, scores.key_turned, value)]
    query, key, last = shapes
    if query is None or key is None or last is None or len(query) not in (3, 4):
        return False
    dtype = view.graph.value(scores.query).dtype
    return query[:-2] == key[:-2] == last[:-2] and dtype is not None and dtype.kind == "f"


def _masked(scores: _Scores, view: View, *, guarded: bool) -> tuple[str, bool] | None:
    """Return the mask, ``""`` for none, and whether it is causal; None if it does not fit.

    A row that is masked throughout by -inf gives NaN where it is not guarded, and 0 in the
    operator: without a guard, the mask must be known to leave no such row.
    """
    if not scores.mask:
        return "", False
    query, key = view.shape(scores.query) or (), view.shape(scores.key_turned) or ()
    shape, whole = view.shape(scores.mask), (*query[:-1], key[-1])
    if shape is None or len(shape) < 2 or not _broadcasts(shape, whole):
        return None  # the operator takes no mask of fewer than two axes
    known = view.constant(scores.mask)
    if known is None:
        return (scores.mask, False) if guarded or _finite(scores.mask, view) else None
    if not known.any():
        return "", False
    if not guarded and np.isneginf(known).all(axis=-1).any():
        return None
    causal = query[-2] == key[-1] and _is_causal(known, query[-2])
    return ("", True) if causal else (scores.mask, False)


def _broadcasts(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Return whether ``shape`` broadcasts to ``whole``, and does not widen it."""
    if len(shape) > len(whole):
        return False
    pairs = zip(reversed(shape), reversed(whole), strict=False)
    return all(length in (1, wanted) for length, wanted in pairs)


def _is_causal(mask: Array, length: int) -> bool:
    """Return whether a mask hides exactly what comes later."""
    if mask.shape[-2:] != (length, length) or mask.size != length * length:
        return False
    later = np.triu(np.ones((length, length), bool), 1)
    square = mask.reshape(length, length)
    return bool((square[later] <= _HIDES).all() and not square[~later].any())


def _finite(name: str, view: View) -> bool:
    """Return whether a mask that is computed is finite for finite inputs, by how it is made."""
    choice = view.shared(name, "Where")
    if choice is not None:
        arrays = [view.constant(one) for one in choice.inputs[1:]]
        return all(array is not None and bool(np.isfinite(array).all()) for array in arrays)
    product = view.shared(name, "Mul")
    found = None if product is None else view.with_number(product)
    if found is None or not np.isfinite(found[1]):
        return False
    inverse = view.maker(found[0], "Sub", uses=view.graph.uses()[found[0]])
    if inverse is None or view.number(inverse.inputs[0]) != 1:
        return False
    # 1 - mask, with a mask of zeros and ones cast from a whole or logical type.
    return (
        view.maker(inverse.inputs[1], "Cast", uses=view.graph.uses()[inverse.inputs[1]]) is not None
    )


def _key(name: str, node: Node, view: View) -> tuple[str, Rewrite]:
    """Return K, and the nodes that make it of its transpose where it is not there already."""
    through = _through_three(name, view)
    if through is not None:
        return through, Rewrite(())
    shape = view.shape(name) or ()
    plain = list(range(len(shape)))
    order = [*plain[:-2], *plain[:-3:-1]]
    source, made_by = name, view.maker(name, "Transpose")
    if made_by is not None:
        turned = list(made_by.attributes.get("perm") or plain[::-1])
        if len(turned) == len(order):
            source, order = made_by.inputs[0], [*turned[:-2], turned[-1], turned[-2]]
    if order == plain:
        return source, Rewrite(())
    key = f"{node.outputs[0]}/key"
    one = standard(node, "Transpose", 13, (source,), perm=order)
    value = Value(view.graph.value(name).dtype, (*shape[:-2], shape[-1], shape[-2]))
    return key, Rewrite((replace(one, name=key, outputs=(key,)),), values={key: value})


def _through_three(name: str, view: View) -> str | None:
    """Return K, if ``name`` is K flattened to three dimensions, transposed and spread again."""
    spread = view.maker(name, "Reshape")
    turn = None if spread is None else view.maker(spread.inputs[0], "Transpose")
    flat = None if turn is None else view.maker(turn.inputs[0], "Reshape")
    if turn is None or flat is None or turn.attributes.get("perm") != [0, 2, 1]:
        return None
    shapes = [view.shape(one) for one in (flat.inputs[0], turn.inputs[0], name)]
    key, three, last = shapes
    if key is None or three is None or last is None or len(key) < 3:
        return None
    same = three == (prod(key[:-2]), *key[-2:]) and last == (*key[:-2], key[-1], key[-2])
    return flat.inputs[0] if same else None
