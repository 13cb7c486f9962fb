"""PyTorch on a GPU: what every adapter passes, and what only a GPU can show.

`scripts/gpu-check` runs it; `docs/evidence` has what it said on an H100.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.adapters.pytorch.narrow import IMAGE, network, saved
from xbench.adapter import BoundModel, Limits, Native, TensorSpec
from xbench.errors import DeviceMemoryError
from xbench.testing.conformance import AdapterConformance, infer
from xbench_adapters.pytorch import PyTorchAdapter, precision

LIMITS = Limits(threads=1, device="cuda:0")
ABSENT = "a build of PyTorch for CUDA and an NVIDIA GPU with its driver are needed"
SHARE = {"fp32": 1e-5, "tf32": 2e-3, "fp16": 2e-3, "bf16": 2e-2}  # of the largest output
VARIANTS = ["", "graph"]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason=ABSENT),
]


class TestPyTorchCuda(AdapterConformance):
    adapter = PyTorchAdapter
    limits = LIMITS


class TestPyTorchCudaGraph(AdapterConformance):
    adapter = PyTorchAdapter
    variant = "graph"
    limits = LIMITS


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="inductor needs Triton")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # in what inductor imports
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning")  # they are held off
class TestPyTorchCudaCompiled(AdapterConformance):
    adapter = PyTorchAdapter
    variant = "compile"
    limits = LIMITS


@pytest.fixture(autouse=True)
def held() -> Iterator[None]:
    """Have every test begin and end with true fp32: these settings are the process's."""
    precision.hold(tf32=False)
    yield
    precision.hold(tf32=False)


def loaded(given: BoundModel, asked: str = "fp32", variant: str = "") -> Any:
    adapter = PyTorchAdapter(variant)
    adapter.prepare(LIMITS)
    return adapter.load(given, LIMITS, asked)


def wanted(folder: Path) -> Any:
    """Return what the network gives on the CPU, in float32."""
    given = saved(network("fp32"), folder, "cpu.onnx")
    session = PyTorchAdapter().load(given, Limits(threads=1), "fp32")
    return infer(session, {"x": IMAGE})["y"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("asked", ["fp32", "tf32", "fp16", "bf16"])
def test_each_precision_is_computed_and_told(asked: str, variant: str, tmp_path: Path) -> None:
    """TF32 is asked of a file in float32, on GPUs that have it."""
    if asked == "tf32" and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    given = saved(network("fp32" if asked == "tf32" else asked), tmp_path)
    session = loaded(given, asked, variant)
    found = infer(session, {"x": IMAGE})["y"]
    facts = session.facts()
    session.close()
    assert facts.precision == asked
    right = wanted(tmp_path)
    assert np.abs(found - right).max() <= SHARE[asked] * np.abs(right).max()


def test_tf32_rounds_and_fp32_does_not() -> None:
    """As the outputs of products show, not only the settings."""
    gpu = torch.device("cuda:0")
    assert precision.probed(gpu, precision.SIDE["cuda"]) == "fp32"
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    precision.hold(tf32=True)
    assert precision.probed(gpu, precision.SIDE["cuda"]) == "tf32"


def test_autocast_is_seen(tmp_path: Path) -> None:
    session = loaded(saved(network("fp32"), tmp_path), "bf16", "autocast")
    found = infer(session, {"x": IMAGE})["y"]
    assert found.dtype == np.float32
    assert session.facts().precision == "bf16"


@pytest.mark.parametrize("variant", VARIANTS)
def test_events_see_less_than_the_wall(variant: str, tmp_path: Path) -> None:
    """The device's own time is above nothing, and within that of a run that was waited for."""
    from time import perf_counter_ns

    session = loaded(saved(network("fp32"), tmp_path), "fp32", variant)
    session.at("compute")
    session.bind({"x": IMAGE})
    for _ in range(3):
        session.run()
        session.synchronize()
    start_ns = perf_counter_ns()
    session.run()
    session.synchronize()
    wall_ns = perf_counter_ns() - start_ns
    assert 0 < session.device_ns() <= wall_ns


def test_the_row_names_the_gpu_and_its_settings(tmp_path: Path) -> None:
    session = loaded(saved(network("fp32"), tmp_path))
    infer(session, {"x": IMAGE})
    facts = session.facts()
    assert facts.options["gpu"] == torch.cuda.get_device_name()
    assert facts.options["cudnn_benchmark"] == "True"
    assert {facts.options[part] for part in precision.NVIDIA} == {"ieee"}
    assert facts.allocator_bytes > 0


class Waits(nn.Module):
    """Looks at a value on the way, which no capture can."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if bool(x.sum() > 0) else x


class Huge(nn.Module):
    """Wants more memory than any GPU has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(1 << 50)


def waits() -> Any:
    return Waits(), {"x": torch.zeros(IMAGE.shape)}


def huge() -> Any:
    return Huge(), {"x": torch.zeros(IMAGE.shape)}


def own(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> BoundModel:
    monkeypatch.setitem(sys.modules, "gpu_natives", sys.modules[__name__])
    given = saved(network("fp32"), folder)
    specs = (TensorSpec("x", "float32", IMAGE.shape),)
    native = Native("pytorch", "factory", f"gpu_natives:{name}")
    return replace(given, inputs=specs, native=native)


def test_the_users_module_runs_on_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = loaded(own("waits", tmp_path, monkeypatch))
    np.testing.assert_array_equal(infer(session, {"x": abs(IMAGE)})["y"], abs(IMAGE) * 2)


def test_what_is_too_large_is_a_device_memory_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = loaded(own("huge", tmp_path, monkeypatch))
    with pytest.raises(DeviceMemoryError, match="out of memory"):
        infer(session, {"x": IMAGE})


def test_what_looks_at_its_values_is_not_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: a capture that failed leaves CUDA in an unknown state."""
    import subprocess

    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "import pytest\n"
        "from tests.adapters.pytorch import test_gpu\n"
        "from xbench.errors import UsageError\n"
        "with pytest.MonkeyPatch.context() as patch, pytest.raises(UsageError):\n"
        "    given = test_gpu.own('waits', Path(sys.argv[1]), patch)\n"
        "    session = test_gpu.loaded(given, 'fp32', 'graph')\n"
        "    test_gpu.infer(session, {'x': test_gpu.IMAGE})\n"
        "print('refused')"
    )
    root = Path(__file__).parents[3]
    paths = [str(root / part) for part in (".", "adapters", "models")]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *paths], capture_output=True, text=True
    )
    assert done.stdout.split() == ["refused"], done.stderr
