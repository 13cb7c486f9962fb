"""Branches, loops and scans in TensorFlow against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import tensorflow as tf

from tests.adapters.onnx_suite import Case, difference
from tests.adapters.pytorch.graphs import normal, onnxruntime_says
from tests.adapters.tensorflow.suite import _in_type, to_tensorflow
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx
from xbench_adapters.tensorflow.lower import turns
from xbench_adapters.tensorflow.xla import compile_module


def parsed(body: str, opset: int = 20) -> onnx.ModelProto:
    """Return a model written in ONNX's own textual form."""
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]> {body}')


def same(found: Any, wanted: Any, model: onnx.ModelProto) -> None:
    """Check that results are of the types, shapes and values wanted."""
    assert len(found) == len(wanted)
    case = Case("", model, (), 1e-4, 1e-5)
    for have, want in zip(found, wanted, strict=True):
        want = [np.asarray(one) for one in want] if isinstance(want, list) else want
        assert difference(_in_type(have, want), want, case) is None


def check(model: onnx.ModelProto, feeds: dict[str, Any]) -> Any:
    """Return the imported module, after ONNX Runtime gave the same outputs."""
    wanted = onnxruntime_says(model, feeds)
    module = import_onnx(model)
    same(module(*map(to_tensorflow, feeds.values())), wanted, model)
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
    check(parsed(CAPTURING), {"c": np.array(condition), "x": normal(2, 3)})


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_may_hand_on_a_value_or_a_weight(condition: bool) -> None:
    text = """
    g (bool c, float[3] x) => (float[3] y, float[3] z) <float[3] w = {1, 2, 3}> {
        y, z = If(c) <
            then_branch = t () => (float[3] a, float[3] b) { a = Identity(x) b = Identity(w) },
            else_branch = e () => (float[3] a, float[3] b) { a = Identity(w) b = Identity(x) }
        >
    }
    """
    check(parsed(text), {"c": np.array(condition), "x": normal(3)})


@pytest.mark.parametrize("condition", [True, False])
def test_branches_of_different_shapes(condition: bool) -> None:
    text = """
    g (bool c, float[2, 3] x) => (float[n] y) <int64[1] all = {-1}, int64[1] axis = {0}> {
        p = If(c) <
            then_branch = t () => (float[a] a) { a = Reshape(x, all) },
            else_branch = e () => (float[b] b) { b = ReduceSum <keepdims = 0> (x, axis) }
        >
        y = Add(p, p)
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
    check(parsed(text), {"c": np.array(outer), "d": np.array(inner), "x": normal(3)})


def test_branches_of_sequences_of_different_lengths_are_refused_at_import() -> None:
    text = """
    g (bool c, float[3] x) => (seq(float[3]) y) {
        y = If(c) <
            then_branch = t () => (seq(float[3]) a) { a = SequenceConstruct(x) },
            else_branch = e () => (seq(float[3]) b) { b = SequenceConstruct(x, x) }
        >
    }
    """
    with pytest.raises(UnsupportedNodeError, match="branches"):
        import_onnx(parsed(text))


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


def test_loops_end_by_their_count_or_their_condition() -> None:
    module = import_onnx(parsed(COUNTING))
    for count in (0, 1, 2, 6):
        for going in (True, False):
            x = np.array([1, 2], np.float32)
            feeds = {"n": np.array(count), "go": np.array(going), "x": x}
            wanted = onnxruntime_says(parsed(COUNTING), feeds)
            same(module(*map(to_tensorflow, feeds.values())), wanted, parsed(COUNTING))


@pytest.mark.parametrize("count", [0, 1, 4, 300])
def test_loops_of_a_known_count(count: int) -> None:
    """A few turns are written out, many go through a loop."""
    text = f"""
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
    """
    feeds = {"x": normal(2)}
    module = check(parsed(text), feeds)
    kinds = {one.type for one in module.call.get_concrete_function().graph.get_operations()}
    assert any(kind.endswith("While") for kind in kinds) == (2 * count > turns.NODES)
    wanted = onnxruntime_says(parsed(text), feeds)
    same(compile_module(module)(tf.constant(feeds["x"])), wanted, parsed(text))


def test_a_loop_whose_rows_only_the_run_counts_is_refused_for_xla() -> None:
    """XLA would stack as many rows as the first turn has: none."""
    with pytest.raises(UnsupportedNodeError, match="Loop"):
        compile_module(import_onnx(parsed(COUNTING)))


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


@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_a_loop_carries_may_grow(count: int) -> None:
    """The shape before the first turn must not be taken for the shape in all turns."""
    text = """
    g (int64 n, float[2] x) => (float[k] y) {
        y = Loop(n, "", x) <body = b (int64 i, bool c, float[2] s) => (bool again, float[d] t) {
            again = Identity(c)
            t = Concat <axis = 0> (s, x)
        }>
    }
    """
    x = normal(2)
    found = import_onnx(parsed(text))(tf.constant(count, tf.int64), tf.constant(x))
    np.testing.assert_array_equal(found[0].numpy(), np.tile(x, count + 1))


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


SCANS = [
    (0, 0, 0, 0), (1, 0, 1, -1), (0, 1, -1, 1), (1, 1, 0, -3), (0, 1, -2, 2), (1, 0, 1, 0),
]  # fmt: skip


@pytest.mark.parametrize(("back", "out", "axis", "place"), SCANS)
@pytest.mark.parametrize("known", [True, False])
def test_scans(back: int, out: int, axis: int, place: int, known: bool) -> None:
    """Two states, two scanned inputs, two stacked outputs, in all directions and along all axes."""
    long = "3" if known else "n"
    text = f"""
    g (float[2] s, float[1] t, float[{f"{long}, 2" if axis in (0, -2) else f"2, {long}"}] x,
       float[{long}, 2] y) =>
      (float[2] a, float[1] b, float[k, l] p, float[m, n, o] q) <float[2] w = {{2, 3}}> {{
        a, b, p, q = Scan <
            num_scan_inputs = 2, scan_input_axes = [{axis}, 0],
            scan_input_directions = [{back}, {1 - back}],
            scan_output_axes = [{place % 2}, {place}], scan_output_directions = [{out}, {1 - out}],
            body = body (float[2] si, float[1] ti, float[2] xi, float[2] yi) =>
                (float[2] so, float[1] to, float[2] po, float[2, 1] qo) {{
                u = Mul(xi, w)
                so = Add(si, u)
                v = ReduceSum <keepdims = 0> (yi)
                to = Add(ti, v)
                po = Sub(so, yi)
                axes = Constant <value = int64[1] {{1}}> ()
                qo = Unsqueeze(po, axes)
            }}
        > (s, t, x, y)
    }}
    """
    feeds = {
        "s": normal(2),
        "t": normal(1, seed=1),
        "x": normal(*((3, 2) if axis in (0, -2) else (2, 3)), seed=2),
        "y": normal(3, 2, seed=3),
    }
    check(parsed(text), feeds)


@pytest.mark.parametrize("lengths", [None, [3, 1], [2, 3]])
@pytest.mark.parametrize("back", [0, 1])
def test_scans_over_a_batch(lengths: list[int] | None, back: int) -> None:
    """Version 8: an entry of the batch at a time, each as long as it is said to be."""
    text = f"""
    g ({"int64[2] n," if lengths else ""} float[2, 2] s, float[2, 3, 2] x) =>
      (float[2, 2] a, float[2, 3, 2] p) {{
        a, p = Scan <num_scan_inputs = 1, directions = [{back}],
            body = body (float[2] si, float[2] xi) => (float[2] so, float[2] po) {{
                so = Add(si, xi)
                po = Mul(so, xi)
            }}
        > ({"n" if lengths else '""'}, s, x)
    }}
    """
    feeds: dict[str, Any] = {"n": np.array(lengths)} if lengths else {}
    check(parsed(text, 8), feeds | {"s": normal(2, 2), "x": normal(2, 3, 2, seed=1)})


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
