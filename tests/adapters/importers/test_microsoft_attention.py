"""ONNX Runtime's own attention against ONNX Runtime, or against what its pages say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    close,
    model,
    normal,
    onnxruntime_says,
    opened,
)
from tests.adapters.importers.chosen import (
    ERRORS,
    examples,
    few,
    import_onnx,
    ran,
    run,
)
from tests.adapters.importers.microsoft import agrees, node, whole
from tests.adapters.importers.refusals import refused
from xbench.errors import UnsupportedNodeError


def padding(kind: str, batch: int, queries: int, keys: int) -> Any:
    """Return a mask of one of the kinds that ONNX Runtime takes."""
    rng = np.random.default_rng(1)
    if kind == "ends":
        return np.array([keys, max(keys - 2, 1)], np.int32)
    if kind == "ends and starts":
        return np.array([keys, max(keys - 1, 1), 1 if keys > 1 else 0, 0], np.int32)
    shape = {"keys": (batch, keys), "pairs": (batch, queries, keys), "one": (batch, 1)}[kind]
    mask = rng.integers(0, 2, shape).astype(np.int32)
    mask[..., 0] = 1
    return mask


KINDS = ["", "ends", "ends and starts", "keys", "pairs", "one"]


@given(
    st.sampled_from(KINDS),
    st.booleans(),
    st.sampled_from(["", "past", "bias"]),
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from(["bias", "fed"]),
)
@examples(80)
def test_attention_over_one_projection(
    kind: str, causal: bool, more: str, wide: bool, length: int, weighed: str
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
    attention = node("Attention", names, outputs, **attributes)
    if weighed == "fed":
        feeds, weights = feeds | weights, {}
        feeds = {name: feeds[name] for name in names if name}
    agrees(attention, feeds, weights)


@given(
    st.sampled_from(["", "ends", "keys", "pairs"]),
    st.booleans(),
    st.sampled_from(["", "past", "heads"]),
    st.booleans(),
    st.booleans(),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@examples(80)
def test_attention_over_queries_keys_and_values(
    kind: str, causal: bool, more: str, biased: bool, added: bool, lengths: tuple[int, int]
) -> None:
    batch, heads, size, width = 2, 2, 4, 6
    queries, keys = lengths
    before = 3 if more == "past" else 0
    width = size if more else width
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
    order = ("q", "k", "v", "b", "m", "a", "pk", "pv")
    names = [name if name in feeds else "" for name in order]
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
    with pytest.raises(ERRORS, match="keys"):
        ran(opened(made), feeds)


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


@given(
    st.sampled_from(["linear", "gated", "delta", "gated_delta"]), st.booleans(), st.integers(1, 2)
)
@few
def test_linear_attention(rule: str, wide: bool, group: int) -> None:
    shared, size, width = 2, 4, 3
    feeds = {
        "q": normal(2, 3, shared * group * size),
        "k": normal(2, 3, shared * size, seed=1),
        "v": normal(2, 3, shared * width, seed=2),
        "s": normal(2, shared, size, width, seed=3),
    }
    if rule.startswith("gated"):
        feeds["d"] = -abs(normal(2, 3, shared * (size if wide else 1), seed=4))
    if rule.endswith("delta"):
        feeds["b"] = abs(normal(2, 3, shared if wide else 1, seed=5)) / 4
    names = [name if name in feeds else "" for name in ("q", "k", "v", "s", "d", "b")]
    attributes = {"q_num_heads": shared * group, "kv_num_heads": shared, "update_rule": rule}
    agrees(node("LinearAttention", names, ["y", "state"], **attributes), feeds)


def test_linear_attention_refuses_inputs_that_its_rule_has_not() -> None:
    feeds = {name: normal(1, 2, 4) for name in "qkv"}
    attributes = {"q_num_heads": 1, "kv_num_heads": 1, "update_rule": "gated"}
    attention = node("LinearAttention", list(feeds), ["y", "s"], **attributes)
    with pytest.raises(UnsupportedNodeError, match="gated"):
        import_onnx(whole(attention, feeds))


@given(st.integers(0, 1), st.integers(1, 12), st.booleans())
@few
def test_biases_by_distance(either: int, length: int, known: bool) -> None:
    table = normal(8, 2)
    want = np.zeros((1, 2, length, length), np.float32)
    for query in range(length):
        for key in range(length):
            want[0, :, query, key] = table.reshape(2, 8)[:, bucket(key - query, either)]
    feeds, weights = {"t": table}, {"q": np.array([length]), "k": np.array([length])}
    if known:
        feeds, weights = {"q": weights.pop("q")}, feeds | weights
    bias = node(
        "RelativePositionBias", ["t", "q", "k"], ["y"], max_distance=20, is_bidirectional=either
    )
    with refused("biases by distance from a table that is fed", when=not known):
        agrees(bias, feeds, weights, wanted=[want], open_too=not known)


def bucket(gap: int, either: int) -> int:
    """Return the bucket of a distance, of 8 buckets and distances up to 20."""
    count, base = (4, 4 if gap > 0 else 0) if either else (8, 0)
    far = abs(gap) if either else max(-gap, 0)
    near = count // 2
    if far < near:
        return base + far
    ratio = np.log(np.float32(far / near)) / np.log(np.float32(20 / near))
    return base + min(near + int(ratio * (count - near)), count - 1)


def test_biases_that_queries_gate() -> None:
    feeds = {"q": normal(2, 3, 8), "r": normal(1, 2, 3, 3, seed=1)}
    weights = {"b": normal(8, seed=2), "w": normal(4, 6), "c": normal(6), "e": normal(1, 2, 1, 1)}
    heads = (feeds["q"] + weights["b"]).reshape(2, 3, 2, 4).transpose(0, 2, 1, 3)
    gates = 1 / (1 + np.exp(-(heads @ weights["w"] + weights["c"]).reshape(2, 2, 3, 2, 3).sum(-1)))
    want = (gates[..., :1] * (gates[..., 1:] * weights["e"] - 1) + 2) * feeds["r"]
    names = ["q", "b", "r", "w", "c", "e"]
    bias = node("GatedRelativePositionBias", names, ["y"], num_heads=2)
    agrees(bias, feeds, weights, wanted=[want])


def test_types_of_these_operators_are_known_to_those_after_them() -> None:
    """A node that needs its input's shape takes one that such an operator gives."""
    attention = node("Attention", ["x", "w"], ["y"], num_heads=2)
    after = helper.make_node("Softmax", ["y"], ["z"], axis=2)
    made = model([attention, after], {"x": normal(2, 5, 8)}, ["z"], {"w": normal(8, 24)})
    feeds = {"x": normal(2, 5, 8)}
    close(run(import_onnx(made), feeds), onnxruntime_says(made, feeds))
