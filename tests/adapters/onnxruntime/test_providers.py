"""The providers for GPUs: what they are told, and what comes of one that is not there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.adapters.onnxruntime import double
from tests.adapters.onnxruntime.double import Gpu
from tests.adapters.onnxruntime.on_gpu import LIMITS, OVERRIDE, facts_of, loaded
from xbench.adapter import Limits
from xbench.errors import UsageError
from xbench_adapters.onnxruntime import OnnxRuntimeAdapter, cuda
from xbench_adapters.onnxruntime.options import CPU, CUDA, TENSORRT


def driver(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    """Install a driver that knows one GPU by its UUID."""

    class NVMLError(Exception):
        pass

    def by_uuid(uuid: str) -> int:
        if uuid != LIMITS.uuid:
            raise NVMLError("Not Found")
        return 77

    told = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=by_uuid,
        nvmlDeviceGetCudaComputeCapability=lambda _: capability,
        nvmlDeviceGetName=lambda _: "NVIDIA Double",
        nvmlDeviceGetUUID=lambda _: LIMITS.uuid,
        nvmlSystemGetDriverVersion=lambda: "590.10",
    )
    monkeypatch.setitem(sys.modules, "pynvml", told)


def test_the_only_gpu_is_number_0(gpu: Gpu, tmp_path: Path) -> None:
    """The worker sees one, whatever the driver's number of it is; the fallback is off."""
    session = loaded(tmp_path)
    ((providers, others),) = gpu.sessions
    ((name, options),) = providers
    assert name == CUDA
    assert options["device_id"] == "0"
    assert others == {"enable_fallback": 0}
    assert gpu.calls[0] == "preload_dlls"
    session.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_tf32_is_off_unless_asked_for(gpu: Gpu, tmp_path: Path, precision: str) -> None:
    """By the provider's option, and for TensorRT, which has none, by NVIDIA's variable."""
    session = loaded(tmp_path, precision)
    assert gpu.sessions[0][0][0][1]["use_tf32"] == "0"
    assert os.environ[OVERRIDE] == "0"
    session.close()


def test_tf32_is_what_was_asked_for(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile calls it float; the option that the provider holds tells."""
    driver(monkeypatch, (9, 0))
    facts = facts_of(loaded(tmp_path, "tf32"))
    assert gpu.sessions[0][0][0][1]["use_tf32"] == "1"
    assert facts.precision == "tf32"
    assert OVERRIDE not in os.environ


@pytest.mark.parametrize(
    ("capability", "override", "words"), [((7, 5), None, "7.5"), ((9, 0), "0", OVERRIDE)]
)
def test_tf32_that_cannot_be_had_is_refused(
    gpu: Gpu,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    override: str | None,
    words: str,
) -> None:
    """It would silently be float32."""
    driver(monkeypatch, capability)
    if override:
        os.environ[OVERRIDE] = override
    with pytest.raises(UsageError, match=words):
        loaded(tmp_path, "tf32")


def test_a_gpu_that_the_driver_does_not_know_is_refused(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(monkeypatch, (9, 0))
    with pytest.raises(UsageError, match="cuda:1 cannot be used"):
        cuda.found(Limits(1, device="cuda:1", uuid="GPU-1"))


def test_a_provider_that_was_not_enabled_is_refused(gpu: Gpu, tmp_path: Path) -> None:
    """ONNX Runtime would compute on the CPU, and only log it."""
    gpu.enabled = (CPU,)
    with pytest.raises(UsageError, match="would run on CPUExecutionProvider") as raised:
        loaded(tmp_path)
    assert "onnxruntime-gpu" in raised.value.fix


def test_a_package_without_the_provider_is_refused(gpu: Gpu, tmp_path: Path) -> None:
    gpu.built = (CPU,)
    with pytest.raises(UsageError, match=f"has no {CUDA}") as raised:
        loaded(tmp_path)
    assert "onnxruntime-gpu" in raised.value.fix
    assert not gpu.sessions


def test_an_option_that_is_not_held_is_refused(gpu: Gpu, tmp_path: Path) -> None:
    gpu.held = {"use_tf32": "1"}
    with pytest.raises(UsageError, match="use_tf32"):
        loaded(tmp_path)


# TensorRT behind ONNX Runtime


def test_tensorrt_stands_before_cuda(gpu: Gpu, tmp_path: Path) -> None:
    """What it does not take, CUDA does, on the same stream; no engine of an earlier run is used."""
    session = loaded(tmp_path, variant="tensorrt")
    ((first, options), (second, others)) = gpu.sessions[0][0]
    assert (first, second) == (TENSORRT, CUDA)
    assert options["user_compute_stream"] == others["user_compute_stream"] == str(double.STREAM)
    assert others["use_tf32"] == "0"
    assert options["trt_engine_cache_enable"] == "0"
    session.close()


@pytest.mark.parametrize(
    ("precision", "allowed"),
    [("fp32", None), *((one, f"trt_{one}_enable") for one in ("fp16", "bf16", "int8"))],
)
def test_tensorrt_may_narrow_to_what_was_asked_for(
    gpu: Gpu, tmp_path: Path, precision: str, allowed: str | None
) -> None:
    """Its engines tell nothing: only where nothing else was allowed is the precision known."""
    facts = facts_of(loaded(tmp_path, precision, "tensorrt"))
    options = gpu.sessions[0][0][0][1]
    on = {name for name, value in options.items() if name.endswith("_enable") and value == "1"}
    assert on == ({allowed} if allowed else set())
    assert facts.precision == ("fp32" if precision == "fp32" else None)


def test_tensorrt_that_gives_way_to_cuda_is_refused(gpu: Gpu, tmp_path: Path) -> None:
    gpu.enabled = (CUDA, CPU)
    with pytest.raises(UsageError, match=TENSORRT) as raised:
        loaded(tmp_path, variant="tensorrt")
    assert "tensorrt" in raised.value.fix


def test_tensorrts_missing_libraries_are_told(gpu: Gpu, tmp_path: Path) -> None:
    """In the words of the package without them."""
    gpu.failure = (
        "load:/onnxruntime_src/onnxruntime/python/onnxruntime_pybind_state.cc:729 Please install "
        "TensorRT libraries as mentioned in the GPU requirements page"
    )
    with pytest.raises(UsageError, match="cannot load TensorRT") as raised:
        loaded(tmp_path, variant="tensorrt")
    assert "pip install" in raised.value.fix


# Where it can run


@pytest.mark.parametrize(
    ("variant", "device"), [("tensorrt", "cpu"), ("reference", "cuda:0"), ("", "cuda:x")]
)
def test_a_device_that_a_variant_has_not_is_refused(variant: str, device: str) -> None:
    with pytest.raises(UsageError, match="device"):
        OnnxRuntimeAdapter(variant).load(
            SimpleNamespace(path=Path(), symbols={}),  # type: ignore[arg-type]
            Limits(1, device=device),
            "fp32",
        )


def test_devices_are_those_of_the_package_and_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the provider's library a GPU is of no use; nothing is imported to find out."""
    monkeypatch.setattr("xbench_adapters.tensorrt.gpu.count", lambda: (2, None))
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(cuda, "find_spec", lambda _: spec)
    assert OnnxRuntimeAdapter().available().devices == ("cpu",)
    assert "onnxruntime-gpu" in str(OnnxRuntimeAdapter("tensorrt").available().fix)
    (tmp_path / "capi").mkdir()
    for provider in ("cuda", "tensorrt"):
        (tmp_path / f"capi/libonnxruntime_providers_{provider}.so").touch()
    assert OnnxRuntimeAdapter().available().devices == ("cpu", "cuda:0", "cuda:1")
    assert OnnxRuntimeAdapter("tensorrt").available().devices == ("cuda:0", "cuda:1")
    assert OnnxRuntimeAdapter("reference").available().devices == ("cpu",)


def test_a_provider_without_tensorrt_behind_it_is_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package has the provider's library wherever it has CUDA's; TensorRT is not in it."""
    monkeypatch.setattr("xbench_adapters.tensorrt.gpu.count", lambda: (1, None))
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(cuda, "find_spec", lambda name: spec if name == "onnxruntime" else None)
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi/libonnxruntime_providers_tensorrt.so").touch()
    for library, there in ((None, False), ("libnvinfer.so.10", True)):
        monkeypatch.setattr(cuda, "find_library", lambda _, found=library: found)
        found = OnnxRuntimeAdapter("tensorrt").available()
        assert (found.version is not None) is there
        assert ("TensorRT" in str(found.reason)) is not there
