"""Every adapter of ours passes the public suite."""

from __future__ import annotations

import pytest

from xbench.testing.conformance import AdapterConformance
from xbench_adapters.onnxruntime import OnnxRuntimeAdapter
from xbench_adapters.openvino import OpenVinoAdapter
from xbench_adapters.pytorch import PyTorchAdapter


class TestOnnxRuntime(AdapterConformance):
    adapter = OnnxRuntimeAdapter


class TestOnnxRuntimeReference(AdapterConformance):
    adapter = OnnxRuntimeAdapter
    variant = "reference"


class TestOpenVino(AdapterConformance):
    adapter = OpenVinoAdapter


class TestPyTorch(AdapterConformance):
    adapter = PyTorchAdapter


@pytest.mark.slow
@pytest.mark.filterwarnings(  # PyTorch's own: inductor still uses what it deprecates
    "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"
)
class TestPyTorchCompiled(AdapterConformance):
    adapter = PyTorchAdapter
    variant = "compile"
