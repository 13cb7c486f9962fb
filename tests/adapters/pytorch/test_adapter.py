"""PyTorch as a backend, beyond what the conformance suite asks of every adapter."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from tests.adapters.graphs import model, normal
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.errors import UsageError
from xbench_adapters.pytorch import PyTorchAdapter

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(threads=1)


@pytest.fixture
def bound(tmp_path: Path) -> BoundModel:
    """Return x @ w, and its negative, bound to one row."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    feeds = {"x": normal(1, 8)}
    onnx.save(model(nodes, feeds, ["z", "y"], {"w": normal(8, 3)}), tmp_path / "m.onnx")
    return BoundModel(tmp_path / "m.onnx", (TensorSpec("x", "float32", (1, 8)),), ("z", "y"), {})


def test_the_package_imports_no_framework_until_it_is_used() -> None:
    code = (
        "import sys; from xbench_adapters.pytorch import PyTorchAdapter, import_onnx\n"
        "assert PyTorchAdapter('compile').available().version\n"
        "assert not {'torch', 'onnx', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_preparing_holds_threads_and_true_fp32() -> None:
    """In a process of its own: these settings are the process's."""
    code = (
        "import torch; from xbench.adapter import Limits\n"
        "from xbench_adapters.pytorch import PyTorchAdapter\n"
        "assert PyTorchAdapter().prepare(Limits(threads=1)) == torch.__version__\n"
        "assert (torch.get_num_threads(), torch.get_num_interop_threads()) == (1, 1)\n"
        "b = torch.backends\n"
        "parts = (b.mkldnn.matmul, b.mkldnn.conv, b.mkldnn.rnn, b.cuda.matmul, b.cudnn.conv)\n"
        "assert {part.fp32_precision for part in parts} == {'ieee'}\n"
        "assert torch.get_float32_matmul_precision() == 'highest'\n"
        "PyTorchAdapter('compile').prepare(Limits(threads=1))  # a second time does no harm"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_session_tells_how_the_model_got_there(bound: BoundModel) -> None:
    session = PyTorchAdapter().load(bound, LIMITS, "fp32")
    facts = session.facts()
    assert facts.importer is not None
    assert "torch.fx, 2 nodes; 0 fused" in facts.importer
    assert facts.convert_s is not None
    assert facts.convert_s > 0
    assert facts.threads == torch.get_num_threads()
    assert facts.options is not None
    assert facts.options["mode"] == "eager"


@pytest.mark.parametrize("part", ["matmul", "conv", "rnn"])
def test_arithmetic_that_was_loosened_is_told(bound: BoundModel, part: str) -> None:
    """Whoever lets oneDNN compute in bf16, the row must not say fp32."""
    PyTorchAdapter().prepare(Limits(threads=torch.get_num_threads()))
    session = PyTorchAdapter().load(bound, LIMITS, "fp32")
    assert session.facts().precision == "fp32"
    setting = getattr(torch.backends.mkldnn, part)
    setting.fp32_precision = "bf16"
    try:
        assert session.facts().precision == "bf16"
    finally:
        setting.fp32_precision = "ieee"


def test_outputs_are_in_the_models_order_and_stay_when_other_inputs_are_bound(
    bound: BoundModel,
) -> None:
    session = PyTorchAdapter().load(bound, LIMITS, "fp32")
    first, second = normal(1, 8, seed=1), normal(1, 8, seed=2)
    session.bind({"x": first})
    session.run()
    session.synchronize()
    before = session.outputs()
    kept = {name: one.copy() for name, one in before.items()}
    session.bind({"x": second})
    session.run()
    assert list(before) == ["z", "y"]
    for name, one in before.items():
        np.testing.assert_array_equal(one, kept[name])
        assert not np.array_equal(one, session.outputs()[name])


def test_inputs_that_cannot_be_shared_are_copied_when_they_are_bound(bound: BoundModel) -> None:
    session = PyTorchAdapter().load(bound, LIMITS, "fp32")
    whole = normal(2, 16)
    whole.flags.writeable = False
    for feed in (whole[:1, :8], np.asfortranarray(whole)[:1, :8], whole[:1, ::2]):
        session.bind({"x": feed})
        session.run()
        weight = normal(8, 3)
        have = session.outputs()["y"].astype(np.float64)
        np.testing.assert_allclose(have, feed @ weight, rtol=1e-5)


def test_what_cannot_be_held_is_a_usage_error(bound: BoundModel) -> None:
    with pytest.raises(UsageError, match="fp8"):
        PyTorchAdapter().load(bound, LIMITS, "fp8")
    with pytest.raises(UsageError, match="npu:0"):
        PyTorchAdapter().load(bound, Limits(threads=1, device="npu:0"), "fp32")
    with pytest.raises(UsageError, match="turbo"):
        PyTorchAdapter("turbo")
