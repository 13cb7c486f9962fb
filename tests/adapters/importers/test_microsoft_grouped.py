"""ONNX Runtime's own attention of grouped heads against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.graphs import (
    normal,
    onnxruntime_says,
)
from tests.adapters.importers.chosen import (
    examples,
    import_onnx,
)
from tests.adapters.importers.microsoft import agrees, node, whole
from xbench.errors import UnsupportedNodeError


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
@examples(80)
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
