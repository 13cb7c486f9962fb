"""What the adapter asks of TensorRT and of CUDA exists in the bindings that NVIDIA publishes.

Besides, the double has nothing that the bindings lack: what is tested on it can be called.
"""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import xbench_adapters.tensorrt
from tests.adapters.tensorrt import bindings, double_cuda, double_engine, double_tensorrt
from tests.adapters.tensorrt.bindings import Surface
from tests.adapters.tensorrt.usage import Use, signatures, takes, uses

ADAPTER = Path(xbench_adapters.tensorrt.__file__).parent
TENSORRT = {
    "10, its first": ("tensorrt-cu12-bindings", "10.1.0"),
    "10, its last": ("tensorrt-cu13-bindings", "10.16.1.11"),
    "11": ("tensorrt-cu13-bindings", "11.4.0.106"),
}
CUDA = {
    "12, its first": ("cuda-bindings", "12.8.0"),
    "12, its last": ("cuda-bindings", "12.9.10"),
    "13": ("cuda-bindings", "13.5.0"),
}

# Called by TensorRT, not by us: they are named where it documents how to derive from the class.
CALLED_BACK = {("ILogger", "log"), ("IOutputAllocator", "reallocate_output_async")}
CALLED_BACK |= {("IOutputAllocator", "notify_shape")}

# Kinds of layers that networks of the first versions cannot have.
SINCE_10_LAST = {"ATTENTION_OUTPUT", "DYNAMIC_QUANTIZE", "SQUEEZE", "UNSQUEEZE"}

# Of the double alone: what its parts know of one another, and how they are filled.
OF_THE_DOUBLE = {
    "INetworkDefinition": {"fill", "model"},
    "ICudaEngine": {"takes", "model", "about", "logger"},
    "ITimingCache": {"content"},
    "IBuilderConfig": {"profiles"},
    "IOptimizationProfile": {"shapes"},
}


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what wheels told, unless pytest was told to keep nothing."""
    kept = getattr(request.config, "cache", None)
    return Path(kept.mkdir("tensorrt-bindings")) if kept else tmp_path_factory.mktemp("bindings")


@pytest.fixture(scope="module", params=TENSORRT)
def tensorrt(request: pytest.FixtureRequest, cache: Path) -> Surface:
    """Return what one version of TensorRT's bindings has."""
    package, version = TENSORRT[request.param]
    return bindings.surface(package, version, "tensorrt_bindings", cache)


@pytest.fixture(scope="module", params=CUDA)
def cuda(request: pytest.FixtureRequest, cache: Path) -> Surface:
    """Return what one version of CUDA's bindings has."""
    package, version = CUDA[request.param]
    return bindings.surface(package, version, "cuda.bindings.runtime", cache)


def of_class(surface: Surface, owner: str, name: str) -> Any:
    """Return a member of a class, or of the module: ``BuilderFlag.TF32``; None if it has none."""
    if owner in ("tensorrt", "cuda"):
        first, *rest = name.split(".")
        found = surface.get(first)
        for one in rest:
            found = (found or {}).get("inside", {}).get(one)
        return found
    return (surface[owner]["inside"] or {}).get(name)


def wrong(surface: Surface, found: list[Use]) -> list[str]:
    """Return what does not exist, or cannot be called in that way."""
    problems = []
    for use in found:
        thing = of_class(surface, use.owner, use.name)
        said = f"{use.where} {use.owner}.{use.name}"
        if thing is None:
            problems.append(f"{said} does not exist")
        elif use.positional is not None and not takes(forms := signatures(thing), use):
            problems.append(f"{said} is called with {use.positional} {use.keywords}: {forms}")
    return problems


def test_all_that_is_asked_of_tensorrt_exists(tensorrt: Surface) -> None:
    """Every class, method, enumeration and flag, with as many arguments as it takes."""
    found = [use for use in uses(ADAPTER, tensorrt) if use.owner != "cuda"]
    assert wrong(tensorrt, found) == []
    named = {(use.owner, use.name) for use in found}
    for expected in (
        ("BuilderFlag", "TF32"),
        ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        ("tensorrt", "init_libnvinfer_plugins"),
        ("Builder", "build_serialized_network"),
        ("IBuilderConfig", "set_timing_cache"),
        ("IOptimizationProfile", "set_shape"),
        ("OnnxParser", "parse_from_file"),
        ("OnnxParser", "num_errors"),
        ("ParserError", "node_operator"),
        ("INetworkDefinition", "get_layer"),
        ("ILayer", "get_output"),
        ("ITensor", "is_shape_tensor"),
        ("ITimingCache", "serialize"),
        ("Runtime", "deserialize_cuda_engine"),
        ("ICudaEngine", "get_tensor_location"),
        ("ICudaEngine", "device_memory_size_v2"),
        ("IExecutionContext", "execute_async_v3"),
        ("IExecutionContext", "set_tensor_address"),
    ):
        assert expected in named, f"{expected} is used, and was not found in the source"


def test_all_that_is_asked_of_cuda_exists(cuda: Surface) -> None:
    """Every function and constant, with as many arguments as it takes."""
    found = [use for use in uses(ADAPTER, {}) if use.owner == "cuda"]
    assert wrong(cuda, found) == []
    named = {use.name for use in found}
    assert {"cudaMemcpyAsync", "cudaGraphLaunch", "cudaStreamNonBlocking"} <= named
    assert "cudaMemcpyKind.cudaMemcpyHostToDevice" in named


def test_a_call_that_does_not_exist_would_be_found(cache: Path, tmp_path: Path) -> None:
    """The reading of the source is no formality: faults planted in it are seen."""
    surface = bindings.surface(*TENSORRT["11"], "tensorrt_bindings", cache)
    source = (ADAPTER / "build.py").read_text()
    faults = {
        "trt.BuilderFlag.TF32": "trt.BuilderFlag.FP16",
        "builder.create_builder_config()": "builder.create_configuration()",
        "config.clear_flag(trt.BuilderFlag.TF32)": "config.clear_flag()",
        "ignore_mismatch=False": "mismatch=False",
        "layer.num_outputs": "layer.outputs",
    }
    for right, fault in faults.items():
        assert right in source
        (tmp_path / "build.py").write_text(source.replace(right, fault))
        assert len(wrong(surface, uses(tmp_path, surface))) >= 1, fault


def test_what_tensorrt_calls_is_spelled_as_it_calls_it(tensorrt: Surface) -> None:
    """A subclass's method of another name would never be called, and nobody would say so."""
    source = "".join(path.read_text() for path in ADAPTER.glob("*.py"))
    for owner, name in CALLED_BACK:
        assert f"def {name}(self" in source
        assert f"def {name}(self" in tensorrt[owner]["doc"]


def test_tf32_is_on_unless_it_is_cleared(tensorrt: Surface) -> None:
    """What the adapter clears for fp32 is still what these versions set by themselves."""
    documented = tensorrt["BuilderFlag"]["inside"]["TF32"]["doc"]
    (line,) = (line for line in documented.splitlines() if line.strip().startswith("TF32 :"))
    assert line.rstrip().endswith("Enabled by default.")


def test_types_are_known_by_their_names(tensorrt: Surface) -> None:
    """The names of element types and of kinds of layers, which the adapter has as text."""
    from xbench_adapters.tensorrt.build import MOVES, PRODUCTS
    from xbench_adapters.tensorrt.types import FLOATS, NUMPY

    for enumeration, names in (
        ("DataType", {*NUMPY, *FLOATS}),
        ("LayerType", {*PRODUCTS, *MOVES} - SINCE_10_LAST),
        ("ErrorCode", {"MODEL_DESERIALIZE_FAILED", "MEM_ALLOC_FAILED"}),
    ):
        assert names <= set(tensorrt[enumeration]["inside"]), enumeration


def classes(module: Any) -> dict[str, type[Any]]:
    """Return the classes of a double that stand for one of the bindings'."""
    return {n: getattr(module, n) for n in dir(module) if isinstance(getattr(module, n), type)}


def test_tensorrts_double_has_nothing_that_tensorrt_lacks(tensorrt: Surface) -> None:
    """Its methods take parameters of the same names."""
    for name in double_tensorrt.__all__:
        kind = getattr(double_tensorrt, name)
        assert name in tensorrt, name
        if not isinstance(kind, type):
            continue
        if issubclass(kind, Enum):
            assert set(kind.__members__) <= set(tensorrt[name]["inside"]), name
            continue
        own = {n: m for n, m in vars(kind).items() if n[0] != "_"}
        for member, thing in own.items():
            if member in OF_THE_DOUBLE.get(name, ()) or (name, member) in CALLED_BACK:
                continue
            real = tensorrt[name]["inside"].get(member)
            assert real is not None, f"{name}.{member}"
            if inspect.isfunction(thing) and (forms := signatures(real)):
                wanted = list(inspect.signature(thing).parameters)[1:]
                spelled = [[one.rstrip("=") for one in form] for form in forms]
                assert any(form[: len(wanted)] == wanted for form in spelled), (name, member, forms)


def test_cudas_double_has_nothing_that_cuda_lacks(cuda: Surface) -> None:
    """Its functions take parameters of the same names, and its numbers are CUDA's."""
    for name in dir(double_cuda):
        if not name.startswith("cuda"):
            continue
        thing = getattr(double_cuda, name)
        assert name in cuda, name
        if isinstance(thing, type) and issubclass(thing, Enum):
            for member in thing:
                assert cuda[name]["inside"][member.name]["number"] == member.value
        elif inspect.isfunction(thing):
            (form,) = signatures(cuda[name])
            assert list(inspect.signature(thing).parameters) == form, name
    assert cuda["cudaStreamNonBlocking"]["number"] == double_cuda.cudaStreamNonBlocking


def test_the_doubles_engine_is_part_of_it() -> None:
    """Every class that stands for one of TensorRT's is held against it."""
    own = {n for n, k in classes(double_engine).items() if k.__module__ == double_engine.__name__}
    assert own <= set(double_tensorrt.__all__)
