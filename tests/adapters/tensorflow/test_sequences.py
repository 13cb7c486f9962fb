"""Sequences and optionals in TensorFlow against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adapters.pytorch.graphs import normal
from tests.adapters.tensorflow.suite import to_tensorflow
from tests.adapters.tensorflow.test_flow import check, parsed, same
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

few = settings(max_examples=10, deadline=None, derandomize=True)


def test_maps_over_sequences() -> None:
    """A sequence, another that goes along, a tensor that stays, and a captured weight."""
    text = """
    g (seq(float[k]) s, seq(float[l]) t, float[1] x) => (seq(float[m]) y, seq(int64[1]) z)
    <float[1] w = {3}> {
        y, z = SequenceMap <body = b (float[k] a, float[l] c, float[1] d) =>
            (float[m] o, int64[1] p) {
                e = Mul(a, w)
                f = Add(c, d)
                o = Concat <axis = 0> (e, f)
                p = Shape(o)
            }
        > (s, t, x)
    }
    """
    feeds = {"s": [normal(2), normal(3)], "t": [normal(1), normal(4)], "x": normal(1)}
    module = check(parsed(text), feeds)
    assert module([], [], tf.zeros(1)) == ([], [])


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.data())
@few
def test_sequences(lengths: list[int], data: st.DataObject) -> None:
    """Elements put in, taken out and looked at, by places that count from either end."""
    count = len(lengths)
    text = """
    g (seq(float[k]) s, float[2] x, int64 i, int64 j, int64 k) =>
      (seq(float[l]) b, seq(float[m]) d, float[n] e, int64 f) {
        a = SequenceInsert(s, x)
        b = SequenceInsert(a, x, i)
        c = SequenceErase(b, j)
        d = SequenceErase(c)
        e = SequenceAt(b, k)
        f = SequenceLength(b)
    }
    """
    feeds = {
        "s": [normal(length) for length in lengths],
        "x": normal(2, seed=1),
        "i": np.array(data.draw(st.integers(-count - 1, count + 1))),
        "j": np.array(data.draw(st.integers(-count - 2, count + 1))),
        "k": np.array(data.draw(st.integers(-count - 2, count + 1))),
    }
    check(parsed(text), feeds)


def test_a_place_beyond_a_sequence_is_an_error() -> None:
    text = "g (seq(float[2]) s, int64 i) => (float[2] y) { y = SequenceAt(s, i) }"
    module = import_onnx(parsed(text))
    with pytest.raises(tf.errors.InvalidArgumentError, match="out of range"):
        module([tf.zeros(2), tf.zeros(2)], tf.constant(2, tf.int64))


SPLITS: dict[str, Any] = {"": None, "two": np.array(2), "many": np.array([1, 0, 4])}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("axis", "keeps"), [(0, 1), (-1, 0), (1, 1)])
def test_splits_into_sequences(split: str, axis: int, keeps: int) -> None:
    value = SPLITS[split]
    kind = "int64" if value is None or value.ndim == 0 else "int64[3]"
    numbers = "" if value is None else ", ".join(map(str, value.reshape(-1).tolist()))
    keeps = 1 if split else keeps  # with lengths, ``keepdims`` says nothing
    for known in (True, False) if split == "many" else (True,):
        held = f"<{kind} n = {{{numbers}}}>" if split and known else ""
        text = f"""
        g (float[5, 5] x{"" if known else f", {kind} n"}) => (seq(float[k]) y) {held} {{
            y = SplitToSequence <axis = {axis}, keepdims = {keeps}> (x{", n" if split else ""})
        }}
        """
        model = parsed(text)
        model.graph.output[0].type.sequence_type.elem_type.tensor_type.ClearField("shape")
        check(model, {"x": normal(5, 5)} | ({} if known else {"n": value}))


@pytest.mark.parametrize("new_axis", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sequences_are_concatenated(new_axis: int, axis: int) -> None:
    text = f"""
    g (seq(float[2, 2]) s) => (float y) {{
        y = ConcatFromSequence <axis = {axis}, new_axis = {new_axis}> (s)
    }}
    """
    model = parsed(text)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    check(model, {"s": [normal(2, 2), normal(2, 2, seed=1)]})


@pytest.mark.parametrize("type_name", ["uint16", "uint64", "int8", "bool", "double"])
def test_sequences_of_any_type(type_name: str) -> None:
    text = f"""
    g ({type_name}[2] x, {type_name}[2] y) => (seq({type_name}[2]) s, {type_name}[2, 2] z) {{
        s = SequenceConstruct(x, y)
        z = ConcatFromSequence <axis = 0, new_axis = 1> (s)
    }}
    """
    dtype = {"double": np.float64}.get(type_name, np.dtype(type_name))
    x, y = np.array([0, 1]).astype(dtype), np.array([1, 1]).astype(dtype)
    found = import_onnx(parsed(text))(tf.constant(x), tf.constant(y))
    same(found, [[x, y], np.stack([x, y])], parsed(text))


@pytest.mark.parametrize("opset", [15, 18])
def test_optionals(opset: int) -> None:
    """Whether there is an element decides what is computed, and the element is handed on."""
    text = """
    g (optional(float[2]) x, float[2] y) => (float[2] z, bool h) {
        h = OptionalHasElement(x)
        z = If(h) <
            then_branch = t () => (float[2] a) { b = OptionalGetElement(x) a = Add(b, y) },
            else_branch = e () => (float[2] a) { a = Neg(y) }
        >
    }
    """
    y, module = normal(2, seed=1), import_onnx(parsed(text, opset))
    for x in (None, normal(2)):
        z, has = module(to_tensorflow(x), tf.constant(y))
        np.testing.assert_allclose(z, -y if x is None else x + y, rtol=1e-6)
        assert bool(has) is (x is not None)


def test_an_empty_optional_is_given_back_as_none() -> None:
    text = "g (optional(float[2]) x) => (optional(float[2]) y) { y = Identity(x) }"
    module = import_onnx(parsed(text))
    assert module(None) == (None,)
    assert module(tf.zeros(2))[0].shape == (2,)


def test_the_element_of_an_empty_optional_is_refused() -> None:
    text = "g (optional(float[2]) x) => (float[2] y) { y = OptionalGetElement(x) }"
    module = import_onnx(parsed(text))
    with pytest.raises(UnsupportedNodeError, match="empty"):
        module(None)


def test_the_length_of_a_sequence_may_be_the_number_of_turns() -> None:
    """It is how ONNX itself spells a map over a sequence as a loop."""
    text = """
    g (seq(float[k]) s) => (seq(float[k]) y) <bool go = {1}> {
        count = SequenceLength(s)
        empty = SequenceEmpty()
        y = Loop(count, go, empty) <body = b (int64 i, bool c, seq(float) p) =>
            (bool again, seq(float) q) {
                again = Identity(c)
                one = SequenceAt(s, i)
                new = Neg(one)
                q = SequenceInsert(p, new)
            }
        >
    }
    """
    check(parsed(text), {"s": [normal(2), normal(3, seed=1)]})


@pytest.mark.parametrize("known", [True, False])
def test_loops_carry_sequences_where_their_number_of_turns_is_known(known: bool) -> None:
    given, held = ("", "<int64 n = {3}>") if known else ("int64 n, ", "")
    text = f"""
    g ({given}float[5] x) => (seq(float[k]) s) {held} {{
        start = SequenceConstruct(x)
        s = Loop(n, "", start) <body = b (int64 i, bool c, seq(float) p) =>
            (bool again, seq(float) q) {{
                again = Identity(c)
                q = SequenceInsert(p, x)
            }}
        >
    }}
    """
    if known:
        check(parsed(text), {"x": normal(5)})
    else:
        with pytest.raises(UnsupportedNodeError, match="only the run tells"):
            import_onnx(parsed(text))
