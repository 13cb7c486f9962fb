"""Models of many architectures, as exporters, optimisers and quantisers write them."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.adapters.architectures import ARCHITECTURES, answers, exported, source
from xbench_adapters.pytorch import import_onnx

Tensors = list[torch.Tensor]

by_architecture = pytest.mark.parametrize("name", sorted(ARCHITECTURES))
LEGACY = ("bert", "distilbert", "resnet", "vit", "mobilenet_v2")
OPTIMISED = ("bert", "gpt2", "vit", "resnet", "mobilenet_v2", "distilbert", "whisper", "llama")
QUANTISED = ("bert", "gpt2", "vit", "resnet", "mobilenet_v2", "distilbert")


@cache
def model(name: str) -> onnx.ModelProto:
    return exported(name)


def outputs(module: Any, inputs: tuple[torch.Tensor, ...]) -> Tensors:
    with torch.inference_mode():
        return list(module(*inputs))


def assert_same(wanted: Tensors, found: Tensors, share: float = 1e-4) -> None:
    """Every output is within a share of the output's own scale, and varies by far more."""
    assert len(wanted) == len(found)
    for want, have in zip(wanted, found, strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        worst = (have.double() - want.double()).abs().max().item()
        assert worst <= share * want.double().abs().max().item()
        assert worst <= 0.1 * want.double().std().item(), "the answers hardly differ"


def runtime(whole: onnx.ModelProto, inputs: tuple[torch.Tensor, ...]) -> Tensors:
    """Return what ONNX Runtime computes of a model as it is."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(whole.SerializeToString(), options)
    names = [one.name for one in session.get_inputs()]
    feeds = {name: one.numpy() for name, one in zip(names, inputs, strict=True)}
    return [torch.from_numpy(np.asarray(one)) for one in session.run(None, feeds)]


@pytest.mark.slow
@by_architecture
def test_an_exported_model_does_as_its_source_and_torch_takes_it_whole(name: str) -> None:
    """`torch.export` and `torch.compile(fullgraph=True)` accept what the importer makes.

    Compiled without a code generator: what counts is that the whole graph is captured.
    """
    inputs = source(name)[1]
    module = import_onnx(model(name))
    found = outputs(module, inputs)
    assert_same(answers(name), found)
    assert_same(found, outputs(torch.export.export(module, inputs).module(), inputs))
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, dynamic=False, backend="eager")
    assert_same(found, outputs(compiled, inputs))


@pytest.mark.slow
@pytest.mark.parametrize("name", LEGACY)
def test_models_of_the_older_exporter(name: str, tmp_path: Path) -> None:
    module, inputs = source(name)
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that exporter is on its way out
        torch.onnx.export(module, inputs, str(path), dynamo=False, opset_version=17)
    assert_same(answers(name), outputs(import_onnx(path), inputs))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMISED)
def test_models_of_onnxruntimes_optimiser(name: str, tmp_path: Path) -> None:
    """The operators that it fuses nodes to are its own: FusedConv, BiasGelu, Attention, ..."""
    path = tmp_path / "optimised.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = os.fspath(path)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model(name).SerializeToString(), options)
    optimised = onnx.load(path)
    own = {node.op_type for node in optimised.graph.node if node.domain == "com.microsoft"}
    assert own or name == "resnet", "nothing was fused: this tests nothing"
    assert_same(answers(name), outputs(import_onnx(path), source(name)[1]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_models_of_onnxruntimes_transformer_optimiser(kind: str, tmp_path: Path) -> None:
    from onnxruntime.transformers.optimizer import optimize_model

    path = tmp_path / "model.onnx"
    onnx.save(model(kind), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimiser's own
        fused = optimize_model(
            os.fspath(path), model_type=kind, num_heads=4, hidden_size=32, opt_level=0
        )
    whole = fused.model
    own = {node.op_type for node in whole.graph.node if node.domain == "com.microsoft"}
    assert own, "nothing was fused: this tests nothing"
    assert_same(answers(kind), outputs(import_onnx(whole), source(kind)[1]))


@pytest.mark.slow
@pytest.mark.parametrize("name", QUANTISED)
def test_models_quantised_as_they_run(name: str, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    path = tmp_path / "quantised.onnx"
    plain = tmp_path / "plain.onnx"
    onnx.save(model(name), plain)
    # Seven bits: with eight, products in ONNX Runtime overflow on CPUs without VNNI.
    quantize_dynamic(plain, path, reduce_range=True)
    whole, inputs = onnx.load(path), source(name)[1]
    # Rounding falls either way where the products before it differ in the last digit.
    assert_same(runtime(whole, inputs), outputs(import_onnx(path), inputs), 3e-2)


class Calibration:
    """The example inputs, once: what the quantiser takes the ranges from."""

    def __init__(self, whole: onnx.ModelProto, inputs: tuple[torch.Tensor, ...]) -> None:
        names = [one.name for one in whole.graph.input]
        self._left = [{n: one.numpy() for n, one in zip(names, inputs, strict=True)}]

    def get_next(self) -> dict[str, Any] | None:
        return self._left.pop() if self._left else None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "resnet", "mobilenet_v2", "bert"])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_models_quantised_beforehand(name: str, form: str, tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantFormat, quantize_static

    plain, path = tmp_path / "plain.onnx", tmp_path / "quantised.onnx"
    onnx.save(model(name), plain)
    inputs = source(name)[1]
    quantize_static(
        plain, path, Calibration(model(name), inputs), quant_format=getattr(QuantFormat, form),
        reduce_range=True,
    )  # fmt: skip
    whole = onnx.load(path)
    assert_same(runtime(whole, inputs), outputs(import_onnx(path), inputs), 5e-2)
