"""TensorRT at its boundaries, on the double: what is copied, what is timed, and by whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.helper import make_node

from tests.adapters.tensorrt import double
from tests.adapters.tensorrt.double_nvml import MIG, UUID
from tests.adapters.tensorrt.double_state import COPY_NS, KERNEL_NS
from tests.adapters.tensorrt.test_adapter import INT64, graph, load
from xbench.adapter import BOUNDARIES, Limits, Resident
from xbench.errors import UsageError
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench_adapters.tensorrt import TensorRtAdapter
from xbench_adapters.tensorrt.gpu import CudaError

close: Any = np.testing.assert_allclose
COPY, WAIT, LAUNCH = "cudaMemcpyAsync", "cudaStreamSynchronize", "cudaGraphLaunch"
NOTE = "cudaEventRecord"


def asked(record: Path, session: Any) -> list[str]:
    """Return the calls of one timed inference."""
    before = len(double.calls(record))
    session.run()
    session.synchronize()
    return double.calls(record)[before:]


@pytest.mark.parametrize("variant", ["", "graph"])
def test_it_is_resident(tmp_path: Path, record: Path, variant: str) -> None:
    session = load(models.perceptron().write(tmp_path), variant)
    assert isinstance(session, Resident)
    with pytest.raises(UsageError, match=r"no boundary 'nowhere'.*host, device, compute"):
        session.at("nowhere")
    session.close()


def test_on_the_device_nothing_is_copied_in_a_run(tmp_path: Path, record: Path) -> None:
    """The inputs are brought when they are bound, the outputs fetched when they are asked for."""
    example = models.elementwise()
    session = load(example.write(tmp_path))
    session.at("device")
    before = len(double.calls(record))
    session.bind(example.feeds[1])
    assert double.calls(record)[before:] == [COPY, COPY, WAIT]

    assert asked(record, session) == ["execute_async_v3", WAIT]

    before = len(double.calls(record))
    for name, right in example.expected(1).items():
        close(session.outputs()[name], right, rtol=1e-5)
    assert double.calls(record)[before:] == [COPY] * 3 + [WAIT], "they are fetched once"
    session.close()


@pytest.mark.parametrize("variant", ["", "graph"])
def test_at_compute_the_gpu_times_the_kernels_alone(
    tmp_path: Path, record: Path, variant: str
) -> None:
    """By events of its own, which are noted in a run and not within a graph."""
    example = models.elementwise()
    session = load(example.write(tmp_path), variant)
    session.at("compute")
    infer(session, example.feeds[0])
    kernels = LAUNCH if variant else "execute_async_v3"

    assert asked(record, session) == [NOTE, kernels, NOTE, WAIT]
    assert session.device_ns() == KERNEL_NS
    session.close()


@pytest.mark.parametrize("variant", ["", "graph"])
def test_the_boundary_can_change_between_runs(tmp_path: Path, record: Path, variant: str) -> None:
    """Inputs that were bound before are those of the next run, and outputs are the last run's."""
    example = models.elementwise()
    session = load(example.write(tmp_path), variant)
    feed = 0
    for boundary in ("host", "device", "host", "compute", "device", "host"):
        session.at(boundary)
        close(infer(session, example.feeds[feed])["sum"], example.expected(feed)["sum"], rtol=1e-5)
        feed = 1 - feed
    session.bind(example.feeds[feed])
    session.at("device")
    session.run()
    session.synchronize()
    session.at("host")
    close(session.outputs()["sum"], example.expected(feed)["sum"], rtol=1e-5)
    session.close()


def test_each_side_has_a_graph_of_its_own(tmp_path: Path, record: Path) -> None:
    """The copies are in the host's, and neither is captured twice."""
    example = models.elementwise()
    session = load(example.write(tmp_path), "graph")
    for boundary in (*BOUNDARIES, *BOUNDARIES):
        session.at(boundary)
        infer(session, example.feeds[0])
    assert double.calls(record).count("cudaGraphInstantiate") == 2

    session.at("device")
    session.bind(example.feeds[1])
    assert asked(record, session) == [LAUNCH, WAIT]
    session.at("host")
    assert asked(record, session) == [LAUNCH, WAIT]
    close(session.outputs()["sum"], example.expected(1)["sum"], rtol=1e-5)
    session.close()


def test_a_shape_that_the_data_decides_is_known_on_the_device_too(
    tmp_path: Path, record: Path
) -> None:
    x = np.array([0.0, 3.0, 0.0, 5.0], np.float32)
    nodes = [make_node("NonZero", ["x"], ["y"], name="find")]
    session = load(graph(tmp_path, nodes, {"x": x}, {"y": (INT64, ("one", "found"))}))
    session.at("device")
    for values in (x, np.ones(4, np.float32)):
        np.testing.assert_array_equal(infer(session, {"x": values})["y"], np.nonzero(values))
    session.close()


def test_events_that_were_not_reached_tell_no_time(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before a run at ``compute`` nor before waiting for it: an error, never 0."""
    example = models.perceptron()
    session = load(example.write(tmp_path))
    infer(session, example.feeds[0])
    with pytest.raises(CudaError, match="cudaErrorNotReady"):
        session.device_ns()
    session.at("compute")
    session.run()
    with pytest.raises(CudaError, match="cudaErrorNotReady"):
        session.device_ns()
    session.synchronize()
    assert session.device_ns() == KERNEL_NS != KERNEL_NS + COPY_NS

    monkeypatch.setenv(double.FAULTS, json.dumps({NOTE: "cudaErrorIllegalAddress"}))
    with pytest.raises(CudaError, match="cudaErrorIllegalAddress"):
        session.run()
    monkeypatch.delenv(double.FAULTS)
    session.close()


@pytest.mark.parametrize(
    ("device", "uuid"), [("cuda:0", UUID), ("cuda:5", UUID), ("cuda:0", None), (MIG, MIG)]
)
def test_a_gpu_is_found_by_its_uuid_whatever_number_it_has(
    tmp_path: Path, record: Path, device: str, uuid: str | None
) -> None:
    """The worker sees it alone, so that CUDA's runtime counts it as 0."""
    limits = Limits(threads=1, device=device, uuid=uuid)
    adapter = TensorRtAdapter()
    adapter.prepare(limits)
    example = models.perceptron()
    session = adapter.load(example.write(tmp_path), limits, "fp32")
    close(infer(session, example.feeds[0])["y"], example.expected(0)["y"], rtol=1e-5)
    fallback = session.facts().fallback
    assert fallback is not None
    assert fallback.where == device
    session.close()


def test_a_uuid_that_the_driver_has_not_is_refused(tmp_path: Path, record: Path) -> None:
    limits = Limits(threads=1, device="cuda:0", uuid="GPU-dead")
    adapter = TensorRtAdapter()
    adapter.prepare(limits)
    with pytest.raises(UsageError, match="cuda:0 cannot be used: Not Found"):
        adapter.load(models.perceptron().write(tmp_path), limits, "fp32")
