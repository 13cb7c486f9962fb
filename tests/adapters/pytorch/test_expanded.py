"""Operators that ONNX or a model defines as functions, written out and run."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import torch

from tests.adapters.graphs import normal, onnxruntime_says
from tests.adapters.importers.test_flow import check, parsed, same
from xbench.graph.evaluate import evaluate
from xbench.graph.fusions import fuse
from xbench.graph.plain import Node
from xbench_adapters.pytorch import import_onnx
from xbench_adapters.pytorch.importer import lower
from xbench_adapters.pytorch.registry import handles

CALLS = {
    "HardSwish": "HardSwish(x)",
    "Softplus": "Softplus(x)",
    "Elu": "Elu <alpha = 0.5> (x)",
    "ThresholdedRelu": "ThresholdedRelu <alpha = 0.25> (x)",
    "Gelu": 'Gelu <approximate = "tanh"> (x)',
    "Softmax": "Softmax <axis = 0> (x)",
    "LogSoftmax": "LogSoftmax(x)",
    "LayerNormalization": "LayerNormalization <axis = -1> (x, w)",
    "MeanVarianceNormalization": "MeanVarianceNormalization <axes = [1]> (x)",
    "Clip": 'Clip(x, "", top)',
    "ReduceL2": "ReduceL2 <keepdims = 0> (x, axis)",
    "ReduceLogSumExp": "ReduceLogSumExp(x)",
    "PRelu": "PRelu(x, w)",
    "Shrink": "Shrink <lambd = 0.25> (x)",
    "CastLike": "CastLike(x, one)",
}


@pytest.mark.parametrize("operator", sorted(CALLS))
def test_an_operator_written_out_computes_the_same(operator: str) -> None:
    model = parsed(f"""
    g (float[4, 3] x) => (y)
    <float[3] w = {{0.5, 2, -1}}, float top = {{0.75}}, int64[1] axis = {{1}}, int32 one = {{1}}> {{
        y = {CALLS[operator]}
    }}
    """)
    x = normal(4, 3)
    wanted = onnxruntime_says(model, {"x": x})

    def others(node: Node) -> bool:
        return node.operator != operator and handles(node)

    graph = evaluate(model, handles=others)
    assert operator not in {node.operator for node in graph.nodes}
    same(lower(fuse(graph))(torch.from_numpy(x))[0], wanted[0])


def own(text: str, opset: int = 20) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}, "own" : 1]> {text}'
    )


@pytest.mark.parametrize("count", [0, 3])
def test_a_function_of_the_model_may_hold_a_loop(count: int) -> None:
    """Two calls, attributes given and left out, a value captured from the function's scope."""
    text = """
    g (int64 n, float[2] x) => (float[2] y, float[2] z) {
        y = own.Repeated <slope = 0.5> (n, x)
        z = own.Repeated(n, y)
    }
    <opset_import: ["" : 20], domain: "own">
    Repeated <slope: float = 0.25> (n, x) => (y) {
        r = LeakyRelu <alpha: float = @slope> (x)
        y = Loop(n, "", x) <body = b (int64 i, bool c, s) => (again, t) {
            again = Identity(c)
            u = LeakyRelu <alpha: float = @slope> (s)
            t = Sub(u, r)
        }>
    }
    """
    feeds: dict[str, Any] = {"n": np.array(count), "x": normal(2)}
    check(own(text), feeds)


def test_a_function_of_an_older_operator_set() -> None:
    text = """
    g (float[2, 3] x) => (float[2] y) { y = own.Total(x) }
    <opset_import: ["" : 11], domain: "own">
    Total (x) => (y) { s = ReduceSum <axes = [1]> (x) y = Squeeze <axes = [1]> (s) }
    """
    x = normal(2, 3)
    same(import_onnx(own(text))(torch.from_numpy(x))[0], x.sum(1))


def test_branches_without_values_from_outside_are_exported() -> None:
    text = """
    g (bool c) => (float[2] y) {
        y = If(c) <
            then_branch = t () => (float[2] o) <float[2] w = {2, 3}> { o = Neg(w) },
            else_branch = e () => (float[2] o) <float[2] v = {4, 5}> { o = Identity(v) }
        >
    }
    """
    for condition in (True, False):
        module = check(parsed(text), {"c": np.array(condition)})
        exported = torch.export.export(module, (torch.tensor(condition),)).module()
        for other in (True, False):
            arguments = (torch.tensor(other),)
            torch.testing.assert_close(exported(*arguments), module(*arguments))


def test_loops_are_compiled_as_one_graph_where_their_end_is_known() -> None:
    text = """
    g (float[4] x) => (float[1] y, float[k, 1] rows)
    <int64 n = {3}, float[1] start = {0}, int64[1] axes = {0}> {
        y, rows = Loop(n, "", start) <body = b (int64 i, bool c, float[1] s) =>
            (bool again, float[1] t, float[1] row) {
                again = Identity(c)
                e = Gather(x, i)
                row = Unsqueeze(e, axes)
                t = Add(s, row)
            }
        >
    }
    """
    x = normal(4)
    module: torch.fx.GraphModule = check(parsed(text), {"x": x})
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(torch.from_numpy(x)), module(torch.from_numpy(x)))
    exported = torch.export.export(module, (torch.from_numpy(x),)).module()
    torch.testing.assert_close(exported(torch.from_numpy(x)), module(torch.from_numpy(x)))
