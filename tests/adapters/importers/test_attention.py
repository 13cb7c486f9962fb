"""ONNX's own attention and rotary embeddings against its reference implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    Arrays,
    close,
    model,
    normal,
    opened,
    reference_says,
)
from tests.adapters.importers.chosen import (
    examples,
    few,
    import_onnx,
    ran,
    run,
)

node = helper.make_node


def agrees(whole: onnx.ModelProto, feeds: Arrays) -> Any:
    """Return the model imported with all lengths known; with open ones it did the same."""
    wanted = reference_says(whole, feeds)
    module = import_onnx(whole)
    close(run(module, feeds), wanted)
    close(ran(opened(whole), feeds), wanted)
    return module


masks = st.sampled_from(["", "bool", "float", "bool 2", "float 2", "bool short", "float 3"])


@st.composite
def attentions(draw: st.DrawFn) -> tuple[dict[str, Any], Arrays, list[str]]:
    """Return attributes, inputs and their names of an attention of any kind."""
    shared, group, size, width = (draw(st.integers(1, 3)) for _ in range(4))
    batch, queries, keys, before = 2, draw(st.integers(1, 4)), draw(st.integers(1, 5)), 0
    attributes: dict[str, Any] = {"is_causal": draw(st.integers(0, 1))}
    flat = draw(st.booleans())
    if flat:
        attributes |= {"q_num_heads": shared * group, "kv_num_heads": shared}

    def heads(count: int, length: int, each: int, seed: int) -> np.ndarray[Any, Any]:
        x = normal(batch, count, length, each, seed=seed)
        return x.transpose(0, 2, 1, 3).reshape(batch, length, -1) if flat else x

    feeds: dict[str, Any] = {
        "q": heads(shared * group, queries, size, 0),
        "k": heads(shared, keys, size, 1),
        "v": heads(shared, keys, width, 2),
    }
    kind = draw(st.sampled_from(["none", "past", "lengths"]))
    if kind == "past":
        before = draw(st.integers(0, 3))
        feeds["pk"] = normal(batch, shared, before, size, seed=3)
        feeds["pv"] = normal(batch, shared, before, width, seed=4)
    if kind == "lengths":
        feeds["n"] = np.array([keys, draw(st.integers(0, keys))])
    names = {"mask": draw(masks)}
    if names["mask"]:
        feeds["m"] = _mask(names["mask"], (batch, shared * group, queries, before + keys))
    if draw(st.booleans()):
        attributes["scale"] = draw(st.sampled_from([0.3, 1.0]))
    if draw(st.booleans()):
        attributes["softcap"] = draw(st.sampled_from([0.5, 2.0]))
    attributes["qk_matmul_output_mode"] = draw(st.integers(0, 3))
    order = [name if name in feeds else "" for name in ("q", "k", "v", "m", "pk", "pv", "n")]
    return attributes, {name: feeds[name] for name in order if name}, order


def _mask(kind: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    if kind.endswith("2"):
        shape = shape[2:]
    if kind.endswith("3"):
        shape = shape[1:]
    if kind.endswith("short"):
        shape = (*shape[:3], max(shape[3] - 1, 1))
    numbers = normal(*shape, seed=5)
    return numbers > -0.5 if kind.startswith("bool") else numbers


@given(attentions(), st.booleans())
@examples(120)
def test_attention_of_every_kind(
    drawn: tuple[dict[str, Any], Arrays, list[str]], shown: bool
) -> None:
    attributes, feeds, names = drawn
    # ONNX's reference shows bent scores for raw ones, unlike its schema and its function.
    assume(not (shown and "softcap" in attributes) or attributes["qk_matmul_output_mode"])
    assume("n" not in feeds or attributes["is_causal"] or feeds["n"].min() > 0)
    outputs = ["y"]
    if "n" not in feeds:
        outputs += ["k2", "v2"]
    if shown:
        outputs = [*outputs, *[""] * (3 - len(outputs)), "s"]
    attention = node("Attention", names, outputs, **attributes)
    wanted = [one for one in outputs if one]
    agrees(model([attention], feeds, wanted, opset=24), feeds)


@given(st.integers(-1, 3), st.integers(-1, 3), st.booleans(), st.sampled_from(["", "bool"]))
@few
def test_windows_of_attention(before: int, after: int, causal: bool, mask: str) -> None:
    feeds = {"q": normal(2, 2, 5, 4), "k": normal(2, 2, 6, 4, seed=1), "v": normal(2, 2, 6, 3)}
    if mask:
        feeds["m"] = _mask(mask, (2, 2, 5, 6))
    attention = node(
        "Attention", list(feeds), ["y"], is_causal=int(causal),
        left_window_size=before, right_window_size=after,
    )  # fmt: skip
    agrees(model([attention], feeds, ["y"], opset=25), feeds)


def test_raw_scores_are_shown_raw() -> None:
    feeds = {name: normal(1, 1, 2, 4, seed=seed) for seed, name in enumerate("qkv")}
    attention = node("Attention", list(feeds), ["y", "", "", "s"], softcap=0.5)
    (_, scores) = run(import_onnx(model([attention], feeds, ["y", "s"], opset=23)), feeds)
    np.testing.assert_allclose(scores, feeds["q"] @ feeds["k"].swapaxes(2, 3) / 2, rtol=1e-5)


def test_one_query_after_a_past_needs_no_mask() -> None:
    feeds = {"q": normal(1, 2, 1, 4), "k": normal(1, 2, 1, 4), "v": normal(1, 2, 1, 4)}
    feeds |= {"pk": normal(1, 2, 3, 4, seed=1), "pv": normal(1, 2, 3, 4, seed=2)}
    names = ["q", "k", "v", "", "pk", "pv"]
    attention = node("Attention", names, ["y", "a", "b"], is_causal=1)
    agrees(model([attention], feeds, ["y", "a", "b"], opset=23), feeds)


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


def test_halves_are_summed_in_more_digits() -> None:
    feeds = {name: normal(1, 2, 40, 16, seed=place) for place, name in enumerate("qkv")}
    halves = {name: one.astype(np.float16) for name, one in feeds.items()}
    attention = node("Attention", list(feeds), ["y"], is_causal=1)
    (found,) = run(import_onnx(model([attention], halves, ["y"], opset=23)), halves)
    wide = {name: one.astype(np.float32) for name, one in halves.items()}
    (wanted,) = run(import_onnx(model([attention], wide, ["y"], opset=23)), wide)
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)
