"""The part of TensorRT's bindings that runs an engine, on the streams of `double_cuda`."""

from __future__ import annotations

import json
import math
from enum import Enum
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype
from onnx.reference import ReferenceEvaluator

from tests.adapters.tensorrt import double
from tests.adapters.tensorrt.double import recorded
from tests.adapters.tensorrt.double_state import KERNEL_NS, STATE

MAGIC = b"engine of the double: "
SIZED_BY_DATA = {"NonZero"}


class DataType(Enum):
    """Element types: ONNX's number, and bytes."""

    FLOAT = TensorProto.FLOAT, 4
    HALF = TensorProto.FLOAT16, 2
    BF16 = TensorProto.BFLOAT16, 2
    INT8 = TensorProto.INT8, 1
    INT32 = TensorProto.INT32, 4
    INT64 = TensorProto.INT64, 8
    BOOL = TensorProto.BOOL, 1
    UINT8 = TensorProto.UINT8, 1


def data_type(elem_type: int) -> DataType:
    """Return TensorRT's type for ONNX's; float64 is narrowed without a word."""
    narrowed = TensorProto.FLOAT if elem_type == TensorProto.DOUBLE else elem_type
    return next(one for one in DataType if one.value[0] == narrowed)


class TensorIOMode(Enum):
    """Which end of an engine a tensor is at."""

    INPUT = 1
    OUTPUT = 2


class TensorLocation(Enum):
    """Where a tensor lies."""

    DEVICE = 0
    HOST = 1


class IOutputAllocator:
    """Who gives memory for an output whose shape the data decides."""

    def reallocate_output_async(
        self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
    ) -> int:
        raise NotImplementedError

    def notify_shape(self, tensor_name: str, shape: tuple[int, ...]) -> None:
        raise NotImplementedError


class Runtime:
    """Reads engines."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    @recorded
    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        if not serialized_engine.startswith(MAGIC):
            self._logger.log(self._logger.ERROR, "Magic tag does not match")
            return None
        about, _, content = serialized_engine.removeprefix(MAGIC).partition(b"\0")
        return ICudaEngine(ModelProto.FromString(content), json.loads(about), self._logger)


class ICudaEngine:
    """A model that was built, with the shapes that it takes."""

    device_memory_size_v2 = 4096

    def __init__(self, model: ModelProto, about: dict[str, Any], logger: Any) -> None:
        self.model, self.about, self.logger = model, about, logger
        constants = {one.name for one in model.graph.initializer}
        self._inputs = [v for v in model.graph.input if v.name not in constants]
        self._values = {v.name: v for v in (*self._inputs, *model.graph.output)}
        self.num_io_tensors, self.num_layers = len(self._values), len(model.graph.node)

    def get_tensor_name(self, index: int) -> str:
        return str(list(self._values)[index])

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        taken = name in [value.name for value in self._inputs]
        return TensorIOMode.INPUT if taken else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return data_type(self._values[name].type.tensor_type.elem_type)

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.HOST if name == "on_host" else TensorLocation.DEVICE

    @recorded
    def create_execution_context(self) -> IExecutionContext | None:
        if said := double.fault("create_execution_context"):
            self.logger.log(self.logger.ERROR, said)
            return None
        return IExecutionContext(self)

    def takes(self, name: str, shape: tuple[int, ...]) -> bool:
        """Return whether an input may have a shape: the file's own, or the profile's."""
        if wanted := self.about["shapes"].get(name):
            return tuple(wanted) == tuple(shape)
        dims = self._values[name].type.tensor_type.shape.dim
        return tuple(dim.dim_value for dim in dims) == tuple(shape)


class IExecutionContext:
    """An engine at work; it computes on the stream, and only reads and writes the GPU's memory."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine, self._evaluator = engine, ReferenceEvaluator(engine.model)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, IOutputAllocator] = {}
        self._names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
        self._ran = False

    def _ends(self, mode: TensorIOMode) -> list[str]:
        return [name for name in self._names if self._engine.get_tensor_mode(name) is mode]

    def _dtype(self, name: str) -> Any:
        return np.dtype(tensor_dtype_to_np_dtype(self._engine.get_tensor_dtype(name).value[0]))

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = tuple(shape)
        return self._engine.takes(name, shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert isinstance(memory, int)
        assert memory % 256 == 0, "TensorRT wants memory aligned to 256 bytes"
        self._addresses[name] = memory
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name in self._ends(TensorIOMode.INPUT) if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        zeros = {n: np.zeros(shape, self._dtype(n)) for n, shape in self._shapes.items()}
        shape = dict(zip(self._ends(TensorIOMode.OUTPUT), self._run(zeros), strict=True))[
            name
        ].shape
        sized = any(node.op_type in SIZED_BY_DATA for node in self._engine.model.graph.node)
        return (-1,) * len(shape) if sized else tuple(shape)

    def get_max_output_size(self, name: str) -> int:
        elements = sum(math.prod(shape) * len(shape) for shape in self._shapes.values())
        return int(elements * self._dtype(name).itemsize)

    def set_output_allocator(self, name: str, output_allocator: IOutputAllocator) -> bool:
        self._allocators[name] = output_allocator
        return True

    @recorded
    def execute_async_v3(self, stream_handle: int) -> bool:
        assert isinstance(stream_handle, int)
        stream = STATE.streams[stream_handle]
        if said := double.fault("execute_async_v3"):
            self._engine.logger.log(self._engine.logger.ERROR, said)
            return False
        if stream.captured is not None and (self._allocators or not self._ran):
            self._engine.logger.log(self._engine.logger.ERROR, "this cannot be captured")
            return False
        self._ran = True
        stream.add(lambda: self._compute(stream_handle))
        if self._allocators:  # the shapes must be known before it returns
            while stream.queue:
                stream.queue.pop(0)()
        return True

    def _compute(self, stream_handle: int) -> None:
        STATE.now_ns += KERNEL_NS
        feeds = {name: self._read(name) for name in self._ends(TensorIOMode.INPUT)}
        outputs = self._run(feeds)
        for name, array in zip(self._ends(TensorIOMode.OUTPUT), outputs, strict=True):
            if allocator := self._allocators.get(name):
                took = allocator.reallocate_output_async(name, 0, array.nbytes, 256, stream_handle)
                self._addresses[name] = took
                allocator.notify_shape(name, array.shape)
            kind = self._kind(name)
            memory = STATE.bytes_at(self._addresses[name], array.nbytes, kind)
            memory[:] = np.ascontiguousarray(array).tobytes()

    def _kind(self, name: str) -> str:
        on_host = self._engine.get_tensor_location(name) is TensorLocation.HOST
        return "pinned" if on_host else "device"

    def _read(self, name: str) -> Any:
        shape, dtype = self._shapes[name], self._dtype(name)
        nbytes = math.prod(shape) * dtype.itemsize
        memory = STATE.bytes_at(self._addresses[name], nbytes, self._kind(name))
        return np.frombuffer(bytes(memory), dtype).reshape(shape)

    def _run(self, feeds: dict[str, Any]) -> list[Any]:
        outputs: Any = self._evaluator.run(None, feeds)
        return [np.asarray(output) for output in outputs]
