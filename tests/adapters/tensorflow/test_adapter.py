"""TensorFlow as a backend: what every adapter passes, and what it alone must hold."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper

from tests.adapters.graphs import model, normal, onnxruntime_says
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.errors import UnsupportedNodeError, UsageError
from xbench.testing.conformance import AdapterConformance, infer
from xbench_adapters.tensorflow import TensorFlowAdapter
from xbench_adapters.tensorflow.precision import multiplied_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LIMITS = Limits(threads=1)


class TestTensorFlow(AdapterConformance):
    adapter = TensorFlowAdapter


class TestXla(AdapterConformance):
    adapter = TensorFlowAdapter
    variant = "xla"


def write(
    folder: Path, nodes: list[onnx.NodeProto], outputs: list[str], **inputs: Any
) -> BoundModel:
    """Return a file of ``nodes``, bound to inputs as the arrays given are."""
    onnx.save(model(nodes, inputs, outputs, {"w": normal(8, 3)}, 21), folder / "m.onnx")
    specs = tuple(TensorSpec(name, one.dtype.name, one.shape) for name, one in inputs.items())
    return BoundModel(folder / "m.onnx", specs, tuple(outputs), {})


@pytest.fixture
def bound(tmp_path: Path) -> BoundModel:
    """Return x @ w, and its negative, bound to one row."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    return write(tmp_path, nodes, ["z", "y"], x=normal(1, 8))


def python(code: str, *, arguments: Sequence[str] = (), **environment: str) -> str:
    """Return what a process of its own prints; it fails if the process does."""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_package_imports_no_framework_until_it_is_used() -> None:
    python(
        "import sys; from xbench_adapters.tensorflow import TensorFlowAdapter, import_onnx\n"
        "assert TensorFlowAdapter('xla').available().version\n"
        "assert not {'tensorflow', 'keras', 'onnx', 'numpy'} & set(sys.modules)"
    )


PREPARED = """
import os
os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "BF16"
from xbench.adapter import Limits
from xbench.errors import UsageError
from xbench_adapters.tensorflow import TensorFlowAdapter
version = TensorFlowAdapter().prepare(Limits(threads=2))
import tensorflow as tf
assert version == tf.__version__
threading, options = tf.config.threading, tf.config.optimizer.get_experimental_options()
assert threading.get_intra_op_parallelism_threads() == 2
assert threading.get_inter_op_parallelism_threads() == 1
assert not tf.config.experimental.tensor_float_32_execution_enabled()
assert not any(on for name, on in options.items() if name.startswith("auto_mixed_precision"))
assert not tf.config.get_visible_devices("GPU")
tf.constant(1.0) + 1
TensorFlowAdapter("xla").prepare(Limits(threads=2))  # a second time does no harm
try:
    TensorFlowAdapter().prepare(Limits(threads=1))
except UsageError:
    pass
else:
    raise AssertionError("its threads cannot be changed any more, and it says nothing")
from xbench_adapters.tensorflow.precision import multiplied_in
assert multiplied_in(compiled=False) == "fp32"
"""


def test_preparing_holds_threads_and_true_fp32_and_is_quiet() -> None:
    """In a process of its own: these settings are the process's."""
    settings = {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "TF_ENABLE_ONEDNN_OPTS": "0"}
    assert python(PREPARED, **settings) == ""


WITH_ONEDNN = """
import sys
from pathlib import Path
import numpy as np
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench_adapters.tensorflow import TensorFlowAdapter
from xbench.testing.conformance import infer
limits = Limits(threads=1)
adapter = TensorFlowAdapter("onednn")
adapter.prepare(limits)
specs = (TensorSpec("x", "float32", (1, 16, 8, 8)),)
session = adapter.load(BoundModel(Path(sys.argv[1]), specs, ("y",), {}), limits, "fp32")
facts = session.facts()
assert facts.precision == "fp32"
assert facts.options["onednn"] == "on"
np.save(sys.argv[2], infer(session, {"x": np.load(sys.argv[2])})["y"])
"""


def test_onednn_computes_the_same_where_it_is_asked_for(tmp_path: Path) -> None:
    """In a process of its own: which kernels compute is the process's."""
    x, weight, kept = normal(1, 16, 8, 8), normal(32, 16, 3, 3), tmp_path / "x.npy"
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
    whole = model(nodes, {"x": x}, ["y"], {"w": weight})
    onnx.save(whole, tmp_path / "m.onnx")
    np.save(kept, x)
    python(WITH_ONEDNN, arguments=[str(tmp_path / "m.onnx"), str(kept)], TF_ENABLE_ONEDNN_OPTS="0")
    wanted = onnxruntime_says(whole, {"x": x})[0]
    np.testing.assert_allclose(np.load(kept), wanted, rtol=1e-4, atol=1e-4)


def test_onednn_cannot_be_had_in_a_process_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xbench_adapters.tensorflow.unfolded.onednn_is_on", lambda: False)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with pytest.raises(UsageError, match="oneDNN"):
        TensorFlowAdapter("onednn").prepare(LIMITS)


@pytest.mark.parametrize(("variant", "mode"), [("", "graph"), ("xla", "xla")])
def test_a_session_tells_how_the_model_got_there(
    bound: BoundModel, variant: str, mode: str
) -> None:
    session = TensorFlowAdapter(variant).load(bound, LIMITS, "fp32")
    facts = session.facts()
    assert facts.importer is not None
    assert "tf.function, 2 nodes; 0 fused" in facts.importer
    assert facts.convert_s is not None
    assert facts.convert_s > 0
    assert facts.precision == "fp32"
    assert facts.threads == tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert facts.options is not None
    assert facts.options["mode"] == mode


def test_narrow_weights_are_told(tmp_path: Path) -> None:
    """Whatever was asked for, a model in float16 is not computed in float32."""
    x = normal(1, 8, 4, 4).astype(np.float16)
    weight = {"w": normal(4, 8, 3, 3).astype(np.float16)}
    whole = model([helper.make_node("Conv", ["x", "w"], ["y"])], {"x": x}, ["y"], weight)
    onnx.save(whole, tmp_path / "m.onnx")
    narrow = BoundModel(tmp_path / "m.onnx", (TensorSpec("x", "float16", x.shape),), ("y",), {})
    session = TensorFlowAdapter().load(narrow, LIMITS, "fp32")
    assert session.facts().precision == "fp16"


@pytest.mark.parametrize("compiled", [False, True])
def test_what_rounds_products_is_noticed(monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    """The probe's numbers, rounded as bfloat16 and TF32 would, are told apart."""
    whole = tf.linalg.matmul

    def rounded(bits: int) -> Any:
        def multiply(x: Any, one: Any) -> Any:
            scale = 2.0**bits
            return whole(tf.round(x * scale) / scale, one)

        return multiply

    assert multiplied_in(compiled=compiled) == "fp32"
    for bits, told in ((10, "tf32"), (7, "bf16")):
        monkeypatch.setattr(tf.linalg, "matmul", rounded(bits))
        assert multiplied_in(compiled=compiled) == told


@pytest.mark.parametrize(("on_gpu", "side"), [(False, 256), (True, 1024)])
def test_larger_matrices_are_tried_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, on_gpu: bool, side: int
) -> None:
    """As for PyTorch: cuBLAS may compute small ones in float32, and the model's in TF32."""
    whole, shapes = tf.linalg.matmul, []

    def noted(x: Any, one: Any) -> Any:
        shapes.append(tuple(x.shape))
        return whole(x, one)

    monkeypatch.setattr(tf.linalg, "matmul", noted)
    monkeypatch.setattr("xbench_adapters.tensorflow.precision.gpu_is_on", lambda: on_gpu)
    assert multiplied_in(compiled=False) == "fp32"
    assert set(shapes) == {(side, side)}


def test_outputs_stay_when_other_inputs_are_bound(bound: BoundModel) -> None:
    session = TensorFlowAdapter().load(bound, LIMITS, "fp32")
    before = infer(session, {"x": normal(1, 8, seed=1)})
    kept = {name: one.copy() for name, one in before.items()}
    session.bind({"x": normal(1, 8, seed=2)})
    session.run()
    assert list(before) == ["z", "y"]
    for name, one in before.items():
        np.testing.assert_array_equal(one, kept[name])
        assert not np.array_equal(one, session.outputs()[name])


def test_inputs_in_any_memory_order_are_taken(bound: BoundModel) -> None:
    session = TensorFlowAdapter().load(bound, LIMITS, "fp32")
    whole = normal(2, 16)
    whole.flags.writeable = False
    for feed in (whole[:1, :8], np.asfortranarray(whole)[:1, :8], whole[:1, ::2]):
        found = infer(session, {"x": feed})["y"].astype(np.float64)
        np.testing.assert_allclose(found, feed @ normal(8, 3), rtol=1e-5)


def test_types_that_tensorflow_holds_in_others_come_back_as_they_were(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT4)]
    session = TensorFlowAdapter().load(
        write(tmp_path, nodes, ["y"], x=normal(1, 8)), LIMITS, "fp32"
    )
    found = infer(session, {"x": np.arange(-4, 4, dtype=np.float32)[None]})["y"]
    assert found.dtype.name == "int4"
    np.testing.assert_array_equal(found.astype(np.int8), np.arange(-4, 4)[None])


def test_what_xla_cannot_compile_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="first"),
        helper.make_node("Det", ["r"], ["y"], name="/head/det"),
    ]
    given = write(tmp_path, nodes, ["y"], x=normal(2, 4, 4))
    assert infer(TensorFlowAdapter().load(given, LIMITS, "fp32"), {"x": normal(2, 4, 4)})
    with pytest.raises(UnsupportedNodeError, match="XLA has no MatrixDeterminant") as raised:
        TensorFlowAdapter("xla").load(given, LIMITS, "fp32")
    assert (raised.value.node, raised.value.operator) == ("/head/det", "Det")


def listed(name: str) -> onnx.ValueInfoProto:
    """Return the declaration of a sequence."""
    return helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, [2])


@pytest.mark.parametrize("variant", ["", "xla"])
@pytest.mark.parametrize("end", ["input", "output"])
def test_sequences_that_would_be_fed_or_read_are_refused(
    tmp_path: Path, variant: str, end: str
) -> None:
    whole = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    place = helper.make_tensor("i", TensorProto.INT64, [], [0])
    one, ends = {
        "input": (helper.make_node("SequenceAt", ["s", "i"], ["x"]), ([listed("s")], [whole])),
        "output": (helper.make_node("SequenceConstruct", ["x"], ["s"]), ([whole], [listed("s")])),
    }[end]
    graph = helper.make_graph([one], "sequences", *ends, [place])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "m.onnx")
    specs = () if end == "input" else (TensorSpec("x", "float32", (2,)),)
    given = BoundModel(tmp_path / "m.onnx", specs, ("x" if end == "input" else "s",), {})
    with pytest.raises(UnsupportedNodeError, match="tensor") as raised:
        TensorFlowAdapter(variant).load(given, LIMITS, "fp32")
    assert (raised.value.node, raised.value.operator) == ("s", end)


def test_text_comes_back_as_text_and_xla_takes_none(tmp_path: Path) -> None:
    text = np.array(["a", "b"], dtype=object)
    given = write(tmp_path, [helper.make_node("StringConcat", ["x", "x"], ["y"])], ["y"], x=text)
    joined = infer(TensorFlowAdapter().load(given, LIMITS, "fp32"), {"x": text})["y"]
    assert joined.tolist() == ["aa", "bb"]
    with pytest.raises(UnsupportedNodeError, match="text"):
        TensorFlowAdapter("xla").load(given, LIMITS, "fp32")


def test_what_cannot_be_held_is_a_usage_error(bound: BoundModel) -> None:
    with pytest.raises(UsageError, match="tf32"):
        TensorFlowAdapter().load(bound, LIMITS, "tf32")
    with pytest.raises(UsageError, match="cuda:0"):
        TensorFlowAdapter().load(bound, Limits(threads=1, device="cuda:0"), "fp32")
    with pytest.raises(UsageError, match="turbo"):
        TensorFlowAdapter("turbo")
