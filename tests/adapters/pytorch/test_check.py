"""PyTorch's answer without loading: what the import refuses, it refuses, and copies no weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.adapters.graphs import model, normal
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.errors import UnsupportedNodeError, UsageError
from xbench_adapters.pytorch import PyTorchAdapter, builder, tensors

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(threads=1)


def bound(folder: Path, *nodes: onnx.NodeProto, **weights: Any) -> BoundModel:
    """Return a file of ``nodes`` from ``x`` of 4 x 64 to ``y``."""
    path = folder / "m.onnx"
    onnx.save(model(list(nodes), {"x": normal(4, 64)}, ["y"], weights), path)
    return BoundModel(path, (TensorSpec("x", "float32", (4, 64)),), ("y",), {})


def refusal(call: Any, of: BoundModel) -> tuple[Any, ...]:
    with pytest.raises(UnsupportedNodeError) as raised:
        call(of, LIMITS, "fp32")
    return raised.value.args


def test_an_operator_without_a_lowering_is_refused_as_loading_refuses_it(tmp_path: Path) -> None:
    nonsense = helper.make_node("Nonsense", ["x"], ["y"], name="odd", domain="some.domain")
    path = tmp_path / "m.onnx"
    whole = model([nonsense], {"x": normal(4, 64)}, ["y"])
    whole.opset_import.add(domain="some.domain", version=1)
    onnx.save(whole, path)
    odd = BoundModel(path, (TensorSpec("x", "float32", (4, 64)),), ("y",), {})
    adapter = PyTorchAdapter()
    assert refusal(adapter.check, odd) == refusal(adapter.load, odd)
    assert refusal(adapter.check, odd)[0] == "odd"


def test_what_only_the_lowering_finds_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That an operator has a lowering is not enough: the lowering may refuse a use of it."""

    def refuse(self: Any, *_: Any, **__: Any) -> None:
        self.refuse("this use of it")

    monkeypatch.setattr(builder.Builder, "call", refuse)
    relu = bound(tmp_path, helper.make_node("Neg", ["x"], ["y"], name="neg"))
    adapter = PyTorchAdapter()
    assert refusal(adapter.check, relu) == refusal(adapter.load, relu)
    assert refusal(adapter.check, relu)[3] == "this use of it"


def test_large_weights_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    def recorded(array: np.ndarray[Any, Any]) -> Any:
        copied.append(array.size)
        return tensors.tensor_of(array)

    monkeypatch.setattr("xbench_adapters.pytorch.builder.tensor_of", recorded)
    product = bound(
        tmp_path,
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["y"]),
        w=normal(64, 100),
        b=normal(100),
    )
    adapter = PyTorchAdapter()
    adapter.check(product, LIMITS, "fp32")
    assert max(copied, default=0) <= 100
    adapter.load(product, LIMITS, "fp32")
    assert max(copied) == 64 * 100


def test_what_cannot_be_held_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    absent = BoundModel(tmp_path / "none.onnx", (), (), {})
    with pytest.raises(UsageError, match="tf32"):
        PyTorchAdapter().check(absent, LIMITS, "tf32")
    with pytest.raises(UsageError, match="npu:0"):
        PyTorchAdapter().check(absent, Limits(threads=1, device="npu:0"), "fp32")
