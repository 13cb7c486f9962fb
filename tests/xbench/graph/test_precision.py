"""Graphs in float16 and bfloat16: what becomes narrow, and what stays."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper

from tests.xbench.graph.narrow_models import (
    BFLOAT16,
    BOTH,
    FLOAT,
    KINDS,
    assert_narrower,
    converted,
    edges,
    kinds_of,
    mlp,
    model,
    run,
    types,
    x,
)


@BOTH
def test_all_within_is_narrow_and_the_edges_are_as_they_were(
    tmp_path: Path, precision: str
) -> None:
    """Weights and values within have the type; names, types and open axes outside do not change."""
    before = mlp()
    after = converted(before, tmp_path, precision)
    assert edges(after) == edges(before)
    assert {kind for op, kind in types(after) if op != "Cast"} == {KINDS[precision]}
    assert {one.data_type for one in after.graph.initializer} == {KINDS[precision]}
    assert Counter(node.op_type for node in after.graph.node)["Cast"] == 2
    for batch in (1, 3):
        assert_narrower(before, after, {"x": x(batch, 16)}, precision)


@BOTH
def test_a_convolution_is_narrow_in_an_operator_set_that_has_it(
    tmp_path: Path, precision: str
) -> None:
    """ONNX lets convolutions be bfloat16 since operator set 22: the model is brought to it."""
    before = model(
        """g (float[batch, 3, 8, 8] x) => (float[batch, 4] y) {
           a = Conv<pads=[1, 1, 1, 1]>(x, w, c)  b = Relu(a)  d = MaxPool<kernel_shape=[2, 2]>(b)
           e = GlobalAveragePool(d)  y = Flatten(e) }""",
        weights={"w": x(4, 3, 3, 3) / 5, "c": x(4)},
    )
    after = converted(before, tmp_path, precision)
    [opset] = [one.version for one in after.opset_import if not one.domain]
    assert opset == (20 if precision == "fp16" else 22)
    assert edges(after) == edges(before)
    assert kinds_of(after, "Conv") == kinds_of(after, "MaxPool") == {KINDS[precision]}
    assert_narrower(before, after, {"x": x(2, 3, 8, 8)}, precision)


@BOTH
def test_an_operator_without_the_type_stays_between_casts(tmp_path: Path, precision: str) -> None:
    """Resize has float32 scales, and Range no narrow type; what they give goes on narrow."""
    before = model(
        """g (float[1, 1, 4, 4] x) => (float[1, 1, 8, 8] y) {
           a = Relu(x)  r = Resize<mode="linear">(a, roi, scales)
           s = Range(zero, eight, one)  y = Add(r, s) }""",
        weights={
            "roi": np.zeros(0, np.float32),
            "scales": np.array([1, 1, 2, 2], np.float32),
            "zero": np.float32(0),
            "eight": np.float32(8),
            "one": np.float32(1),
        },
    )
    after = converted(before, tmp_path, precision)
    assert kinds_of(after, "Range") == {FLOAT}
    assert kinds_of(after, "Resize") == kinds_of(after, "Add") == {KINDS[precision]}
    scales = next(one for one in after.graph.initializer if one.name.startswith("scales"))
    assert scales.data_type == FLOAT
    assert_narrower(before, after, {"x": x(1, 1, 4, 4)}, precision)


@BOTH
def test_sizes_are_computed_in_float32(tmp_path: Path, precision: str) -> None:
    """A length that is computed by way of floats is the same length: 1001 is no bfloat16."""
    before = model(
        """g (float[n] x) => (float[m] y) {
           s = Shape(x)  f = Cast<to=1>(s)  h = Mul(f, third)  i = Floor(h)  k = Cast<to=7>(i)
           z = ConstantOfShape<value = float[1] {1.1}>(k)  b = Relu(x)  t = ReduceSum(b)
           y = Mul(z, t) }""",
        weights={"third": np.float32(1001 / 3003)},
    )
    after = converted(before, tmp_path, precision)
    assert kinds_of(after, "Floor") == {FLOAT}
    assert kinds_of(after, "ConstantOfShape") == {KINDS[precision]}
    feeds = {"x": x(3003)}
    assert run(after, feeds)["y"].shape == run(before, feeds)["y"].shape == (1001,)


def test_angles_of_positions_are_computed_in_float32(tmp_path: Path) -> None:
    """Position 1001 turns by its own angle, and not by that of 1000."""
    before = model(
        """g (int64[n] p, float[n, 4] x) => (float[n, 4] y) {
           f = Cast<to=1>(p)  u = Unsqueeze(f, last)  a = Mul(u, rates)  c = Cos(a)
           y = Mul(x, c) }""",
        weights={"last": np.array([1]), "rates": np.array([1, 0.1, 0.01, 0.001], np.float32)},
    )
    after = converted(before, tmp_path, "bf16")
    assert kinds_of(after, "Cos") == {FLOAT}
    assert kinds_of(after, "Mul") == {FLOAT, BFLOAT16}
    assert_narrower(before, after, {"p": np.array([1, 1001, 4095]), "x": x(3, 4)}, "bf16")


BRANCHES = """g (float[n] x, bool c) => (float[n] y) {
    a = Relu(x)
    b = If (c) <
        then_branch = t () => (float[n] p) { q = Mul(a, w)  p = Max(q, x) },
        else_branch = e () => (float[n] r) { z = Constant<value_float = 1.5>()  r = Sub(a, z) }>
    y = Add(b, a) }"""


@BOTH
@pytest.mark.parametrize("taken", [False, True])
def test_branches_are_narrow_too(tmp_path: Path, precision: str, taken: bool) -> None:
    """Graphs within see narrow values of the graph around them, and give narrow ones."""
    before = model(BRANCHES, weights={"w": np.float32(0.3)})
    after = converted(before, tmp_path, precision)
    onnx.checker.check_model(after, full_check=True)
    assert {kind for op, kind in types(after) if op not in ("Cast", "Constant")} == {
        KINDS[precision]
    }
    feeds = {"x": x(6), "c": np.array(taken)}
    assert_narrower(before, after, feeds, precision)


@BOTH
def test_a_loop_carries_narrow_values(tmp_path: Path, precision: str) -> None:
    """What goes round in a loop is narrow, and so is what it collects."""
    before = model(
        """g (float[n] x, int64 times) => (float[n] y, float[k, n] all) {
           go = Constant<value = bool {1}>()
           y, all = Loop (times, go, x) <body = b (int64 i, bool k, float[n] s)
               => (bool k2, float[n] s2, float[n] seen) {
               k2 = Identity(k)  s2 = Mul(s, w)  seen = Exp(s2) }> }""",
        weights={"w": np.float32(0.7)},
    )
    after = converted(before, tmp_path, precision)
    assert edges(after) == edges(before)
    assert kinds_of(after, "Exp") == {KINDS[precision]}
    assert_narrower(before, after, {"x": x(3), "times": np.array(2)}, precision)


@BOTH
def test_functions_of_the_model_are_narrow_too(tmp_path: Path, precision: str) -> None:
    """A model's own function is written out, so that its values have the type as well."""
    before = model(
        """g (float[n] x) => (float[n] y) { a = own.f(x)  y = own.f(a) }
           <domain: "own", opset_import: ["" : 20]> f (a) => (b) {
             half = Constant<value_float = 0.3>()  b = Mul(a, half) }"""
    )
    after = converted(before, tmp_path, precision)
    assert kinds_of(after, "Mul") == {KINDS[precision]}
    assert_narrower(before, after, {"x": x(4)}, precision)


@BOTH
def test_inputs_that_are_outputs_and_weights_that_are_outputs_stay(
    tmp_path: Path, precision: str
) -> None:
    """A graph that hands on what it was given keeps its names and types."""
    before = model(
        """g (float[2] x) => (float[2] y, float[2] z, float[2] w) {
           y = Relu(x)  a = Exp(y)  z = Mul(a, w) }""",
        weights={"w": np.array([1.1, 2.2], np.float32)},
    )
    after = converted(before, tmp_path, precision)
    assert edges(after) == edges(before)
    assert_narrower(before, after, {"x": x(2)}, precision)


UNARY = ("Relu", "Tanh", "Sigmoid", "Erf", "Softplus", "LeakyRelu", "Elu", "Identity")
BINARY = ("Add", "Sub", "Mul", "Max", "Min")


@st.composite
def chains(draw: st.DrawFn) -> ModelProto:
    """Return a small network of layers, some of which are added to earlier ones."""
    width = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    nodes, weights, values = [], {}, ["x"]
    for at in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["matmul", "unary", "binary", "norm"]))
        source, out = draw(st.sampled_from(values)), f"v{at}"
        if kind == "matmul":
            weights[f"w{at}"] = rng.standard_normal((width, width), np.float32)
            nodes.append(helper.make_node("MatMul", [source, f"w{at}"], [out]))
        elif kind == "unary":
            nodes.append(helper.make_node(draw(st.sampled_from(UNARY)), [source], [out]))
        elif kind == "norm":
            weights[f"w{at}"] = rng.standard_normal(width).astype(np.float32)
            nodes.append(helper.make_node("LayerNormalization", [source, f"w{at}"], [out]))
        else:
            other = draw(st.sampled_from(values))
            operator = draw(st.sampled_from(BINARY))
            nodes.append(helper.make_node(operator, [source, other], [out]))
        values.append(out)
    weights["w"] = rng.standard_normal((width, width), np.float32)
    nodes.append(helper.make_node("MatMul", [values[-1], "w"], ["y"]))
    ends = [helper.make_tensor_value_info(name, FLOAT, ["n", width]) for name in ("x", "y")]
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(made=chains(), precision=st.sampled_from(["fp16", "bf16"]))
def test_any_small_network_is_a_valid_narrow_model(
    made: ModelProto, precision: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever layers follow each other: edges stay, all within is narrow, and it can be run."""
    after = converted(made, tmp_path_factory.mktemp("chain"), precision)
    onnx.checker.check_model(after, full_check=True)
    assert edges(after) == edges(made)
    assert {kind for op, kind in types(after) if op != "Cast"} == {KINDS[precision]}
    width = int(edges(made)[0][2][1])
    feeds = {"x": x(3, width)}
    found = run(after, feeds)["y"]
    assert found.dtype == np.float32
    assert found.shape == (3, width)
    if precision == "fp16":
        expected = run(made, feeds)["y"]
        scale = max(float(np.abs(expected).max()), 1.0)
        assert float(np.abs(found - expected).max()) < 0.1 * scale
