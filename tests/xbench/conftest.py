"""What the tests of the harness share: the test adapters, and tiny models."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper


@pytest.fixture
def test_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the backends ``busy`` and ``faulty`` exist, here and in workers."""
    monkeypatch.setenv("XBENCH_TEST_ADAPTERS", "1")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of one operator with an open batch axis."""
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(model_of("Relu"), path)
    return path


def model_of(operator: str, domain: str = "") -> onnx.ModelProto:
    """Return a model of one operator, ``x`` to ``y``."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], name="only", domain=domain)],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
    )
    opsets = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
