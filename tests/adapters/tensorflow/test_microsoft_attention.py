"""ONNX Runtime's own attention in TensorFlow against ONNX Runtime, or what its pages say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adapters.pytorch.graphs import normal, opened
from tests.adapters.pytorch.microsoft import node, whole
from tests.adapters.pytorch.test_microsoft_attention import KINDS, bucket, grouped, padding
from tests.adapters.tensorflow.graphs import run
from tests.adapters.tensorflow.test_microsoft import agrees
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

few = settings(max_examples=15, deadline=None, derandomize=True)


@given(
    st.sampled_from(KINDS),
    st.booleans(),
    st.sampled_from(["", "past", "bias"]),
    st.booleans(),
    st.integers(1, 4),
    st.booleans(),
)
@settings(few, max_examples=15)
def test_attention_over_one_projection(
    kind: str, causal: bool, more: str, wide: bool, length: int, fed: bool
) -> None:
    batch, heads, size = 2, 2, 4
    width = 6 if wide and more != "past" else size
    hidden = (heads * size, heads * size, heads * width)
    before = 3 if more == "past" else 0
    feeds: dict[str, Any] = {"x": normal(batch, length, 10)}
    weights = {"w": normal(10, sum(hidden), seed=1) / 3, "b": normal(sum(hidden), seed=2)}
    if kind:
        feeds["m"] = padding(kind, batch, length, before + length)
    if more == "past":
        feeds["p"] = normal(2, batch, heads, before, size, seed=3)
    if more == "bias":
        feeds["a"] = normal(batch, heads, length, length, seed=4)
    names = [name if name in feeds | weights else "" for name in ("x", "w", "b", "m", "p", "a")]
    attributes: dict[str, Any] = {"num_heads": heads, "unidirectional": int(causal)}
    if width != size:
        attributes["qkv_hidden_sizes"] = list(hidden)
    outputs = ["y"] if width != size else ["y", "present"]
    if fed:
        feeds, weights = feeds | weights, {}
        feeds = {name: feeds[name] for name in names if name}
    agrees(node("Attention", names, outputs, **attributes), feeds, weights)


@given(
    st.sampled_from(["", "ends", "keys", "pairs"]),
    st.booleans(),
    st.sampled_from(["", "past", "heads"]),
    st.booleans(),
    st.booleans(),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(few, max_examples=15)
def test_attention_over_queries_keys_and_values(
    kind: str, causal: bool, more: str, biased: bool, added: bool, lengths: tuple[int, int]
) -> None:
    batch, heads, size = 2, 2, 4
    queries, keys = lengths
    before = 3 if more == "past" else 0
    width = size if more else 6
    keys = queries if causal and queries > 1 else keys  # else it is not clear what is seen
    feeds: dict[str, Any] = {"q": normal(batch, queries, heads * size)}
    if more == "heads":
        feeds["k"] = normal(batch, heads, keys, size, seed=1)
        feeds["v"] = normal(batch, heads, keys, width, seed=2)
    else:
        feeds["k"] = normal(batch, keys, heads * size, seed=1)
        feeds["v"] = normal(batch, keys, heads * width, seed=2)
    if biased and more != "heads":
        feeds["b"] = normal(heads * (2 * size + width), seed=3)
    if kind:
        feeds["m"] = padding(kind, batch, queries, before + keys)
    if added:
        feeds["a"] = normal(1, heads, queries, before + keys, seed=4)
    if more == "past":
        feeds["pk"] = normal(batch, heads, before, size, seed=5)
        feeds["pv"] = normal(batch, heads, before, width, seed=6)
    names = [name if name in feeds else "" for name in ("q", "k", "v", "b", "m", "a", "pk", "pv")]
    outputs = ["y", "k2", "v2"] if more == "past" else ["y"]
    attributes = {"num_heads": heads, "unidirectional": int(causal), "scale": 0.4}
    feeds = {name: feeds[name] for name in names if name}
    agrees(node("MultiHeadAttention", names, outputs, **attributes), feeds)


def test_queries_that_see_those_before_them_need_as_many_keys() -> None:
    feeds = {"q": normal(1, 2, 8), "k": normal(1, 3, 8), "v": normal(1, 3, 8)}
    attention = node("MultiHeadAttention", list(feeds), ["y"], num_heads=2, unidirectional=1)
    made = whole(attention, feeds)
    with pytest.raises(UnsupportedNodeError, match="3 keys"):
        import_onnx(made)
    with pytest.raises(tf.errors.InvalidArgumentError, match="number of keys"):
        run(import_onnx(opened(made)), feeds)


def test_attention_over_packed_queries_keys_and_values() -> None:
    packed, pair = normal(2, 5, 2, 3, 4), normal(2, 5, 2, 2, 4)

    def wanted(*heads: Any) -> list[Any]:
        q, k, v = (one.transpose(0, 2, 1, 3) for one in heads)
        scores = np.exp(q @ k.transpose(0, 1, 3, 2) / 2)
        y = scores / scores.sum(-1, keepdims=True) @ v
        return [y.transpose(0, 2, 1, 3).reshape(2, 5, 8)]

    q = packed[:, :, :, 0]
    want = wanted(q, packed[:, :, :, 1], packed[:, :, :, 2])
    agrees(node("MultiHeadAttention", ["q"], ["y"], num_heads=2), {"q": packed}, wanted=want)
    want = wanted(q, pair[:, :, :, 0], pair[:, :, :, 1])
    feeds = {"q": np.ascontiguousarray(q).reshape(2, 5, 8), "k": pair}
    agrees(node("MultiHeadAttention", ["q", "k"], ["y"], num_heads=2), feeds, wanted=want)


PHASES = ["prompt", "one token", "one token in a buffer", "more tokens"]


@given(
    st.sampled_from(PHASES),
    st.booleans(),
    st.booleans(),
    st.sampled_from([{}, {"do_rotary": 1}, {"do_rotary": 1, "rotary_interleaved": 1}]),
    st.sampled_from([{}, {"softcap": 2.0}, {"local_window_size": 2}, {"smooth_softmax": 1}]),
)
@settings(few, max_examples=15)
def test_attention_of_grouped_heads_over_a_cache(
    phase: str, packed: bool, known: bool, turn: dict[str, int], more: dict[str, Any]
) -> None:
    batch, queries, lengths, room = {
        "prompt": (2, 4, [4, 4], 0),
        "one token": (1, 1, [4], 3),
        "one token in a buffer": (2, 1, [4, 2], 6),
        "more tokens": (1, 3, [6], 3),
    }[phase]
    names, feeds, weights = grouped(batch, queries, lengths, room, packed, known)
    attributes: dict[str, Any] = {"num_heads": 4, "kv_num_heads": 2, **turn, **more}
    attention = node("GroupQueryAttention", names, ["y", "k2", "v2"], **attributes)
    agrees(attention, feeds, weights)


def test_grouped_attention_with_a_bias_and_a_sink() -> None:
    names, feeds, weights = grouped(2, 1, [4, 2], 6, False, False)
    names += ["", "a", "h"]
    for one in ("a", "h"):
        array = normal(2, 1, 1, 4, seed=7) if one == "a" else normal(4, seed=8)
        given_too = feeds | {one: array}
        used = [name if name in given_too | weights else "" for name in names]
        attention = node(
            "GroupQueryAttention", used, ["y", "k2", "v2"], num_heads=4, kv_num_heads=2
        )
        agrees(attention, given_too, weights)


@pytest.mark.parametrize("attributes", [{"sliding_window_cache": 1}, {"causal": 0}])
def test_grouped_attention_refuses_what_it_does_not_know(attributes: dict[str, int]) -> None:
    names, feeds, weights = grouped(1, 1, [4], 3, False, True)
    attributes = {"num_heads": 4, "kv_num_heads": 2, **attributes}
    attention = node("GroupQueryAttention", names, ["y", "k2", "v2"], **attributes)
    with pytest.raises(UnsupportedNodeError):
        import_onnx(whole(attention, feeds, weights))


@given(st.booleans(), st.booleans(), st.booleans())
@few
def test_rotary_embeddings(flat: bool, interleaved: bool, one_place: bool) -> None:
    shape = (2, 4, 24) if flat else (2, 3, 4, 8)
    places = np.array([3]) if one_place else np.random.default_rng(0).integers(0, 9, (2, 4))
    feeds = {"x": normal(*shape), "p": places}
    weights = {"c": normal(9, 4, seed=1), "s": normal(9, 4, seed=2)}
    turn = node("RotaryEmbedding", ["x", "p", "c", "s"], ["y"], interleaved=int(interleaved))
    agrees(turn, feeds, weights)


def test_rotary_embeddings_of_a_part_of_each_head() -> None:
    feeds = {"x": normal(2, 4, 24), "p": np.arange(8).reshape(2, 4)}
    weights = {"c": normal(9, 2, seed=1), "s": normal(9, 2, seed=2)}
    attributes = {"num_heads": 3, "rotary_embedding_dim": 4}
    agrees(node("RotaryEmbedding", ["x", "p", "c", "s"], ["y"], **attributes), feeds, weights)


def test_linear_attention_refuses_inputs_that_its_rule_has_not() -> None:
    feeds = {name: normal(1, 2, 4) for name in "qkv"}
    attributes = {"q_num_heads": 1, "kv_num_heads": 1, "update_rule": "gated"}
    attention = node("LinearAttention", list(feeds), ["y", "s"], **attributes)
    with pytest.raises(UnsupportedNodeError, match="gated"):
        import_onnx(whole(attention, feeds))


@pytest.mark.parametrize("either", [0, 1])
@pytest.mark.parametrize("length", [1, 12])
def test_biases_by_distance(either: int, length: int) -> None:
    table = normal(8, 2)
    want = np.zeros((1, 2, length, length), np.float32)
    for query in range(length):
        for key in range(length):
            want[0, :, query, key] = table.reshape(2, 8)[:, bucket(key - query, either)]
    weights = {"t": table, "k": np.array([length])}
    bias = node(
        "RelativePositionBias", ["t", "q", "k"], ["y"], max_distance=20, is_bidirectional=either
    )
    feeds = {"q": np.array([length])}
    agrees(bias, feeds, weights, wanted=[want], open_too=False)
