"""ONNX Runtime on a GPU: what every adapter passes, and what only a GPU can show.

`scripts/gpu-check` runs it; `docs/evidence` has what it said on an H100.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapters.onnxruntime import graphs
from xbench.adapter import Limits
from xbench.errors import UsageError
from xbench.testing import models
from xbench.testing.conformance import AdapterConformance, infer
from xbench_adapters.onnxruntime import OnnxRuntimeAdapter

LIMITS = Limits(threads=1, device="cuda:0")
HELD = "cuda:0" in OnnxRuntimeAdapter().available().devices
ABSENT = "onnxruntime-gpu and an NVIDIA GPU with its driver are needed"
NO_TENSORRT = OnnxRuntimeAdapter("tensorrt").available().reason

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not HELD, reason=ABSENT)]


class TestOnnxRuntimeCuda(AdapterConformance):
    adapter = OnnxRuntimeAdapter
    limits = LIMITS


@pytest.mark.slow  # engines are built
@pytest.mark.skipif(NO_TENSORRT is not None, reason=str(NO_TENSORRT))
class TestOnnxRuntimeTensorRt(AdapterConformance):
    adapter = OnnxRuntimeAdapter
    variant = "tensorrt"
    limits = LIMITS


def loaded(model: Any, precision: str = "fp32") -> Any:
    adapter = OnnxRuntimeAdapter()
    adapter.prepare(LIMITS)
    return adapter.load(model, LIMITS, precision)


def test_a_convolution_runs_on_the_gpu(tmp_path: Path) -> None:
    """All of it: nothing falls back, and nothing is copied between nodes."""
    example = models.convolution()
    session = loaded(example.write(tmp_path))
    infer(session, example.feeds[0])
    facts = session.facts()
    session.close()
    assert facts.fallback is not None
    assert facts.fallback.nodes == 0
    assert facts.precision == "fp32"
    assert facts.options is not None
    assert facts.options["use_tf32"] == "0"
    assert facts.options["memcpy_nodes"] == "0"


def test_half_precision_is_computed_in_halves(tmp_path: Path) -> None:
    """What the profile says agrees with the error of the outputs."""
    model = graphs.floats(tmp_path, graphs.HALF)
    session = loaded(model, "fp16")
    output: Any = infer(session, graphs.feeds())["y"]
    facts = session.facts()
    session.close()
    on_cpu = OnnxRuntimeAdapter().load(model, Limits(1), "fp16")
    right: Any = infer(on_cpu, graphs.feeds())["y"]
    on_cpu.close()
    error: Any = np.abs(output - right).max() / np.abs(right).max()
    assert facts.precision == "fp16"
    assert 1e-7 < error < 2e-2


def test_integers_of_the_file_are_told_as_what_they_are_computed_in(tmp_path: Path) -> None:
    """The CUDA provider has few integer kernels; between Q and DQ its own are of floats."""
    session = loaded(graphs.quantised(tmp_path, whole=True), "int8")
    infer(session, graphs.feeds())
    assert session.facts().precision in ("fp32", "int8+fp32", "int8")
    session.close()


def test_device_events_and_the_clock_agree(tmp_path: Path) -> None:
    """The time between events is some of that of the whole run."""
    from time import perf_counter_ns

    example = models.work(width=2048)
    session = loaded(example.write(tmp_path))
    session.at("compute")
    session.bind(example.feeds[0])
    for _ in range(5):
        session.run()
        session.synchronize()
    start = perf_counter_ns()
    session.run()
    session.synchronize()
    wall_ns = perf_counter_ns() - start
    assert 0 < session.device_ns() <= wall_ns
    session.close()


def test_an_output_whose_shape_the_data_decides_stays_at_the_host(tmp_path: Path) -> None:
    session = loaded(graphs.counted(tmp_path))
    for array, count in (([1, 0, 0, 2], 2), ([1, 1, 1, 1], 4)):
        assert infer(session, {"x": np.array(array, np.float32)})["y"].shape == (1, count)
    session.at("device")
    infer(session, {"x": np.array([1, 0, 0, 2], np.float32)})
    session.bind({"x": np.ones(4, np.float32)})
    with pytest.raises(UsageError):
        session.run()
    session.close()
