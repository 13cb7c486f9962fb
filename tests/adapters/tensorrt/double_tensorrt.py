"""The part of TensorRT's bindings that builds an engine; all of it is importable from here.

What is built from stands in `double_network`, and what an engine does in `double_engine`.
"""

# ruff: noqa: A002 -- the names are TensorRT's
from __future__ import annotations

import json
from enum import Enum, IntEnum

from tests.adapters.tensorrt import double
from tests.adapters.tensorrt.double import recorded
from tests.adapters.tensorrt.double_engine import (
    MAGIC,
    DataType,
    ICudaEngine,
    IExecutionContext,
    IOutputAllocator,
    Runtime,
    TensorIOMode,
    TensorLocation,
)
from tests.adapters.tensorrt.double_network import (
    ErrorCode,
    ILayer,
    INetworkDefinition,
    ITensor,
    LayerType,
    OnnxParser,
    ParserError,
)

__all__ = [
    "Builder",
    "BuilderFlag",
    "DataType",
    "ErrorCode",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILayer",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IOutputAllocator",
    "ITensor",
    "ITimingCache",
    "LayerType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "Runtime",
    "TensorIOMode",
    "TensorLocation",
    "init_libnvinfer_plugins",
]

TIMINGS = b"timings of the double: "


class BuilderFlag(Enum):
    """The only one that the adapter sets."""

    TF32 = 0


class NetworkDefinitionCreationFlag(IntEnum):
    """The only one that the adapter sets, with TensorRT's number."""

    STRONGLY_TYPED = 1


class ILogger:
    """Who is told; a subclass says what it does with that."""

    class Severity(Enum):
        """How bad it is."""

        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    INTERNAL_ERROR = Severity.INTERNAL_ERROR
    ERROR = Severity.ERROR
    WARNING = Severity.WARNING
    INFO = Severity.INFO
    VERBOSE = Severity.VERBOSE

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IHostMemory(bytes):
    """What was serialised."""


class IOptimizationProfile:
    """The shapes that an engine takes."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    @recorded
    def set_shape(
        self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]
    ) -> None:
        assert min == opt == max, "more than the shapes that were asked for"
        self.shapes[input] = opt


class ITimingCache:
    """What kernels took."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> IHostMemory:
        return IHostMemory(self.content or TIMINGS + b"all of them")


class IBuilderConfig:
    """How an engine is to be built."""

    builder_optimization_level = 3

    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}  # on by default, in both versions
        self.profiles: list[IOptimizationProfile] = []

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def get_flag(self, flag: BuilderFlag) -> bool:
        return flag in self.flags

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        double.note(f"create_timing_cache({len(serialized_timing_cache)} bytes)")
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "timings of another GPU"
        return not cache.content or cache.content.startswith(TIMINGS)


class Builder:
    """Builds what is needed to run ``onnx.reference``."""

    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    @recorded
    def create_network(self, flags: int = 0) -> INetworkDefinition:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    @recorded
    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        if said := double.fault("build_serialized_network"):
            self._logger.log(ILogger.ERROR, said)
            return None
        shapes = config.profiles[0].shapes if config.profiles else {}
        for place in range(network.num_inputs):
            tensor = network.get_input(place)
            if -1 in tensor.shape and tensor.name not in shapes:
                self._logger.log(ILogger.ERROR, f"{tensor.name}: no optimization profile")
                return None
        about = {"shapes": shapes, "tf32": BuilderFlag.TF32 in config.flags}
        content = network.model.SerializeToString()
        return IHostMemory(MAGIC + json.dumps(about).encode() + b"\0" + content)


@recorded
def init_libnvinfer_plugins(logger: ILogger, namespace: str) -> bool:
    return namespace == ""
