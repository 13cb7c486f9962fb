"""What is computed in which precision: held, and told as it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import nn
from torch.overrides import TorchFunctionMode

from tests.adapters.graphs import model, onnxruntime_says
from tests.adapters.pytorch.narrow import IMAGE, network, saved
from xbench.adapter import BoundModel, Limits, Native, TensorSpec
from xbench.errors import UsageError
from xbench_adapters.pytorch import PyTorchAdapter, precision

LIMITS = Limits(threads=1)
FINE = {"fp16": 2e-3, "bf16": 2e-2}  # of the largest output: what so few bits of fraction round
INDUCTOR = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # in what it imports


@pytest.fixture(autouse=True)
def held() -> Iterator[None]:
    """Have every test begin and end with true fp32: these settings are the process's."""
    precision.hold(tf32=False)
    yield
    precision.hold(tf32=False)


def ran(variant: str, given: BoundModel, asked: str) -> tuple[np.ndarray[Any, Any], Any]:
    """Return the output on the image, and what the session tells after it."""
    session = PyTorchAdapter(variant).load(given, LIMITS, asked)
    session.bind({"x": IMAGE})
    session.run()
    session.synchronize()
    found = session.outputs()["y"], session.facts()
    session.close()
    return found


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_a_narrow_file_computes_narrow_and_says_so(kind: str, tmp_path: Path) -> None:
    """Its outputs are those of float32 but for the rounding, and that shows."""
    given = saved(network(kind), tmp_path)
    output, facts = ran("", given, kind)
    wanted, told = ran("", saved(network("fp32"), tmp_path, "fp32.onnx"), "fp32")
    assert (facts.precision, told.precision) == (kind, "fp32")
    assert output.dtype == np.float32
    error = np.abs(output - wanted).max() / np.abs(wanted).max()
    assert 1e-5 < error < FINE[kind]


@INDUCTOR
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_a_narrow_file_can_be_compiled(kind: str, tmp_path: Path) -> None:
    """Without a break in its graph."""
    given = saved(network(kind), tmp_path)
    output, facts = ran("compile", given, kind)
    wanted, _ = ran("", saved(network("fp32"), tmp_path, "fp32.onnx"), "fp32")
    assert facts.precision == kind
    assert np.abs(output - wanted).max() < FINE[kind] * np.abs(wanted).max()


def test_weights_of_a_narrow_file_stay_narrow(tmp_path: Path) -> None:
    """A runtime that widened them would need twice the memory, and not say so."""
    from xbench_adapters.pytorch import import_onnx

    module = import_onnx(saved(network("fp16"), tmp_path).path)
    assert {one.dtype for one in module.parameters()} == {torch.float16}


def test_products_of_two_precisions_are_both_told(tmp_path: Path) -> None:
    _, facts = ran("", saved(network("fp16", last="fp32"), tmp_path), "fp16")
    assert facts.precision == "fp16+fp32"


def test_a_file_that_was_not_narrowed_is_told_as_it_is(tmp_path: Path) -> None:
    """What was asked for counts for nothing."""
    _, facts = ran("", saved(network("fp32"), tmp_path), "fp16")
    assert facts.precision == "fp32"


def test_a_model_without_products_is_told_by_its_other_arithmetic(tmp_path: Path) -> None:
    """The Casts at its edges are none."""
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=half),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Cast", ["t"], ["y"], to=full),
    ]
    onnx.save(model(nodes, {"x": IMAGE}, ["y"]), tmp_path / "m.onnx")
    given = BoundModel(tmp_path / "m.onnx", (TensorSpec("x", "float32", IMAGE.shape),), ("y",), {})
    assert ran("", given, "fp16")[1].precision == "fp16"


class Images(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime ships no types
    """Gives one image to calibrate on."""

    def __init__(self) -> None:
        self.left = [{"x": IMAGE}]

    def get_next(self) -> Any:
        return self.left.pop() if self.left else None


def test_an_int8_file_rounds_to_8_bits_and_says_that_it_multiplies_float32(
    tmp_path: Path,
) -> None:
    """The outputs are those of ONNX Runtime on the same file, not those of float32."""
    whole = network("fp32")
    onnx.save(whole, tmp_path / "fp32.onnx")
    quantize_static(
        tmp_path / "fp32.onnx",
        tmp_path / "int8.onnx",
        Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )
    quantized = onnx.load(tmp_path / "int8.onnx")
    assert "DequantizeLinear" in {node.op_type for node in quantized.graph.node}
    output, facts = ran("", saved(quantized, tmp_path), "int8")
    wanted = onnxruntime_says(quantized, {"x": IMAGE})[0]
    exact = onnxruntime_says(whole, {"x": IMAGE})[0]
    np.testing.assert_allclose(output, wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(output - exact).max() > 1e-4
    assert facts.precision == "fp32"
    assert facts.options["int8"] == "rounded to 8 bits, multiplied as float32"


def test_autocast_narrows_a_float32_file_by_its_own_means(tmp_path: Path) -> None:
    """Outputs are float32 all the same, as the file says."""
    given = saved(network("fp32"), tmp_path)
    output, facts = ran("autocast", given, "bf16")
    wanted, _ = ran("", given, "fp32")
    assert facts.precision == "bf16"
    assert "bfloat16" in facts.options["autocast"]
    assert output.dtype == np.float32
    assert 1e-5 < np.abs(output - wanted).max() / np.abs(wanted).max() < FINE["bf16"]


@pytest.mark.parametrize("asked", ["fp32", "fp16", "int8", "tf32"])
def test_autocast_has_one_precision(asked: str, tmp_path: Path) -> None:
    """The one that it declares, so that the harness gives it the model as it was."""
    assert PyTorchAdapter.precisions == {"autocast": "bf16"}
    with pytest.raises(UsageError, match="bf16"):
        PyTorchAdapter("autocast").load(saved(network("fp32"), tmp_path), LIMITS, asked)


def test_a_cpu_has_no_tf32(bound: BoundModel) -> None:
    with pytest.raises(UsageError, match="tf32"):
        PyTorchAdapter().load(bound, LIMITS, "tf32")
    with pytest.raises(UsageError, match="tf32"):
        PyTorchAdapter().check(bound, LIMITS, "tf32")


@pytest.fixture
def bound(tmp_path: Path) -> BoundModel:
    """Return the network in float32."""
    return saved(network("fp32"), tmp_path)


# The user's own module


def halves() -> Any:
    return nn.Sequential(nn.Flatten(), nn.Linear(IMAGE[0].size, 4)).half(), {
        "input": torch.zeros(IMAGE.shape, dtype=torch.float16)
    }


def own(name: str = "halves") -> Native:
    return Native("pytorch", "factory", f"narrow_natives:{name}")


def test_the_precision_of_the_users_module_is_seen(
    bound: BoundModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At fp32 a module of half floats runs as it is, and the row says what that is."""
    monkeypatch.setitem(sys.modules, "narrow_natives", sys.modules[__name__])
    specs = (TensorSpec("input", "float16", IMAGE.shape),)
    given = replace(bound, inputs=specs, native=own())
    session = PyTorchAdapter().load(given, LIMITS, "fp32")
    assert session.facts().precision == "fp16"  # by its weights, before there is anything to run
    session.bind({"input": IMAGE.astype(np.float16)})
    session.run()
    assert session.facts().precision == "fp16"


@pytest.mark.parametrize("kind", ["fp16", "bf16", "int8"])
def test_a_narrowed_file_is_run_instead_of_the_module_it_was_made_from(
    kind: str, bound: BoundModel
) -> None:
    """The module has not the arithmetic that was asked for."""
    nowhere = Native("pytorch", "factory", "nowhere:at_all")
    given = replace(bound, native=nowhere)
    PyTorchAdapter().check(given, LIMITS, kind)
    facts = PyTorchAdapter().load(given, LIMITS, kind).facts()
    assert str(facts.importer).startswith("xbench")


# What float32 is multiplied in


def test_float32_keeps_its_digits_in_products() -> None:
    """With numbers that TF32 and bfloat16 round, through oneDNN's products and convolutions.

    This fails where a build of PyTorch computes float32 in less once it is held to it.
    """
    assert precision.probed(torch.device("cpu"), precision.SIDE["cpu"]) == "fp32"
    assert precision.multiplied_float32("cpu") == {"fp32"}


class Rounds(TorchFunctionMode):
    """Products as a narrower type gives them, by function: that of float32 with fewer bits."""

    def __init__(self, functions: set[Callable[..., Any]], bits: int) -> None:
        super().__init__()
        self.functions, self.bits = functions, bits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.functions:
            args = [self.rounded(one) if one.is_floating_point() else one for one in args]
        return func(*args, **(kwargs or {}))

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        fraction, exponent = torch.frexp(x)
        return torch.ldexp(torch.round(fraction * 2.0 ** (self.bits + 1)), exponent) / 2.0 ** (
            self.bits + 1
        )


@pytest.mark.parametrize(("bits", "said"), [(23, "fp32"), (10, "tf32"), (7, "bf16")])
@pytest.mark.parametrize("part", [torch.matmul, torch.conv2d])
def test_products_that_round_are_found(bits: int, said: str, part: Any) -> None:
    """In matrix products alone, or in convolutions alone."""
    with Rounds({part}, bits):
        assert precision.probed(torch.device("cpu"), 64) == said


@pytest.mark.parametrize("level", ["high", "medium"])
def test_what_users_often_set_is_undone_for_every_library(level: str) -> None:
    """`torch.set_float32_matmul_precision` reaches cuBLAS, which the newest switch leaves alone."""
    torch.set_float32_matmul_precision(level)
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = True
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    torch.backends.cuda.matmul.allow_fp16_accumulation = True
    precision.hold(tf32=False)
    told = precision.settings("cuda") | precision.settings("cpu")
    assert set(told.values()) == {"ieee", "off"}
    assert torch.get_float32_matmul_precision() == "highest"  # raises where switches disagree


def test_tf32_is_let_in_on_a_gpu_and_nothing_else_is() -> None:
    precision.hold(tf32=True)
    told = precision.settings("cuda")
    assert {told[part] for part in precision.NVIDIA} == {"tf32"}
    assert {value for part, value in told.items() if part not in precision.NVIDIA} == {"off"}
    assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "high"


def test_the_settings_in_force_stand_in_the_row(bound: BoundModel) -> None:
    _, facts = ran("", bound, "fp32")
    parts = ("mkldnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
    assert {facts.options[part] for part in parts} == {"ieee"}
