"""ONNX's own attention and rotary embeddings in TensorFlow against ONNX's reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

from tests.adapters.pytorch.graphs import Arrays, model, normal, opened
from tests.adapters.pytorch.test_attention import attentions
from tests.adapters.tensorflow.graphs import run
from xbench_adapters.tensorflow import import_onnx
from xbench_adapters.tensorflow.lower import attend

few = settings(max_examples=12, deadline=None, derandomize=True)
node = helper.make_node


def agrees(whole: onnx.ModelProto, feeds: Arrays, *, open_too: bool = True) -> Any:
    """Return the imported module, after it gave what the reference gives, its lengths open too."""
    wanted = ReferenceEvaluator(whole).run(None, dict(feeds))
    module = import_onnx(whole)
    for one in (module, *([import_onnx(opened(whole))] if open_too else [])):
        for have, want in zip(run(one, feeds), wanted, strict=True):
            assert (have.dtype, have.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)
    return module


@given(attentions(), st.booleans(), st.booleans())
@settings(few, max_examples=30)
def test_attention_of_every_kind(
    drawn: tuple[dict[str, Any], Arrays, list[str]], shown: bool, open_too: bool
) -> None:
    attributes, feeds, names = drawn
    # ONNX's reference shows bent scores for raw ones, unlike its schema and its function.
    assume(not (shown and "softcap" in attributes) or attributes["qk_matmul_output_mode"])
    assume("n" not in feeds or attributes["is_causal"] or feeds["n"].min() > 0)
    outputs = ["y"] if "n" in feeds else ["y", "k2", "v2"]
    if shown:
        outputs = [*outputs, *[""] * (3 - len(outputs)), "s"]
    attention = node("Attention", names, outputs, **attributes)
    wanted = [one for one in outputs if one]
    agrees(model([attention], feeds, wanted, opset=24), feeds, open_too=open_too)


@given(st.integers(-1, 3), st.integers(-1, 3), st.booleans(), st.booleans())
@few
def test_windows_of_attention(before: int, after: int, causal: bool, masked: bool) -> None:
    feeds: dict[str, Any] = {
        "q": normal(2, 2, 5, 4),
        "k": normal(2, 2, 6, 4, seed=1),
        "v": normal(2, 2, 6, 3),
    }
    if masked:
        feeds["m"] = normal(2, 2, 5, 6, seed=5) > -0.5
    attention = node(
        "Attention", list(feeds), ["y"], is_causal=int(causal),
        left_window_size=before, right_window_size=after,
    )  # fmt: skip
    agrees(model([attention], feeds, ["y"], opset=25), feeds, open_too=False)


def test_a_query_that_sees_nothing_gives_zeros() -> None:
    feeds = {"q": normal(1, 1, 2, 4), "k": normal(1, 1, 3, 4), "v": normal(1, 1, 3, 4)}
    mask = np.array([[False, False, False], [True, False, True]])
    for one in (mask, np.where(mask, 0, -np.inf).astype(np.float32)):
        attention = node("Attention", ["q", "k", "v", "m"], ["y"])
        for weights, more in (({}, {"m": one}), ({"m": one}, {})):
            whole = model([attention], feeds | more, ["y"], weights, opset=23)
            (y,) = run(import_onnx(whole), feeds | more)
            assert (y[0, 0, 0] == 0).all()
            assert (y[0, 0, 1] != 0).all()


def test_halves_are_summed_in_more_digits() -> None:
    feeds = {name: normal(1, 2, 40, 16, seed=place) for place, name in enumerate("qkv")}
    halves = {name: one.astype(np.float16) for name, one in feeds.items()}
    attention = node("Attention", list(feeds), ["y"], is_causal=1)
    (found,) = run(import_onnx(model([attention], halves, ["y"], opset=23)), halves)
    wide = {name: one.astype(np.float32) for name, one in halves.items()}
    (wanted,) = run(import_onnx(model([attention], wide, ["y"], opset=23)), wide)
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)


def spelled_out(rank: int, mask: bool, scale: float) -> tuple[onnx.ModelProto, Arrays]:
    """Return attention as exporters spell it out, which is fused to one operator."""
    shape = (2, 3, 5, 4)[-rank:]
    feeds = {name: normal(*shape, seed=place) for place, name in enumerate("qkv")}
    turn = [*range(rank - 2), rank - 1, rank - 2]
    nodes = [
        node("Transpose", ["k"], ["t"], perm=turn),
        node("MatMul", ["q", "t"], ["p"]),
        node("Mul", ["p", "f"], ["s"]),
        *([node("Add", ["s", "m"], ["a"])] if mask else []),
        node("Softmax", ["a" if mask else "s"], ["w"], axis=-1),
        node("MatMul", ["w", "v"], ["y"]),
    ]
    weights: dict[str, Any] = {"f": np.float32(scale)}
    weights |= {"m": np.triu(np.full((5, 5), -np.inf, np.float32), 1)} if mask else {}
    return model(nodes, feeds, ["y"], weights, opset=20), feeds


def test_attention_that_is_spelled_out() -> None:
    for rank, mask in ((3, False), (4, False), (4, True)):
        whole, feeds = spelled_out(rank, mask, 0.3)
        module = agrees(whole, feeds, open_too=False)
        assert [one.operator for one in module.graph.nodes] == ["ScaledDotProductAttention"]


def test_long_causal_masks_are_not_held() -> None:
    short = attend.causal_bias(4, 6, tf.float32)
    np.testing.assert_array_equal(short == 0, np.tri(4, 6, dtype=bool))
    assert attend.causal_bias(1200, 1200, tf.float16).dtype == tf.float16


@given(st.booleans(), st.booleans(), st.booleans(), st.booleans())
@few
def test_rotary_embeddings(flat: bool, placed: bool, interleaved: bool, partly: bool) -> None:
    batch, heads, length, size = 2, 3, 4, 8
    width = 4 if partly else size
    shape = (batch, length, heads * size) if flat else (batch, heads, length, size)
    table = (9, width // 2) if placed else (batch, length, width // 2)
    feeds = {"x": normal(*shape), "c": normal(*table, seed=1), "s": normal(*table, seed=2)}
    if placed:
        feeds["p"] = np.random.default_rng(0).integers(0, 9, (batch, length))
    attributes: dict[str, Any] = {
        "interleaved": int(interleaved),
        "rotary_embedding_dim": width if partly else 0,
    }
    attributes |= {"num_heads": heads} if flat else {}
    turn = node("RotaryEmbedding", list(feeds), ["y"], **attributes)
    agrees(model([turn], feeds, ["y"], opset=23), feeds)


@given(
    st.sampled_from(["linear", "gated", "delta", "gated_delta"]),
    st.booleans(),
    st.booleans(),
    st.integers(1, 2),
    st.sampled_from([3, 20]),
)
@few
def test_linear_attention(rule: str, started: bool, wide: bool, group: int, length: int) -> None:
    """A few tokens are written out one by one, more of them go through a loop."""
    batch, shared, size, width = 2, 2, 4, 3
    feeds: dict[str, Any] = {
        "q": normal(batch, length, shared * group * size),
        "k": normal(batch, length, shared * size, seed=1) / 2,
        "v": normal(batch, length, shared * width, seed=2),
    }
    if started:
        feeds["s"] = normal(batch, shared, size, width, seed=3)
    if rule.startswith("gated"):
        feeds["d"] = -abs(normal(batch, length, shared * (size if wide else 1), seed=4))
    if rule.endswith("delta"):
        feeds["b"] = abs(normal(batch, length, shared if wide else 1, seed=5)) / 4
    names = [name if name in feeds else "" for name in ("q", "k", "v", "s", "d", "b")]
    attributes: dict[str, Any] = {
        "q_num_heads": shared * group,
        "kv_num_heads": shared,
        "update_rule": rule,
    }
    attention = node("LinearAttention", names, ["y", "state"], **attributes)
    feeds = {name: feeds[name] for name in names if name}
    agrees(model([attention], feeds, ["y", "state"], opset=27), feeds)
