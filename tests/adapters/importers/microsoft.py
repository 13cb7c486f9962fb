"""Checks of ONNX Runtime's own operators, for the tests of the importer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import helper

from tests.adapters.graphs import Arrays, close, model, onnxruntime_says, opened
from tests.adapters.importers.chosen import import_onnx, ran, run
from tests.adapters.importers.refusals import refused_if_lacking
from xbench.graph.evaluate import evaluate


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    return helper.make_node(operator, inputs, outputs, domain="com.microsoft", **attributes)


def whole(
    one: onnx.NodeProto, feeds: Arrays, weights: Arrays | None = None, opset: int = 20
) -> onnx.ModelProto:
    """Return the model of a node, its outputs wanted."""
    return model([one], feeds, [name for name in one.output if name], weights, opset)


def agrees(
    one: onnx.NodeProto,
    feeds: Arrays,
    weights: Arrays | None = None,
    *,
    wanted: Sequence[Any] | None = None,
    opset: int = 20,
    open_too: bool = True,
) -> Any:
    """Return the imported module, after it gave what ONNX Runtime gives, or what is wanted."""
    made = whole(one, feeds, weights, opset)
    wanted = onnxruntime_says(made, feeds) if wanted is None else wanted
    module = None
    with refused_if_lacking(one.op_type):
        module = import_onnx(made)
        found = run(module, feeds)
        close(found, wanted)
        check_types(made, found)
        if open_too:
            close(ran(opened(made), feeds), wanted)
    return module


def check_types(made: onnx.ModelProto, found: Sequence[Any]) -> None:
    """Check that what the rules say of the outputs is so."""
    graph = evaluate(made)
    for name, have in zip(graph.results, found, strict=True):
        value = graph.value(name)
        assert value.dtype == have.dtype
        assert value.shape is not None
        for said, is_so in zip(value.shape, have.shape, strict=True):
            assert said == is_so or not isinstance(said, int)
