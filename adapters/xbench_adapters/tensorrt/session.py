"""An engine that is ready to run: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xbench.adapter import BOUNDARIES, Array, BoundModel, Facts, Fallback
from xbench.errors import UsageError
from xbench_adapters.tensorrt import gpu, said
from xbench_adapters.tensorrt.gpu import Gpu
from xbench_adapters.tensorrt.stream import Stream
from xbench_adapters.tensorrt.types import numpy_dtype

if TYPE_CHECKING:
    from xbench_adapters.tensorrt.engine import Engine

WITHOUT_GRAPH = "Ask for the backend tensorrt, without a CUDA graph"


@dataclass(frozen=True, slots=True)
class Input:
    """Where an input lies: in pinned memory, then on the GPU; address 0 if TensorRT reads there."""

    pinned: Array
    address: int


@dataclass(frozen=True, slots=True)
class Output:
    """Where an output lies: on the GPU, then in pinned memory; address 0 as for `Input`.

    Attributes:
        shape: Its shape; None where the data decides it, in every run anew.
        sized: Who is told of that shape.
    """

    pinned: Array
    address: int
    shape: tuple[int, ...] | None
    sized: Any = None

    def array(self) -> Array:
        """Return what the last run has put there, where it lies."""
        shape = self.sized.shape if self.shape is None else self.shape
        return self.pinned.reshape(-1)[: math.prod(shape)].reshape(shape)


class TensorRtSession:
    """One execution context on one stream.

    At the boundary ``host`` a run copies the arrays to pinned memory and from there to the GPU,
    computes, and copies the outputs back; `outputs` copies them once more, outside the timed
    region. At the others `bind` brings the inputs to the GPU, and `outputs` fetches what is there.
    As a CUDA graph, all that a run asks of the GPU is one launch: one graph with the copies, and
    one without.
    """

    def __init__(self, engine: Engine, model: BoundModel, device: Gpu, *, captured: bool) -> None:
        self._trt, cudart = gpu.modules()
        self._engine, self._model, self._device = engine, model, device
        self._captured, self._graphs = captured, dict[bool, Any]()  # by whether data is resident
        self._boundary, self._left_on_gpu = BOUNDARIES[0], False
        self._feeds: list[tuple[Input, Array]] = []
        self._stream = Stream(cudart)
        try:
            self._before, self._after = self._stream.event(), self._stream.event()
            self._context = self._opened()
            self._inputs, self._outputs = self._placed()
        except Exception:
            self.close()
            raise

    def _opened(self) -> Any:
        """Return a context of the engine; what it depends on is kept for as long."""
        self._logger = said.logger(self._trt)
        self._trt.init_libnvinfer_plugins(self._logger, "")
        self._runtime = self._trt.Runtime(self._logger)
        self._cuda_engine = self._runtime.deserialize_cuda_engine(self._engine.serialized)
        context = self._cuda_engine and self._cuda_engine.create_execution_context()
        if context is None:
            raise said.failure(self._logger.errors, self._model.path, "opens no engine")
        return context

    def _placed(self) -> tuple[dict[str, Input], dict[str, Output]]:
        """Return the memory of each input and output, once the context knows of it."""
        trt, engine = self._trt, self._cuda_engine
        names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
        taken = {n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT}
        inputs = {name: self._input(name) for name in names if name in taken}
        if missing := self._context.infer_shapes():
            reason = f"TensorRT needs more than the shape of {', '.join(missing)}"
            raise UsageError(reason, "Its values decide shapes within the model")
        outputs = {name: self._output(name) for name in names if name not in taken}
        return inputs, {name: outputs[name] for name in self._model.outputs}

    def _input(self, name: str) -> Input:
        shape = self._model.shapes[name]
        if not self._context.set_input_shape(name, shape):
            raise UsageError(f"the engine takes no {name!r} of shape {shape}", "Ask for another")
        pinned = self._stream.on_host(shape, self._dtype(name))
        address = 0 if self._on_host(name) else self._stream.on_device(pinned.nbytes)
        self._context.set_tensor_address(name, address or pinned.ctypes.data)
        return Input(pinned, address)

    def _output(self, name: str) -> Output:
        shape, dtype = tuple(self._context.get_tensor_shape(name)), self._dtype(name)
        if -1 in shape:
            return self._sized_output(name, dtype)
        pinned = self._stream.on_host(shape, dtype)
        address = 0 if self._on_host(name) else self._stream.on_device(pinned.nbytes)
        self._context.set_tensor_address(name, address or pinned.ctypes.data)
        return Output(pinned, address, shape)

    def _sized_output(self, name: str, dtype: Any) -> Output:
        """Return an output whose shape the data decides, with room for the largest."""
        if self._captured:
            reason = f"the data decides the shape of {name!r}, so that no CUDA graph can be made"
            raise UsageError(reason, WITHOUT_GRAPH)
        nbytes = self._context.get_max_output_size(name)
        pinned = self._stream.on_host((nbytes // dtype.itemsize,), dtype)
        address = self._stream.on_device(nbytes)
        sized = _sized(self._trt, address)
        self._context.set_output_allocator(name, sized)
        return Output(pinned, address, None, sized)

    def _dtype(self, name: str) -> Any:
        return numpy_dtype(self._cuda_engine.get_tensor_dtype(name), name)

    def _on_host(self, name: str) -> bool:
        """Return whether TensorRT reads or writes a tensor in the CPU's memory."""
        return bool(self._cuda_engine.get_tensor_location(name) == self._trt.TensorLocation.HOST)

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Keep the inputs of the next runs.

        Raises:
            UsageError: If one has another shape or type than the engine was built for.
        """
        found = []
        for name, placed in self._inputs.items():
            array, wanted = feeds[name], placed.pinned
            if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
                reason = f"{name!r} is {array.dtype} of shape {array.shape}"
                fix = f"The engine takes {wanted.dtype} of shape {wanted.shape}"
                raise UsageError(reason, fix)
            found.append((placed, array))
        self._feeds = found
        if self._resident:
            self._upload()

    def at(self, boundary: str) -> None:
        """Have the next runs begin and end at ``host``, ``device`` or ``compute``.

        Raises:
            UsageError: If there is no such boundary.
        """
        if boundary not in BOUNDARIES:
            raise UsageError(f"there is no boundary {boundary!r}", f"It is {', '.join(BOUNDARIES)}")
        self._boundary = boundary
        if self._resident:
            self._upload()

    @property
    def _resident(self) -> bool:
        """Return whether inputs and outputs stay on the GPU."""
        return self._boundary != BOUNDARIES[0]

    def _upload(self) -> None:
        """Bring the bound inputs to the GPU, and wait until they are there."""
        self._to_pinned()
        self._copy_in()
        self._stream.synchronize()

    def _to_pinned(self) -> None:
        for placed, array in self._feeds:
            placed.pinned[...] = array

    def run(self) -> None:
        """Start one inference; the first one as a graph captures it as well."""
        resident = self._resident
        if not resident:
            self._to_pinned()
        timed = self._boundary == "compute"
        if timed:
            self._stream.record(self._before)
        graph = self._graphs.get(resident)
        if graph is not None:
            self._stream.launch(graph)
        else:
            self._enqueue()
        if timed:
            self._stream.record(self._after)
        self._left_on_gpu = resident
        if self._captured and graph is None:
            self._stream.synchronize()  # TensorRT sets itself up in a run that is not captured
            self._graphs[resident] = self._capture()

    def device_ns(self) -> int:
        """Return the nanoseconds between the GPU's events around the last run at ``compute``."""
        return self._stream.elapsed_ns(self._before, self._after)

    def _capture(self) -> Any:
        try:
            return self._stream.capture(self._enqueue)
        except RuntimeError as error:
            reason = f"the engine cannot be captured as a CUDA graph: {error}"
            raise UsageError(reason, WITHOUT_GRAPH) from error

    def _enqueue(self) -> None:
        """Ask the stream for the kernels of one inference, and for the copies at ``host``."""
        if not self._resident:
            self._copy_in()
        if not self._context.execute_async_v3(self._stream.handle):
            raise said.failure(self._logger.errors, self._model.path, "runs no inference")
        if not self._resident:
            self._copy_out()

    def _copy_in(self) -> None:
        for placed in self._inputs.values():
            if placed.address:
                self._stream.to_device(placed.address, placed.pinned)

    def _copy_out(self) -> None:
        for output in self._outputs.values():
            if output.address:  # a shape that the data decides is known by now
                array = output.array()
                self._stream.to_host(array, output.address, array.nbytes)

    def synchronize(self) -> None:
        """Return when the last run is done and its outputs are where its boundary leaves them."""
        self._stream.synchronize()

    def outputs(self) -> Mapping[str, Array]:
        """Return copies of the outputs of the last run, fetched if they stayed on the GPU."""
        if self._left_on_gpu:
            self._copy_out()
            self._stream.synchronize()
            self._left_on_gpu = False
        return {name: output.array().copy() for name, output in self._outputs.items()}

    def facts(self) -> Facts:
        """Return what the engine and its building tell.

        The precision is that of the strongly typed network. The memory is that of the context's
        activations; weights and CUDA's own are besides.
        """
        report = self._engine.report
        return Facts(
            precision=report["precision"],
            fallback=Fallback(0, (), self._device.name),  # an engine is whole, or not built
            convert_s=report["seconds"],  # of the building, also where the engine was kept
            allocator_bytes=int(self._cuda_engine.device_memory_size_v2),
            options={
                **{name: str(value) for name, value in report["options"].items()},
                "engine": self._engine.kept,
                "engine_bytes": str(len(self._engine.serialized)),
                "layers": f"{self._cuda_engine.num_layers}, from {report['layers']} of the network",
                "cuda_graph": str(self._captured),
                "gpu": f"{self._device.model}, driver {self._device.driver}",
            },
        )

    def close(self) -> None:
        """Give the memory, the stream and the engine back, what uses another before it."""
        self._stream.close()  # waits for what is still running
        self._feeds, self._inputs, self._outputs = [], {}, {}
        self._context = self._cuda_engine = self._runtime = None
        self._graphs.clear()


def _sized(trt: Any, address: int) -> Any:
    """Return who tells TensorRT where an output lies, and is told its shape in every run."""

    class Sized(trt.IOutputAllocator):  # type: ignore[misc] # TensorRT ships no types
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.shape: tuple[int, ...] = (0,)

        def reallocate_output_async(self, *_: Any) -> int:
            return address  # which has room for the largest

        def notify_shape(self, _: str, shape: Any) -> None:
            self.shape = tuple(shape)

    return Sized()
