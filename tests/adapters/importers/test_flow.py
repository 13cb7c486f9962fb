"""Branches, loops, sequences and optionals against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.graphs import normal, onnxruntime_says
from tests.adapters.importers.chosen import few, import_onnx, ran, run
from tests.adapters.importers.refusals import refused
from xbench.errors import UnsupportedNodeError


def parsed(body: str, opset: int = 20) -> onnx.ModelProto:
    """Return a model written in ONNX's own textual form."""
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]> {body}')


def same(have: Any, want: Any) -> None:
    """Check that a result is of the type, shape and values wanted."""
    if isinstance(want, list):
        assert isinstance(have, list)
        assert len(have) == len(want)
        for one, other in zip(have, want, strict=True):
            same(one, other)
        return
    found, wanted = np.asarray(have), np.asarray(want)
    assert found.shape == wanted.shape
    if wanted.dtype == object:
        assert found.tolist() == wanted.tolist()
        return
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def check(model: onnx.ModelProto, feeds: dict[str, Any]) -> Any:
    """Return the imported module, after ONNX Runtime gave the same outputs."""
    wanted = onnxruntime_says(model, feeds)
    module = import_onnx(model)
    same(run(module, feeds), wanted)
    return module


CAPTURING = """
g (bool c, float[2, 3] x) => (float[2, 3] y)
<float[3] w = {1, 2, 3}, float[3] v = {4, 5, 6}, int64[1] axes = {0}>
{
    r = Relu(x)
    alias = Identity(r)
    folded = Add(w, v)
    y = If(c) <
        then_branch = t () => (float[2, 3] a) { b = Mul(alias, w) a = Add(b, folded) },
        else_branch = e () => (float[2, 3] a) { b = Sub(x, folded) a = Mul(b, r) }
    >
}
"""


@pytest.mark.parametrize("condition", [True, False])
def test_branches_use_weights_and_values_from_around_them(condition: bool) -> None:
    feeds = {"c": np.array(condition), "x": normal(2, 3)}
    check(parsed(CAPTURING), feeds)


HANDED_ON = """
g (bool c, float[3] x) => (float[3] y, float[3] z) <float[3] w = {1, 2, 3}> {
    y, z = If(c) <
        then_branch = t () => (float[3] a, float[3] b) { a = Identity(x) b = Identity(w) },
        else_branch = e () => (float[3] a, float[3] b) { a = Identity(w) b = Identity(x) }
    >
}
"""


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_may_hand_on_a_value_or_a_weight(condition: bool) -> None:
    check(parsed(HANDED_ON), {"c": np.array(condition), "x": normal(3)})


@pytest.mark.parametrize("condition", [True, False])
def test_branches_of_different_shapes(condition: bool) -> None:
    text = """
    g (bool c, float[2, 3] x) => (float[n] y) <int64[1] all = {-1}, int64[1] axis = {0}> {
        p = If(c) <
            then_branch = t () => (float[a] a) { a = Reshape(x, all) },
            else_branch = e () => (float[b] b) { b = ReduceSum <keepdims = 0> (x, axis) }
        >
        s = Shape(p)
        q = Reshape(p, s)
        y = Add(q, q)
    }
    """
    check(parsed(text), {"c": np.array(condition), "x": normal(2, 3)})


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False])
def test_branches_within_branches(outer: bool, inner: bool) -> None:
    text = """
    g (bool c, bool d, float[3] x) => (float[3] y) <float[3] w = {1, 2, 3}> {
        r = Neg(x)
        y = If(c) <
            then_branch = t () => (float[3] o) {
                s = Mul(r, w)
                o = If(d) <
                    then_branch = tt () => (float[3] p) { p = Add(s, x) },
                    else_branch = te () => (float[3] p) { q = Mul(s, w) p = Sub(q, r) }
                >
            },
            else_branch = e () => (float[3] o) { o = Identity(r) }
        >
    }
    """
    feeds = {"c": np.array(outer), "d": np.array(inner), "x": normal(3)}
    check(parsed(text), feeds)


COUNTING = """
g (int64 n, bool go, float[2] x) => (float[2] last, float[k, 2] rows) <float[2] w = {2, 3}> {
    r = Mul(x, w)
    last, rows = Loop(n, go, x) <body = b (int64 i, bool c, float[2] s) =>
        (bool again, float[2] t, float[2] row) {
            j = Cast <to = 1> (i)
            u = Add(s, r)
            t = Mul(u, w)
            row = Add(t, j)
            most = Constant <value = float {60}> ()
            top = ReduceMax <keepdims = 0> (t)
            again = Less(top, most)
        }
    >
}
"""


@given(st.integers(0, 6), st.booleans())
@few
def test_loops_end_by_their_count_or_their_condition(count: int, going: bool) -> None:
    feeds = {"n": np.array(count), "go": np.array(going), "x": np.array([1, 2], np.float32)}
    check(parsed(COUNTING), feeds)


def counted(count: int) -> onnx.ModelProto:
    """Return a loop of so many turns, known beforehand."""
    return parsed(f"""
    g (float[2] x) => (float[2] last, float[k, 2] rows)
    <int64 n = {{{count}}}, bool go = {{1}}, float[2] w = {{1, 0.5}}> {{
        last, rows = Loop(n, go, x) <body = b (int64 i, bool c, float[2] s) =>
            (bool again, float[2] t, float[2] row) {{
                again = Identity(c)
                t = Mul(s, w)
                row = Add(t, x)
            }}
        >
    }}
    """)


@pytest.mark.parametrize("count", [0, 1, 4, 300])
def test_loops_of_a_known_count(count: int) -> None:
    check(counted(count), {"x": normal(2)})


def test_a_loop_that_cannot_end_is_refused() -> None:
    text = """
    g (float[2] x) => (float[2] y) {
        y = Loop("", "", x) <body = b (int64 i, bool c, float[2] s) => (bool again, float[2] t) {
            again = Identity(c)
            t = Neg(s)
        }>
    }
    """
    with pytest.raises(UnsupportedNodeError, match="never ends"):
        import_onnx(parsed(text))


@given(st.integers(0, 4))
@few
def test_what_a_loop_carries_may_grow(count: int) -> None:
    """The shape before the first turn must not be taken for the shape in all turns."""
    text = """
    g (int64 n, float[2] x) => (float[k] y, float[m] z) <int64[2] column = {-1, 1}> {
        y = Loop(n, "", x) <body = b (int64 i, bool c, float[2] s) => (bool again, float[d] t) {
            again = Identity(c)
            t = Concat <axis = 0> (s, x)
        }>
        shape = Shape(y)
        rows = Reshape(y, column)
        z = Reshape(rows, shape)
    }
    """
    x = normal(2)
    for one in ran(parsed(text), {"n": np.array(count), "x": x}):
        same(one, np.tile(x, count + 1))


@given(st.integers(0, 4))
@few
def test_loops_carry_sequences(count: int) -> None:
    text = """
    g (int64 n, float[5] x) => (seq(float[k]) s, float[m] y, int64 length)
    <int64[1] zero = {0}, int64 one = {1}, int64[1] axes = {0}> {
        empty = SequenceEmpty()
        start = SequenceInsert(empty, x)
        s = Loop(n, "", start) <body = b (int64 i, bool c, seq(float) p) =>
            (bool again, seq(float) q) {
                again = Identity(c)
                j = Add(i, one)
                end = Unsqueeze(j, axes)
                part = Slice(x, zero, end)
                q = SequenceInsert(p, part)
            }
        >
        y = ConcatFromSequence <axis = 0> (s)
        length = SequenceLength(s)
    }
    """
    with refused("sequences carried by a loop whose turns only the run counts"):
        check(parsed(text), {"n": np.array(count), "x": normal(5)})


def test_names_within_a_body_may_be_those_of_values_around_it() -> None:
    """ONNX forbids it, exporters do it: what is inside must win."""
    text = """
    g (int64 n, float[2] x) => (float[2] y, float[2] z) <float[2] w = {2, 3}> {
        h = Mul(x, w)
        y = Loop(n, "", x) <body = b (int64 i, bool c, float[2] w) => (bool again, float[2] h) {
            again = Identity(c)
            h = Add(w, w)
        }>
        z = Add(h, w)
    }
    """
    x = np.array([1, 2], np.float32)
    found = ran(parsed(text), {"n": np.array(3), "x": x})
    same(found[0], x * 8)
    same(found[1], x * np.array([2, 3], np.float32) + np.array([2, 3], np.float32))


def test_branches_that_are_known_may_use_the_same_names() -> None:
    text = """
    g (float[2] x) => (float[2] z) <bool yes = {1}, bool no = {0}> {
        y = If(yes) <
            then_branch = t () => (float[2] o) <float[2] w = {2, 3}> { o = Mul(x, w) },
            else_branch = e () => (float[2] o) { o = Neg(x) }
        >
        z = If(no) <
            then_branch = t () => (float[2] o) { o = Neg(y) },
            else_branch = e () => (float[2] o) <float[2] w = {5, 7}> { o = Mul(y, w) }
        >
    }
    """
    x = np.array([1, 2], np.float32)
    same(ran(parsed(text), {"x": x})[0], x * np.array([10, 21], np.float32))


def test_a_node_within_a_body_that_has_no_lowering_is_refused_at_import() -> None:
    text = """
    g (bool c, float[2] x) => (float[2] y) {
        y = If(c) <
            then_branch = t () => (float[2] o) { o = other.Unheard(x) },
            else_branch = e () => (float[2] o) { o = Neg(x) }
        >
    }
    """
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 20, "other" : 1]> {text}'
    )
    with pytest.raises(UnsupportedNodeError, match="Unheard"):
        import_onnx(model)


def test_a_loop_may_have_as_many_turns_as_there_are_numbers() -> None:
    """Exporters write so where the condition alone ends it."""
    text = f"""
    g (float[2] x) => (float[2] y, float[k, 2] z) <int64 n = {{{2**63 - 1}}}, float m = {{50}}> {{
        y, z = Loop(n, "", x) <body = b (int64 i, bool c, float[2] s) =>
            (bool again, float[2] t, float[2] row) {{
                t = Add(s, s)
                row = Neg(t)
                top = ReduceMax <keepdims = 0> (t)
                again = Less(top, m)
            }}
        >
    }}
    """
    check(parsed(text), {"x": np.array([1, 2], np.float32)})
