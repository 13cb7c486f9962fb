"""ONNX Runtime's sessions on a GPU, as far as those on the CPU can stand for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapters.onnxruntime import double, graphs
from tests.adapters.onnxruntime.double import Gpu, Status
from tests.adapters.onnxruntime.on_gpu import EXAMPLE, LIMITS, facts_of, loaded, right
from xbench.adapter import Limits
from xbench.errors import BackendUnavailableError, DeviceMemoryError, UsageError
from xbench.testing.conformance import infer
from xbench_adapters.onnxruntime import OnnxRuntimeAdapter, arithmetic, cuda
from xbench_adapters.onnxruntime.options import CPU, CUDA
from xbench_adapters.onnxruntime.resident import ResidentSession


@pytest.mark.parametrize("boundary", ["host", "device", "compute"])
def test_outputs_are_right_at_every_boundary(gpu: Gpu, tmp_path: Path, boundary: str) -> None:
    """Though a run on our stream is not done before that is waited for."""
    session = loaded(tmp_path)
    session.at(boundary)
    for feed in (0, 1, 0):
        infer(session, EXAMPLE.feeds[feed])
        right(session, feed)
    session.close()


def test_a_run_on_the_device_copies_nothing(gpu: Gpu, tmp_path: Path) -> None:
    """Inputs are copied when they are bound, and waited for; a run is one call."""
    session = loaded(tmp_path)
    session.at("device")
    feeds = {name: array.copy() for name, array in EXAMPLE.feeds[0].items()}
    session.bind(feeds)
    assert gpu.calls[-2:] == ["copy", "synchronize_inputs"]
    feeds["x"][:] = 0
    gpu.calls.clear()
    session.run()
    session.synchronize()
    assert gpu.calls == ["run_with_iobinding", "cudaStreamSynchronize"]
    right(session, 0)
    session.close()


def test_inputs_may_lie_in_memory_in_any_order(gpu: Gpu, tmp_path: Path) -> None:
    session = loaded(tmp_path)
    session.at("device")
    infer(session, {name: np.asfortranarray(one) for name, one in EXAMPLE.feeds[0].items()})
    right(session, 0)
    session.close()


def test_events_enclose_the_run_on_its_stream(gpu: Gpu, tmp_path: Path) -> None:
    """They are on the stream that the provider was given, and are read once it is done."""
    session = loaded(tmp_path)
    options = gpu.sessions[0][0][0][1]
    assert options["has_user_compute_stream"] == "1"
    assert options["user_compute_stream"] == str(double.STREAM)
    session.at("compute")
    session.bind(EXAMPLE.feeds[0])
    gpu.calls.clear()
    session.run()
    assert gpu.queue, "the run has waited, and the second event with it"
    session.synchronize()
    record = "cudaEventRecord"
    assert gpu.calls == [record, "run_with_iobinding", record, "cudaStreamSynchronize"]
    assert session.device_ns() == double.ELAPSED_MS * 1e6
    session.close()


def test_without_bindings_the_provider_keeps_its_stream(
    without_bindings: Gpu, tmp_path: Path
) -> None:
    """Then each run waits by itself, and there are no device events."""
    session = loaded(tmp_path)
    assert "user_compute_stream" not in without_bindings.sessions[0][0][0][1]
    session.at("device")
    without_bindings.calls.clear()
    infer(session, EXAMPLE.feeds[0])
    right(session, 0)
    assert without_bindings.calls[-2:] == ["run_with_iobinding", "synchronize_outputs"]
    with pytest.raises(UsageError) as raised:
        session.at("compute")
    assert "pip install cuda-bindings" in raised.value.fix
    session.close()


@pytest.mark.parametrize(
    "words",
    [
        "/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 onnxruntime::BFCArena::"
        "AllocateRawInternal(size_t) Failed to allocate memory for requested buffer of size 8",
        "CUDA failure 2: out of memory ; GPU=0 ; hostname=h ; expr=cudaMalloc((void**)&p, size);",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; expr=cublasCreate(&handle);",
    ],
)
def test_a_full_gpu_is_told(gpu: Gpu, tmp_path: Path, words: str) -> None:
    """While a model is loaded, and while it runs, at any boundary."""
    for boundary in ("host", "device"):
        session = loaded(tmp_path)
        session.at(boundary)
        session.bind(EXAMPLE.feeds[0])
        gpu.failure = words
        with pytest.raises(DeviceMemoryError):
            session.run()
        gpu.failure = None
        session.close()
    gpu.failure = f"load:{words}"
    with pytest.raises(DeviceMemoryError):
        loaded(tmp_path)


def test_other_faults_stay_as_they_are(gpu: Gpu, tmp_path: Path) -> None:
    session = loaded(tmp_path)
    session.bind(EXAMPLE.feeds[0])
    gpu.failure = "CUDA failure 700: an illegal memory access was encountered ; GPU=0"
    with pytest.raises(RuntimeError, match="failure 700"):
        session.run()
    session.close()


def test_a_cuda_that_does_not_work_is_unavailable(gpu: Gpu, tmp_path: Path) -> None:
    gpu.faults = {"cudaSetDevice": Status.cudaErrorNoDevice}
    with pytest.raises(BackendUnavailableError, match="cudaErrorNoDevice"):
        loaded(tmp_path)


def test_events_are_given_back_once(gpu: Gpu) -> None:
    events = cuda.events()
    assert events is not None
    assert gpu.open == 3
    events.close()
    events.close()
    assert gpu.open == 0


def test_events_that_cannot_be_made_leave_nothing(gpu: Gpu, tmp_path: Path) -> None:
    gpu.faults = {"cudaEventCreate": Status.cudaErrorMemoryAllocation}
    with pytest.raises(DeviceMemoryError):
        loaded(tmp_path)


def test_nodes_on_the_cpu_are_counted_and_named(gpu: Gpu, tmp_path: Path) -> None:
    model = graphs.floats(tmp_path, graphs.FLOAT, cast=False)
    gpu.on_cpu = ("matmul",)
    adapter = OnnxRuntimeAdapter()
    session = adapter.load(model, LIMITS, "fp32")
    infer(session, graphs.feeds())
    fallback = session.facts().fallback
    assert fallback is not None
    assert (fallback.nodes, fallback.names, fallback.where) == (1, ("matmul",), CPU)
    session.close()


def test_facts_are_read_back(gpu: Gpu, tmp_path: Path) -> None:
    """Options as the provider holds them, copies between nodes, and what the arena held."""
    facts = facts_of(loaded(tmp_path))
    assert facts.precision == "fp32"
    assert facts.allocator_bytes == 2**20
    assert facts.options is not None
    for name, value in {
        "providers": f"{CUDA}, {CPU}",
        "use_tf32": "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "arena_extend_strategy": "kNextPowerOfTwo",
        "compute_stream": "xbench's",
        "memcpy_nodes": "1",
        "arithmetic": "fp32 3",
    }.items():
        assert facts.options[name] == value


def test_the_profile_is_of_the_same_session_without_our_stream(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream's address means nothing in another process."""
    jobs: list[Any] = []

    def ask(_: str, job: Any, *__: Any) -> Any:
        jobs.append(job)
        return {"kinds": {"fp16": 2, "fp32": 1}, "copies": 0, "arena_bytes": None}

    monkeypatch.setattr(arithmetic, "ask", ask)
    facts = facts_of(loaded(tmp_path, "fp16"))
    assert facts.precision == "fp16+fp32"
    (job,) = jobs
    asked = dict(gpu.sessions[0][0])[CUDA]
    left = {k: v for k, v in asked.items() if "stream" not in k or k.startswith("do_copy")}
    assert job["setup"]["providers"] == ((CUDA, left),)


def test_sessions_on_the_cpu_know_no_other_boundary(tmp_path: Path) -> None:
    session = OnnxRuntimeAdapter().load(EXAMPLE.write(tmp_path), Limits(1), "fp32")
    assert not isinstance(session, ResidentSession)
    session.close()
