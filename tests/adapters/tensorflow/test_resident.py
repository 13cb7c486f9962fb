"""The session of a GPU, on a CPU: TensorFlow's own boundaries, placement and errors.

What is told of a GPU's memory and of TF32 there, only ``test_hardware.py`` shows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensorflow as tf
from onnx import helper

from tests.adapters.graphs import normal
from tests.adapters.tensorflow.test_adapter import python, write
from xbench.adapter import Fallback, Limits, Resident
from xbench.errors import BackendUnavailableError, DeviceMemoryError, UsageError
from xbench.testing.conformance import infer
from xbench_adapters.tensorflow import TensorFlowAdapter, import_onnx, placement, process
from xbench_adapters.tensorflow.memory import memory_error
from xbench_adapters.tensorflow.resident import ResidentSession
from xbench_adapters.tensorflow.session import Loaded, TensorFlowSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xbench.adapter import BoundModel

FEEDS = [{"x": normal(4, 8, seed=seed)} for seed in range(2)]
GPU = Limits(threads=1, device="cuda:0", uuid="GPU-1")
NODES = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]


@pytest.fixture
def bound(tmp_path: Path) -> BoundModel:
    return write(tmp_path, NODES, ["y"], x=normal(4, 8))


def session_of(bound: BoundModel, call: Callable[..., Any] | None = None) -> ResidentSession:
    """Return the session of a GPU on the CPU, of a model or of another function."""
    found = call or import_onnx(bound.path, bound.shapes).traced()
    dtypes = [np.dtype(np.float32)] * len(bound.outputs)
    loaded = Loaded(found, None, False, lambda: "fp32", "", 0.0, dtypes)
    return ResidentSession(bound, loaded, "/CPU:0")


def right(place: int) -> Any:
    return np.maximum(FEEDS[place]["x"] @ normal(8, 3), 0)


@pytest.mark.parametrize("boundary", ["host", "device"])
def test_outputs_are_right_at_each_boundary(bound: BoundModel, boundary: str) -> None:
    session = session_of(bound)
    assert isinstance(session, Resident)
    session.at(boundary)
    for place in (0, 1, 0):
        found: Any = infer(session, FEEDS[place])["y"]
        np.testing.assert_allclose(found, right(place), rtol=1e-5, atol=1e-6)
    session.close()
    session.close()


def test_a_boundary_may_change_between_runs(bound: BoundModel) -> None:
    """What was bound before stays bound."""
    session = session_of(bound)
    session.bind(FEEDS[1])
    for boundary in ("device", "host", "device"):
        session.at(boundary)
        session.run()
        session.synchronize()
        found: Any = session.outputs()["y"]
        np.testing.assert_allclose(found, right(1), rtol=1e-5, atol=1e-6)


def test_arrays_are_made_and_tensors_moved_where_the_boundary_says(bound: BoundModel) -> None:
    """At ``host`` a run ends with arrays; at ``device`` it moves nothing and waits at its end."""
    seen: list[Any] = []
    traced = import_onnx(bound.path, bound.shapes).traced()

    def call(*given: Any) -> Any:
        seen.append(given[0])
        return traced(*given)

    session = session_of(bound, call)
    session.bind(FEEDS[0])
    session.run()
    session.run()
    assert seen[0] is not seen[1]
    assert all(isinstance(one, np.ndarray) for one in session._results)
    session.at("device")
    session.run()
    session.run()
    assert seen[2] is seen[3]
    assert all(tf.is_tensor(one) for one in session._results)


def test_only_the_device_boundary_waits_for_the_device(
    bound: BoundModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []
    session = session_of(bound)
    session.bind(FEEDS[0])
    monkeypatch.setattr(tf.test.experimental, "sync_devices", lambda: waits.append("wait"))
    session.run()
    session.synchronize()
    assert not waits
    session.at("device")
    waits.clear()
    session.run()
    session.synchronize()
    assert waits == ["wait"]


def test_there_are_no_events(bound: BoundModel) -> None:
    session = session_of(bound)
    for asked in (lambda: session.at("compute"), session.device_ns, lambda: session.at("moon")):
        with pytest.raises(UsageError, match="host"):
            asked()
    assert infer(session, FEEDS[0])


def test_an_input_that_stays_with_the_host_is_refused_at_the_device(
    bound: BoundModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As TensorFlow keeps int32 and text; a run would copy it each time, unseen."""
    session = session_of(bound)
    session.bind(FEEDS[0])
    monkeypatch.setattr(session, "_device", "/device:CPU:00")
    with pytest.raises(UsageError, match="keeps the input 'x' \\(float32\\) on CPU:0"):
        session.at("device")


def test_what_ran_where_it_should_is_told_as_none_elsewhere(bound: BoundModel) -> None:
    session = session_of(bound)
    infer(session, FEEDS[0])
    facts = session.facts()
    assert facts.fallback == Fallback(0, (), "CPU:0")
    assert facts.allocator_bytes is None


ELSEWHERE = """
import tensorflow as tf
from xbench.adapter import BoundModel, Fallback, TensorSpec
from xbench_adapters.tensorflow.resident import ResidentSession
from xbench_adapters.tensorflow.session import Loaded
import numpy as np
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
def mixed(x):
    with tf.device("/CPU:1"), tf.name_scope("here"):
        x = tf.nn.relu(x)
    with tf.device("/CPU:0"), tf.name_scope("there"):
        x = tf.linalg.det(x)
    with tf.device("/CPU:1"):
        return (x * 2,)
spec = [tf.TensorSpec([4, 4])]
whole = tf.function(mixed, input_signature=spec, autograph=False).get_concrete_function()
model = BoundModel(None, (TensorSpec("x", "float32", (4, 4)),), ("y",), {})
loaded = Loaded(whole, None, False, lambda: "fp32", "", 0.0, [None])
session = ResidentSession(model, loaded, "/CPU:1")
session.at("device")
session.bind({"x": np.eye(4, dtype=np.float32)})
for _ in range(2):
    session.run()
    session.synchronize()
assert session.outputs()["y"] == 2
found = session.facts().fallback
assert found == Fallback(1, ("there/MatrixDeterminant",), "CPU:0"), found
"""


def test_what_ran_elsewhere_is_counted_and_named() -> None:
    """In a process of its own: a CPU is made to look like two devices."""
    python(ELSEWHERE, TF_CPP_MIN_LOG_LEVEL="2")


def test_of_what_xla_compiles_the_results_tell_where_it_ran(bound: BoundModel) -> None:
    traced = import_onnx(bound.path, bound.shapes).traced()
    spec = [tf.TensorSpec([4, 8])]
    call = tf.function(lambda x: traced(x), input_signature=spec, autograph=False, jit_compile=True)
    for device, wanted in (("/CPU:0", Fallback(0, (), "CPU:0")), ("/GPU:0", None)):
        fresh = partial(call.get_concrete_function(), tf.constant(FEEDS[0]["x"]))
        found, fallback = placement.watched(fresh, device)
        assert fallback == wanted
        np.testing.assert_allclose(found[0].numpy(), right(0), rtol=1e-5, atol=1e-6)


def exhausted(where: str) -> Callable[..., Any]:
    def call(*_: Any) -> Any:
        said = f"OOM when allocating tensor on /job:localhost/replica:0/task:0/device:{where}"
        raise tf.errors.ResourceExhaustedError(None, None, said)

    return call


def test_too_little_memory_is_that_of_the_device_that_had_too_little(bound: BoundModel) -> None:
    for where, kind in (("GPU:0", DeviceMemoryError), ("CPU:0", MemoryError)):
        session = session_of(bound, exhausted(where))
        session.bind(FEEDS[0])
        with pytest.raises(kind, match="OOM"):
            session.run()
    loaded = Loaded(exhausted("CPU:0"), None, False, lambda: "fp32", "", 0.0, [None])
    plain = TensorFlowSession(bound, loaded)
    plain.bind(FEEDS[0])
    with pytest.raises(MemoryError):
        plain.run()
    assert isinstance(memory_error(ValueError("out of memory"), on_gpu=True), DeviceMemoryError)


NO_GPU = """
from xbench.adapter import Limits
from xbench.errors import BackendUnavailableError
from xbench_adapters.tensorflow import TensorFlowAdapter
try:
    TensorFlowAdapter().prepare(Limits(threads=1, device="cuda:0", uuid="GPU-1"))
except BackendUnavailableError as error:
    assert "tensorflow[and-cuda]" in str(error), error
else:
    raise AssertionError("it has no GPU")
"""


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_a_tensorflow_without_cuda_says_what_to_install() -> None:
    python(NO_GPU)


def test_a_tensorflow_that_finds_no_gpu_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    with pytest.raises(BackendUnavailableError, match=r"driver.*and-cuda"):
        process.prepare(GPU, backend="tensorflow", onednn=False)


def test_a_gpu_is_made_visible_and_its_memory_taken_as_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What TensorFlow is told, by its own calls: the first GPU of those that the process sees."""
    told: list[Any] = []
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["first", "second"])
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *given: told.append(given))
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda *given: told.append(given)
    )
    process.prepare(GPU, backend="tensorflow", onednn=False)
    assert told == [(["first"], "GPU"), ("first", True)]


def test_tf32_is_on_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xbench_adapters.tensorflow.unfolded.gpu_is_on", lambda: True)
    on = tf.config.experimental.tensor_float_32_execution_enabled
    try:
        for precision in ("tf32", "fp16", "tf32", "fp32"):
            process.hold(GPU, precision)
            assert on() == (precision == "tf32")
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(False)


def test_which_kernels_there_are_is_said_before_anything_is_loaded(bound: BoundModel) -> None:
    with pytest.raises(UsageError, match="onednn computes on CPUs"):
        TensorFlowAdapter("onednn").load(bound, GPU, "fp32")
    with pytest.raises(UsageError, match="sees no GPU"):
        TensorFlowAdapter().load(bound, GPU, "tf32")
    with pytest.raises(UsageError, match="fp8"):
        TensorFlowAdapter().load(bound, GPU, "fp8")
    assert TensorFlowAdapter.variant_kinds["onednn"] == {"cpu"}
    assert TensorFlowAdapter.kinds == {"cpu", "cuda"}
