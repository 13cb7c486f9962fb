"""OpenVINO computes in the precision that was asked for, or says in which it does.

On a CPU without bfloat16 and float16 both are computed in float32; what such a CPU can show of the
others is shown with executed graphs made by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.errors import UsageError
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench_adapters.openvino import OpenVinoAdapter, effective_precision

ONE_THREAD = Limits(1)


@pytest.fixture
def openvino() -> Any:
    """Return the module as the adapter imports it: without its telemetry."""
    OpenVinoAdapter().prepare(Limits(1))
    import openvino

    return openvino


def load(
    model: BoundModel,
    limits: Limits = ONE_THREAD,
    precision: str = "fp32",
    variant: str = "",
) -> Any:
    adapter = OpenVinoAdapter(variant)
    adapter.prepare(limits)
    return adapter.load(model, limits, precision)


def names(openvino: Any, capability: str) -> bool:
    """Return whether the CPU names a capability."""
    return capability in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize(("hint", "effective"), [("f32", "fp32"), ("bf16", "bf16")])
def test_effective_precision_is_what_was_executed(
    openvino: Any, tmp_path: Path, hint: str, effective: str
) -> None:
    """Asked of the compiled model: a CPU without bfloat16 executes float32 whatever the hint."""
    if hint == "bf16" and not names(openvino, "BF16"):
        effective = "fp32"
    path = models.long_sums().write(tmp_path).path
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": hint})
    assert effective_precision(compiled) == effective


def test_left_alone_it_would_not_be_fp32(openvino: Any, tmp_path: Path) -> None:
    """The reason for the hint: if this fails one day, OpenVINO's default has changed."""
    if not names(openvino, "BF16"):
        pytest.skip("this CPU has no bfloat16")
    path = models.long_sums().write(tmp_path).path
    assert effective_precision(openvino.Core().compile_model(str(path), "CPU")) == "bf16"


def test_fp32_is_fp32_as_executed_and_as_computed(tmp_path: Path) -> None:
    """Told by the executed graph, by the hint read back, and by sums too long for bfloat16."""
    example = models.long_sums()
    session = load(example.write(tmp_path))
    outputs: Any = infer(session, example.feeds[0])
    facts = session.facts()

    assert facts.precision == "fp32"
    assert facts.options["inference_precision_hint"] == "f32"
    for name, exact in models.in_float64(example, 0).items():
        error = np.abs(outputs[name] - exact).max() / np.abs(exact).max()
        assert error < 1e-5, "what bfloat16 or float16 leaves is a hundred times that"


def node_of(kind: str, precision: str) -> Any:
    """Return a node of an executed graph that tells of itself what OpenVINO's tell."""
    told = {"layerType": kind, "runtimePrecision": precision}
    info = {key: SimpleNamespace(value=value) for key, value in told.items()}
    return SimpleNamespace(get_rt_info=lambda: info)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ((("Convolution", "u8"), ("FullyConnected", "i8"), ("Subgraph", "f32")), "int8"),
        ((("Convolution", "u8"), ("MatMul", "f32")), "int8+fp32"),
        ((("Convolution", "f32"), ("FakeQuantize", "u8")), "fp32"),
        ((("FullyConnected", "bf16"), ("Softmax", "f32")), "bf16"),
        ((("FullyConnected", "f32"), ("Subgraph", "bf16")), "bf16+fp32"),
        ((("MatMul", "f16"), ("MatMul", "f32"), ("MatMul", "bf16")), "bf16+fp16+fp32"),
        ((("Reorder", "bf16"), ("Convert", "f16"), ("Convolution", "f32")), "fp32"),
        ((("Eltwise", "f16"), ("Softmax", "f32")), "fp16"),
        ((("Gather", "i32"), ("Concat", "u8")), "fp32"),
        ((("FullyConnected", "i32"),), None),
    ],
)
def test_the_products_decide_and_no_node_is_overlooked(
    nodes: Sequence[tuple[str, str]], told: str | None
) -> None:
    """``int8`` is told only where all products are; what passes between them decides nothing."""
    graph = SimpleNamespace(get_ops=lambda: [node_of(*node) for node in nodes])
    assert effective_precision(SimpleNamespace(get_runtime_model=lambda: graph)) == told


PERCEPTRON = np.random.default_rng(3).standard_normal((2, 16, 16)).astype(np.float32)


def perceptron(folder: Path, *, quantised: Sequence[bool] = (), kind: int = 1) -> BoundModel:
    """Return a file of two matrix products with a ReLU between, as each precision has them.

    Args:
        folder: Where.
        quantised: Which of the products are between QuantizeLinear and DequantizeLinear.
        kind: ONNX's type of the others' weights and inner tensors.
    """
    nodes, weights, last = [make_node("Cast", ["x"], ["x_0"], to=kind)], [], "x_0"
    for at, array in enumerate(PERCEPTRON):
        w, product = f"w_{at}", f"p_{at}"
        if at < len(quantised) and quantised[at]:
            scale = np.abs(array).max() / 127
            weights += [
                numpy_helper.from_array(np.rint(array / scale).astype(np.int8), f"{w}_q"),
                numpy_helper.from_array(np.array(scale, np.float32), f"{w}_s"),
                numpy_helper.from_array(np.array(0.4, np.float32), f"a_{at}_s"),
                numpy_helper.from_array(np.array(0, np.int8), f"zero_{at}"),
            ]
            zero = weights[-1].name
            nodes += [
                make_node("QuantizeLinear", [last, f"a_{at}_s", zero], [f"{last}_q"]),
                make_node("DequantizeLinear", [f"{last}_q", f"a_{at}_s", zero], [f"{last}_d"]),
                make_node("DequantizeLinear", [f"{w}_q", f"{w}_s", zero], [w]),
            ]
            last = f"{last}_d"
        else:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
            weights.append(numpy_helper.from_array(array.astype(dtype), w))
        nodes += [make_node("MatMul", [last, w], [product], name=f"matmul_{at}")]
        nodes += [make_node("Relu", [product], [f"r_{at}"])]
        last = f"r_{at}"
    nodes.append(make_node("Cast", [last], ["y"], to=TensorProto.FLOAT))
    ends = [make_tensor_value_info(name, TensorProto.FLOAT, [4, 16]) for name in "xy"]
    graph = make_graph(nodes, "perceptron", ends[:1], ends[1:], weights)
    path = folder / "perceptron.onnx"
    onnx.save(make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=9), path)
    return BoundModel(path, (TensorSpec("x", "float32", (4, 16)),), ("y",), {})


FEEDS = np.random.default_rng(4).standard_normal((4, 16)).astype(np.float32)


def off(session: Any) -> float:
    """Return by how much of the largest output a session is off."""
    exact = FEEDS.astype(np.float64)
    for weights in PERCEPTRON:
        exact = np.maximum(exact @ weights, 0)
    found: Any = infer(session, {"x": FEEDS})["y"]
    assert found.dtype == np.float32
    return float(np.abs(found - exact).max() / np.abs(exact).max())


@pytest.mark.parametrize(
    ("precision", "kind", "capability", "most"),
    [
        ("fp16", TensorProto.FLOAT16, "FP16", 2e-3),
        ("bf16", TensorProto.BFLOAT16, "BF16", 2e-2),
    ],
)
def test_a_narrow_file_is_computed_in_its_type_where_the_cpu_can(
    openvino: Any, tmp_path: Path, precision: str, kind: int, capability: str, most: float
) -> None:
    """Else in float32, and the session says so: the row then carries the doubt."""
    session = load(perceptron(tmp_path, kind=kind), precision=precision)

    held = names(openvino, capability)
    assert session.facts().precision == (precision if held else "fp32")
    assert 1e-7 < off(session) < most, "the weights were rounded to the file's type at least"


def test_a_quantised_file_is_executed_in_int8(tmp_path: Path) -> None:
    """Its QuantizeLinear and DequantizeLinear are fused with the products, hint or no hint."""
    session = load(perceptron(tmp_path, quantised=(True, True)), precision="int8")

    assert session.facts().precision == "int8"
    assert 1e-4 < off(session) < 0.2


def test_a_file_that_is_quantised_in_part_is_told_as_both(tmp_path: Path) -> None:
    session = load(perceptron(tmp_path, quantised=(True, False)), precision="int8")
    assert session.facts().precision == "int8+fp32"


def test_its_own_hint_narrows_the_float32_file_or_is_refused(openvino: Any, tmp_path: Path) -> None:
    """On a CPU without bfloat16 the hint would silently be float32 under another name."""
    model = perceptron(tmp_path)
    if not names(openvino, "BF16"):
        with pytest.raises(UsageError, match=r"this CPU has no bf16.*FP32"):
            load(model, precision="bf16", variant="bf16")
        return
    session = load(model, precision="bf16", variant="bf16")
    assert session.facts().precision == "bf16"
    assert 1e-4 < off(session) < 2e-2


@pytest.mark.parametrize(
    ("precision", "variant"), [("tf32", ""), ("fp8", ""), ("fp32", "bf16"), ("fp16", "bf16")]
)
def test_a_precision_that_cannot_be_held_is_refused(
    tmp_path: Path, precision: str, variant: str
) -> None:
    """TF32 is of GPUs; a variant that narrows does nothing else."""
    with pytest.raises(UsageError, match=f"cannot hold precision '{precision}'"):
        load(models.perceptron().write(tmp_path), precision=precision, variant=variant)


def test_a_gpu_is_refused(tmp_path: Path) -> None:
    limits = replace(ONE_THREAD, device="cuda:0", uuid="GPU-1")
    with pytest.raises(UsageError, match="cannot hold device 'cuda:0'"):
        load(models.perceptron().write(tmp_path), limits)
