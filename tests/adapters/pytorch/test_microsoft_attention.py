"""ONNX Runtime's own attention against ONNX Runtime, or against what its pages say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.pytorch.graphs import close, few, model, normal, onnxruntime_says, opened, run
from tests.adapters.pytorch.microsoft import agrees, node, whole
from tests.adapters.pytorch.test_attention import functions
from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch import import_onnx


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
@settings(few, max_examples=80)
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


def test_a_projection_that_is_known_is_one_native_layer() -> None:
    weights = {"w": normal(8, 24), "b": normal(24)}
    attention = node("Attention", ["x", "w", "b"], ["y"], num_heads=2)
    module = agrees(attention, {"x": normal(2, 5, 8)}, weights)
    assert any(isinstance(one, torch.nn.Linear) for one in module.modules())
    assert "scaled_dot_product_attention" in functions(module)


@given(
    st.sampled_from(["", "ends", "keys", "pairs"]),
    st.booleans(),
    st.sampled_from(["", "past", "heads"]),
    st.booleans(),
    st.booleans(),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(few, max_examples=80)
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
    with pytest.raises(ValueError, match="3 keys"):
        run(import_onnx(opened(made)), feeds)


def test_attention_over_packed_queries_keys_and_values() -> None:
    packed, pair = normal(2, 5, 2, 3, 4), normal(2, 5, 2, 2, 4)
    q, k, v = (torch.from_numpy(packed[:, :, :, place]).transpose(1, 2) for place in range(3))
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    want = [y.transpose(1, 2).reshape(2, 5, 8).numpy()]
    agrees(node("MultiHeadAttention", ["q"], ["y"], num_heads=2), {"q": packed}, wanted=want)
    k, v = (torch.from_numpy(pair[:, :, :, place]).transpose(1, 2) for place in range(2))
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    want = [y.transpose(1, 2).reshape(2, 5, 8).numpy()]
    feeds = {"q": np.ascontiguousarray(packed[:, :, :, 0]).reshape(2, 5, 8), "k": pair}
    agrees(node("MultiHeadAttention", ["q", "k"], ["y"], num_heads=2), feeds, wanted=want)


def grouped(
    batch: int, queries: int, lengths: list[int], room: int, packed: bool, known: bool
) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Return the names, feeds and weights of attention over a cache of ``room`` tokens."""
    heads, shared, size = 4, 2, 16
    feeds: dict[str, Any] = {}
    if packed:
        feeds["q"] = normal(batch, queries, (heads + 2 * shared) * size)
    else:
        feeds["q"] = normal(batch, queries, heads * size)
        feeds["k"] = normal(batch, queries, shared * size, seed=1)
        feeds["v"] = normal(batch, queries, shared * size, seed=2)
    if room:
        feeds["pk"] = normal(batch, shared, room, size, seed=3)
        feeds["pv"] = normal(batch, shared, room, size, seed=4)
    numbers = {"n": np.array(lengths, np.int32) - 1, "t": np.array([max(lengths)], np.int32)}
    weights = {"c": normal(16, 8, seed=5), "s": normal(16, 8, seed=6)}
    if known:
        weights["t"] = numbers.pop("t")
    feeds |= numbers
    order = ("q", "k", "v", "pk", "pv", "n", "t", "c", "s")
    return [name if name in feeds | weights else "" for name in order], feeds, weights


@given(
    st.sampled_from(["prompt", "one token", "one token in a buffer", "more tokens"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([{}, {"do_rotary": 1}, {"do_rotary": 1, "rotary_interleaved": 1}]),
    st.sampled_from([{}, {"softcap": 2.0}, {"local_window_size": 2}, {"smooth_softmax": 1}]),
)
@settings(few, max_examples=80)
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
        feeds[one] = array
        used = [name if name in feeds | weights else "" for name in names]
        attention = node(
            "GroupQueryAttention", used, ["y", "k2", "v2"], num_heads=4, kv_num_heads=2
        )
        agrees(attention, feeds, weights)


def test_grouped_attention_normalises_heads_where_asked() -> None:
    names, feeds, weights = grouped(1, 3, [3], 0, False, True)
    weights |= {"qn": normal(16, seed=8), "kn": normal(16, seed=9)}
    attributes: dict[str, Any] = {"num_heads": 4, "kv_num_heads": 2}

    def normed(x: Any, weight: Any) -> Any:
        heads = x.reshape(1, 3, -1, 16)
        root = np.sqrt((heads**2).mean(-1, keepdims=True) + 1e-6)
        return (heads / root * weight).reshape(x.shape).astype(np.float32)

    plain = node("GroupQueryAttention", names, ["y", "k2", "v2"], **attributes)
    turned = feeds | {
        "q": normed(feeds["q"], weights["qn"]),
        "k": normed(feeds["k"], weights["kn"]),
    }
    wanted = onnxruntime_says(whole(plain, turned, weights), turned)
    names = [*names, *[""] * 5, "qn", "kn"]
    attention = node("GroupQueryAttention", names, ["y", "k2", "v2"], **attributes)
    agrees(attention, feeds, weights, wanted=wanted)


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


@given(st.integers(0, 1), st.integers(1, 12))
@few
def test_biases_by_distance(either: int, length: int) -> None:
    table = normal(8, 2)
    want = np.zeros((1, 2, length, length), np.float32)
    for query in range(length):
        for key in range(length):
            want[0, :, query, key] = table.reshape(2, 8)[:, bucket(key - query, either)]
    feeds = {"t": table}
    weights = {"q": np.array([length]), "k": np.array([length])}
    bias = node(
        "RelativePositionBias", ["t", "q", "k"], ["y"], max_distance=20, is_bidirectional=either
    )
    agrees(bias, feeds, weights, wanted=[want])


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
