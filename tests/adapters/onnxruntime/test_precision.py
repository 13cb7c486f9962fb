"""In which precision ONNX Runtime computes on the CPU, and what it says of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_node

from tests.adapters.onnxruntime import graphs
from tests.adapters.onnxruntime.graphs import BFLOAT, FLOAT, HALF
from xbench.adapter import BoundModel, Facts, Limits
from xbench.errors import UnsupportedNodeError, UsageError
from xbench.testing.conformance import infer
from xbench_adapters.onnxruntime import OnnxRuntimeAdapter, arithmetic, options
from xbench_adapters.onnxruntime.plain import is_plain_file

LIMITS = Limits(threads=1)
EXACT = 1e-5
HALVES = 1e-4  # float16 has errors of 5e-4


def loaded(model: BoundModel, precision: str, variant: str = "") -> Any:
    adapter = OnnxRuntimeAdapter(variant)
    adapter.prepare(LIMITS)
    return adapter.load(model, LIMITS, precision)


def ran(model: BoundModel, precision: str) -> tuple[Any, Facts]:
    """Return the output of an inference, and what was told after it."""
    session = loaded(model, precision)
    output = infer(session, graphs.feeds())["y"]
    facts = session.facts()
    session.close()
    return output, facts


def in_float64(kind: int) -> Any:
    """Return the right output of `graphs.floats`, of weights of a type."""
    w, m = graphs.normal(8, 4, 3, 3), graphs.normal(8, 5, seed=1)
    w, m = (one.astype(graphs.NUMPY[kind]).astype(np.float64) for one in (w, m))
    x = graphs.feeds()["x"].astype(graphs.NUMPY[kind]).astype(np.float64)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    convolved = np.einsum("nchwij,ocij->nohw", windows, w)
    return np.maximum(convolved, 0).mean((2, 3)) @ m


def off(output: Any, right: Any) -> float:
    return float(np.abs(output - right).max() / np.abs(right).max())


def test_float32_is_told_without_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph without casts and quantised operators has no other arithmetic to look for."""
    monkeypatch.setattr(arithmetic, "ask", lambda *_, **__: pytest.fail("another process ran"))
    output, facts = ran(graphs.floats(tmp_path, FLOAT, cast=False), "fp32")
    assert facts.precision == "fp32"
    assert off(output, in_float64(FLOAT)) < EXACT


def test_casts_of_whole_numbers_leave_a_file_float32(tmp_path: Path) -> None:
    """As a mask's in a transformer. Its file is looked at, and no other session made."""
    nodes = [
        make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        make_node("Cast", ["i"], ["f"], to=FLOAT),
        make_node("MatMul", ["f", "m"], ["y"]),
    ]
    model = graphs.written(tmp_path, nodes, {"m": graphs.normal(8, 5)})
    session = loaded(model, "fp32")
    infer(session, graphs.feeds())
    assert session.facts().precision == "fp32"
    session.close()
    assert is_plain_file(model.path)


@pytest.mark.parametrize("where", ["weights", "cast", "constant", "shape", "operator"])
def test_a_file_with_anything_narrower_is_not_plain(tmp_path: Path, where: str) -> None:
    """Wherever it is, also within a branch."""
    weights = {"m": graphs.normal(8, 5), "yes": np.array(True)}
    half = onnx.numpy_helper.from_array(np.ones(5, np.float16))
    inner = {
        "weights": [make_node("Cast", ["h"], ["z"], to=FLOAT)],
        "cast": [make_node("Cast", ["x"], ["c"], to=HALF), make_node("Cast", ["c"], ["z"], to=1)],
        "constant": [make_node("Constant", [], ["z"], value=half)],
        "shape": [make_node("RandomNormal", [], ["z"], shape=[3], dtype=HALF)],
        "operator": [make_node("DynamicQuantizeLinear", ["x"], ["z", "s", "p"])],
    }[where]
    if where == "weights":
        weights["h"] = np.ones((64, 64), np.float16)
    branch = make_graph(inner, "b", [], [onnx.ValueInfoProto(name="z")])
    nodes = [
        make_node("If", ["yes"], ["t"], then_branch=branch, else_branch=branch),
        make_node("MatMul", ["x", "m"], ["y"]),
    ]
    assert not is_plain_file(graphs.written(tmp_path, nodes, weights).path)


def test_half_precision_that_is_computed_in_float32_says_so(tmp_path: Path) -> None:
    """What is told agrees with the outputs: of float16 arithmetic or of float32's."""
    output, facts = ran(graphs.floats(tmp_path, HALF), "fp16")
    exact = off(output, in_float64(HALF)) < HALVES
    assert facts.precision == ("fp32" if exact else "fp16")
    assert facts.options is not None
    assert facts.options["arithmetic"] == f"{facts.precision} 2"


def test_a_half_precision_file_is_no_float32_by_request(tmp_path: Path) -> None:
    """A user's own file may be narrow; asking for fp32 does not make it wide."""
    _, facts = ran(graphs.quantised(tmp_path, whole=True), "fp32")
    assert facts.precision == "int8"


def test_bfloat16_has_no_kernel(tmp_path: Path) -> None:
    """The CPU provider refuses the convolution, which is named."""
    with pytest.raises(UnsupportedNodeError) as raised:
        loaded(graphs.floats(tmp_path, BFLOAT), "bf16")
    assert (raised.value.node, raised.value.operator) == ("conv", "Conv")


def test_integer_kernels_are_int8(tmp_path: Path) -> None:
    """Both products are fused with what quantises around them."""
    _, facts = ran(graphs.quantised(tmp_path, whole=True), "int8")
    assert facts.precision == "int8"
    assert facts.options is not None
    assert facts.options["arithmetic"] == "int8 2"


def test_a_product_with_a_bias_keeps_its_integer_kernel(tmp_path: Path) -> None:
    """Though its shapes are fixed, where ONNX Runtime by itself makes a Gemm of floats of it."""
    output, facts = ran(graphs.biased(tmp_path), "int8")
    assert facts.precision == "int8"
    assert facts.options is not None
    assert facts.options["disabled_optimizers"] == "MatMulAddFusion"
    session = loaded(graphs.biased(tmp_path), "fp32", "reference")
    right: Any = infer(session, graphs.feeds())["y"]
    session.close()
    assert off(output, right) < 0.05  # several scales of the inputs


def test_a_product_of_floats_among_integer_kernels_is_told(tmp_path: Path) -> None:
    _, facts = ran(graphs.quantised(tmp_path, whole=False), "int8")
    assert facts.precision == "int8+fp32"
    assert facts.options is not None
    assert facts.options["arithmetic"] == "fp32 1, int8 1"


def test_tf32_is_refused_on_the_cpu(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tf32"):
        loaded(graphs.floats(tmp_path, FLOAT, cast=False), "tf32")


def test_what_narrows_is_switched_off_by_our_word(tmp_path: Path) -> None:
    """So that no later default of ONNX Runtime changes it."""
    setup = options.Setup("", {}, 1, optimized=True)
    made = options.session_options(onnxruntime, setup)
    for key in (options.ARM_BF16, options.APPROXIMATE_GELU, options.FLUSH_DENORMALS):
        assert options.config(made, key) == "0"


def test_denormals_are_computed_with(tmp_path: Path) -> None:
    """Flushing them to zero would be faster, and less than float32."""
    model = graphs.floats(tmp_path, FLOAT, cast=False)
    session = loaded(model, "fp32")
    tiny = {"x": np.full(graphs.SHAPE, 1e-39, np.float32)}
    assert np.abs(infer(session, tiny)["y"]).max() > 0
    session.close()


@pytest.mark.parametrize("key", [options.ARM_BF16])
def test_bfloat16_products_are_not_called_float32(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Arm's fast products are on, nothing tells whether they were used."""
    monkeypatch.setitem(options.HELD, key, "1")
    _, facts = ran(graphs.floats(tmp_path, FLOAT, cast=False), "fp32")
    assert facts.precision is None


def test_a_profile_that_cannot_be_made_leaves_the_precision_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row keeps its figures; what is not known is not claimed."""

    def killed(*_: Any, **__: Any) -> Any:
        raise MemoryError("the reading was killed")

    monkeypatch.setattr(arithmetic, "ask", killed)
    _, facts = ran(graphs.floats(tmp_path, HALF), "fp16")
    assert facts.precision is None
    assert facts.options is not None
    assert facts.options["arithmetic"] == "not read: the reading was killed"


def test_the_reference_is_not_profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no row; what it computes in is told where that is plain."""
    monkeypatch.setattr(arithmetic, "ask", lambda *_, **__: pytest.fail("another process ran"))
    found = []
    for plain in (True, False):
        model = (
            graphs.floats(tmp_path, FLOAT, cast=False)
            if plain
            else graphs.quantised(tmp_path, whole=True)
        )
        session = loaded(model, "fp32", "reference")
        infer(session, graphs.feeds())
        found.append(session.facts().precision)
        session.close()
    assert found == ["fp32", None]


# What a profile says, in its own words


def event(operator: str, *types: str, provider: str = options.CPU, **more: str) -> dict[str, Any]:
    shapes = [{kind: [2, 3]} for kind in types]
    args = {"op_name": operator, "provider": provider, "input_type_shape": shapes, **more}
    return {"cat": "Node", "args": args}


@pytest.mark.parametrize(
    ("events", "precision"),
    [
        ([event("FusedConv", "float16"), event("Softmax", "float")], "fp16"),
        ([event("FusedMatMul", "bfloat16"), event("Gemm", "float")], "bf16+fp32"),
        ([event("QLinearConv", "uint8", "float", "uint8")], "int8"),
        ([event("DynamicQuantizeMatMul", "float", "int8")], "int8"),
        ([event("MatMulNBits", "float", "uint8")], None),
        ([event("MatMul", "int64"), event("Conv", "float")], "fp32"),
        ([event("Cast", "float16"), event("Relu", "float"), event("Concat", "float16")], "fp32"),
        ([event("Cast", "float16"), event("Transpose", "float")], None),
        ([event("MultiHeadAttention", "float16"), event("LSTM", "double")], "fp16+fp64"),
    ],
)
def test_operators_that_multiply_decide(events: list[Any], precision: str | None) -> None:
    """Others do where there is none; conversions and what moves elements never."""
    assert arithmetic.of_profile(events, options.CPU).precision == precision


def test_copies_and_the_arena_are_counted() -> None:
    """The arena is that of the provider that was asked for, at its largest."""
    events = [
        {"cat": "Session", "name": "model_run", "args": {}},
        event("MemcpyFromHost", "float", provider=options.CUDA, mem_arena_held="1024"),
        event("Conv", "float", provider=options.CUDA, mem_arena_held="4096"),
        event("MemcpyToHost", "float", provider=options.CUDA),
        event("Shape", "float", mem_arena_held="9999"),
    ]
    read = arithmetic.of_profile(events, options.CUDA)
    assert (read.copies, read.arena_bytes) == (2, 4096)
    assert arithmetic.of_profile(events[:1], options.CUDA).arena_bytes is None
