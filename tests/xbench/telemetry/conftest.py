"""What the tests of energy share: a simulated GPU driver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.xbench.telemetry.nvml_sim import SimulatedNvml, build, point_pynvml_at


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the simulated library's path."""
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def simulated_nvml(
    nvml_library: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], SimulatedNvml]:
    """Return what makes a driver with that many GPUs, which nvidia-ml-py then finds."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    point_pynvml_at(nvml_library, monkeypatch)
    return lambda gpus: SimulatedNvml(nvml_library, gpus)
