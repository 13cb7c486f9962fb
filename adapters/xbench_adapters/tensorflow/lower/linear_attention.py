"""Attention without softmax: a state that is updated token by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower import turns
from xbench_adapters.tensorflow.lower.attend import dims
from xbench_adapters.tensorflow.registry import lowering

_RULES = {
    "linear": (False, False),
    "gated": (True, False),
    "delta": (False, True),
    "gated_delta": (True, True),
}
"""By rule: whether the state decays, and whether a value replaces what its key recalls."""

_WRITTEN_OUT = 16
"""How many tokens are written out one by one."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What each token brings, along the first axis: float32, (length, batch, heads, ...).

    Attributes:
        query: (length, batch, heads of keys, heads of queries for each, size).
        key: (length, batch, heads, size).
        value: (length, batch, heads, size of values).
        left: What is left of the state, for each head or each of its rows; None for all.
        rate: How much of the difference to what a key recalls is written; None to add.
    """

    query: Any
    key: Any
    value: Any
    left: Any
    rate: Any

    def step(self, turn: Any, carried: list[Any]) -> tuple[Any, list[Any], list[Any]]:
        """Return the state after a token, and what its queries read from it."""
        state = carried[0]
        key, value = tf.gather(self.key, turn), tf.gather(self.value, turn)
        if self.left is not None:
            state = state * tf.gather(self.left, turn)[..., None]
        if self.rate is not None:
            recalled = tf.squeeze(tf.matmul(key[..., None, :], state), -2)
            value = tf.gather(self.rate, turn) * (value - recalled)
        state = state + key[..., None] * value[..., None, :]
        return tf.constant(True), [state], [tf.matmul(tf.gather(self.query, turn), state)]


def _tokens(x: Any, *heads: int) -> Any:
    """Return (length, batch, heads, size), in float32."""
    batch, length, width = dims(x)
    count = 1
    for one in heads:
        count *= one
    split = tf.reshape(tf.cast(x, tf.float32), [batch, length, *heads, width // count])
    return tf.transpose(split, [1, 0, *range(2, split.shape.rank)])


def _read(tokens: Tokens, state: Any) -> tuple[Any, Any]:
    """Return what all queries read, (length, batch, heads, queries, size), and the last state."""
    length = dims(tokens.key)[0]
    read = turns.Rows(tf.float32, (*tokens.query.shape[1:-1], tokens.value.shape[-1]))
    if isinstance(length, int) and length <= _WRITTEN_OUT:
        last, rows = turns.one_by_one(tokens.step, [state], [read], length)
    else:
        last, rows = turns.in_a_loop(tokens.step, [state], [state.shape], [read], length)
    return rows, last


@lowering("LinearAttention", 1, domain="com.microsoft")
@lowering("LinearAttention", 27)
def linear_attention(node: Node, to: Builder) -> tuple[Any, Any]:
    """Return what is read from the state at each token, and the last state."""
    _check(node, to)
    many, heads = node.attributes["q_num_heads"], node.attributes["kv_num_heads"]
    query, key, value = (to.value(name) for name in node.inputs[:3])
    given, decay, rate = (to.optional(node.input(place)) for place in (3, 4, 5))
    batch, length, width = dims(query)
    size = width // many
    scale: Any = float(node.attributes.get("scale") or 0.0)
    if not scale:
        scale = tf.math.rsqrt(tf.cast(size, tf.float32))
    tokens = Tokens(
        _tokens(query, heads, many // heads) * scale,
        _tokens(key, heads),
        _tokens(value, heads),
        None if decay is None else tf.exp(_tokens(decay, heads)),
        None if rate is None else _tokens(rate, dims(rate)[2]),
    )
    each = dims(tokens.value)[-1]
    if given is None:
        state = tf.zeros([batch, heads, size, each], tf.float32)
    else:
        state = tf.cast(given, tf.float32)
    rows, last = _read(tokens, state)
    whole = tf.reshape(tf.transpose(rows, [1, 0, 2, 3, 4]), [batch, length, many * each])
    return tf.cast(whole, query.dtype), tf.cast(last, query.dtype if given is None else given.dtype)


def _check(node: Node, to: Builder) -> None:
    """Refuse a node whose rule, heads or inputs do not fit together."""
    rule = node.attributes.get("update_rule", "gated_delta")
    heads = node.attributes["q_num_heads"], node.attributes["kv_num_heads"]
    if rule not in _RULES or heads[1] <= 0 or heads[0] % heads[1] or heads[0] <= 0:
        to.refuse(f"rule {rule!r} with {heads[0]} heads of queries and {heads[1]} of keys")
    if node.attributes.get("state_window", 0):
        to.refuse("a window of states")
    if _RULES[rule] != (bool(node.input(4)), bool(node.input(5))):
        to.refuse(f"rule {rule!r} with other inputs than it takes")
