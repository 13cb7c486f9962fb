"""Sequences and optionals against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.graphs import normal, onnxruntime_says
from tests.adapters.importers.chosen import ERRORS, few, ran, run
from tests.adapters.importers.refusals import refused
from tests.adapters.importers.test_flow import check, parsed, same


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
    assert run(module, {"s": [], "t": [], "x": normal(1)}) == [[], []]


def test_an_empty_sequence_is_mapped_to_empty_ones() -> None:
    text = """
    g (seq(float[k]) s) => (seq(float[m]) y) {
        y = SequenceMap <body = b (float[k] a) => (float[m] o) { o = Neg(a) }> (s)
    }
    """
    assert ran(parsed(text), {"s": []}) == [[]]


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
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
    if type_name == "uint64":
        x[0] = 2**64 - 1
    found = ran(parsed(text), {"x": x, "y": y})
    same(found[0], [x, y])
    same(found[1], np.stack([x, y]))


SPLITS: dict[str, Any] = {
    "": None,
    "two": np.array(2),
    "four": np.array(4),
    "many": np.array([1, 0, 4]),
}


def splitting(split: str, axis: int, keeps: int, *, known: bool) -> onnx.ModelProto:
    """Return a model that splits, by a constant or by an input."""
    value = SPLITS[split]
    kind = "int64" if value is None or value.ndim == 0 else "int64[3]"
    weight = "" if value is None else ", ".join(map(str, value.reshape(-1).tolist()))
    inside = f"<{kind} n = {{{weight}}}>" if split and known else ""
    text = f"""
    g (float[5, 5] x{f", {kind} n" if split and not known else ""}) => (seq(float[k]) y) {inside} {{
        y = SplitToSequence <axis = {axis}, keepdims = {keeps}> (x{", n" if split else ""})
    }}
    """
    model = parsed(text)
    model.graph.output[0].type.sequence_type.elem_type.tensor_type.ClearField("shape")
    return model


@given(st.sampled_from(sorted(SPLITS)), st.integers(-2, 1), st.integers(0, 1), st.booleans())
@few
def test_splits_into_sequences(split: str, axis: int, keeps: int, known: bool) -> None:
    """Without lengths, slices may lose their axis; with them, ``keepdims`` says nothing."""
    feeds = {"x": normal(5, 5)} | ({"n": SPLITS[split]} if split and not known else {})
    model = splitting(split, axis, keeps, known=known)
    wanted = onnxruntime_says(splitting(split, axis, int(bool(keeps or split)), known=known), feeds)
    counted = SPLITS[split] is not None and SPLITS[split].ndim == 0
    with refused(
        "splits into a number of parts that only the run tells", when=counted and not known
    ):
        same(ran(model, feeds), wanted)


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


@pytest.mark.parametrize("opset", [15, 18])
@pytest.mark.parametrize("empty", [True, False])
def test_optionals(opset: int, empty: bool) -> None:
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
    x, y = None if empty else normal(2), normal(2, seed=1)
    z, has = ran(parsed(text, opset), {"x": x, "y": y})
    same(z, -y if x is None else x + y)
    assert bool(has) is not empty


def test_an_absent_input_has_no_element_and_a_tensor_is_one() -> None:
    text = """
    g (float[2] x) => (bool a, bool b, bool c) {
        a = OptionalHasElement("")
        b = OptionalHasElement(x)
        p = Optional(x)
        c = OptionalHasElement(p)
    }
    """
    found = ran(parsed(text), {"x": normal(2)})
    assert [bool(one) for one in found] == [False, True, True]


def test_the_element_of_an_empty_optional_is_an_error() -> None:
    text = "g (optional(float[2]) x) => (float[2] y) { y = OptionalGetElement(x) }"
    with pytest.raises(ERRORS, match="empty"):
        ran(parsed(text), {"x": None})


def test_a_place_beyond_a_sequence_is_an_error() -> None:
    text = "g (seq(float[2]) s, int64 i) => (float[2] y) { y = SequenceAt(s, i) }"
    with pytest.raises(ERRORS, match="out of range"):
        ran(parsed(text), {"s": [normal(2), normal(2)], "i": np.array(2)})


def test_an_empty_optional_is_given_back_as_none() -> None:
    text = "g (optional(float[2]) x) => (optional(float[2]) y) { y = Identity(x) }"
    assert ran(parsed(text), {"x": None}) == [None]
    assert ran(parsed(text), {"x": normal(2)})[0].shape == (2,)


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


def test_loops_carry_sequences_where_their_number_of_turns_is_known() -> None:
    text = """
    g (float[5] x) => (seq(float[k]) s) <int64 n = {3}> {
        start = SequenceConstruct(x)
        s = Loop(n, "", start) <body = b (int64 i, bool c, seq(float) p) =>
            (bool again, seq(float) q) {
                again = Identity(c)
                q = SequenceInsert(p, x)
            }
        >
    }
    """
    check(parsed(text), {"x": normal(5)})
