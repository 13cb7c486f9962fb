"""A CUDA stream with the memory that is used on it; all of it is given back by `Stream.close`."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from xbench_adapters.tensorrt.gpu import check

if TYPE_CHECKING:
    from xbench.adapter import Array


class Stream:
    """What is asked of it is done in order, and later than it is asked; `synchronize` waits."""

    def __init__(self, cudart: Any) -> None:
        self._cudart = cudart
        self._on_device: list[int] = []
        self._on_host: list[int] = []
        self._graphs: list[Any] = []
        self._events: list[Any] = []
        # The default stream would wait for all others, and cannot be captured.
        created = cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking)
        self._handle: Any = check(cudart, created)

    @property
    def handle(self) -> int:
        """Return the stream as TensorRT takes it."""
        return int(self._handle)

    def on_device(self, nbytes: int) -> int:
        """Return the address of that many bytes on the GPU; TensorRT takes no null pointer."""
        cudart = self._cudart
        address = int(check(cudart, cudart.cudaMalloc(max(1, nbytes))))
        self._on_device.append(address)
        return address

    def on_host(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return an array of zeros in pinned memory, which the GPU copies from and to by itself."""
        import numpy as np

        cudart, count = self._cudart, math.prod(shape)
        nbytes = max(1, count * np.dtype(dtype).itemsize)
        address = int(check(cudart, cudart.cudaMallocHost(nbytes)))
        self._on_host.append(address)
        memory = np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), np.uint8)
        memory[:] = 0
        return memory.view(dtype)[:count].reshape(shape) if count else np.empty(shape, dtype)

    def to_device(self, address: int, array: Array) -> None:
        """Copy a pinned array to the GPU; of one without elements there is nothing to copy."""
        if not array.nbytes:
            return
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        source, nbytes = array.ctypes.data, array.nbytes
        check(cudart, cudart.cudaMemcpyAsync(address, source, nbytes, kind, self._handle))

    def to_host(self, array: Array, address: int, nbytes: int) -> None:
        """Copy the first bytes at an address of the GPU to a pinned array."""
        if not nbytes:
            return
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        target = array.ctypes.data
        check(cudart, cudart.cudaMemcpyAsync(target, address, nbytes, kind, self._handle))

    def synchronize(self) -> None:
        """Return when all that was asked for is done; what failed on the way is raised here."""
        check(self._cudart, self._cudart.cudaStreamSynchronize(self._handle))

    def capture(self, work: Callable[[], None]) -> Any:
        """Return a graph of what ``work`` asks of this stream, which is not done now.

        Raises:
            CudaError: If something in it cannot be captured.
        """
        cudart = self._cudart
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(cudart, cudart.cudaStreamBeginCapture(self._handle, mode))
        try:
            work()
        except Exception:
            cudart.cudaStreamEndCapture(self._handle)  # its status says the same once more
            raise
        graph = check(cudart, cudart.cudaStreamEndCapture(self._handle))
        try:
            launchable = check(cudart, cudart.cudaGraphInstantiate(graph, 0))
        finally:
            cudart.cudaGraphDestroy(graph)  # what can be launched is a copy
        self._graphs.append(launchable)
        return launchable

    def launch(self, graph: Any) -> None:
        """Do all that a graph holds."""
        check(self._cudart, self._cudart.cudaGraphLaunch(graph, self._handle))

    def event(self) -> Any:
        """Return an event, which `record` notes on this stream."""
        event = check(self._cudart, self._cudart.cudaEventCreate())
        self._events.append(event)
        return event

    def record(self, event: Any) -> None:
        """Have the GPU note the time once all that was asked for before is done."""
        check(self._cudart, self._cudart.cudaEventRecord(event, self._handle))

    def elapsed_ns(self, start: Any, end: Any) -> int:
        """Return the nanoseconds between two events, which CUDA counts in steps of some 500.

        Raises:
            CudaError: If one of them was not recorded, or is not reached yet.
        """
        milliseconds = check(self._cudart, self._cudart.cudaEventElapsedTime(start, end))
        return round(float(milliseconds) * 1e6)

    def close(self) -> None:
        """Wait, then give the graphs, the memory and the stream back; again does no harm.

        No status is looked at: after a fault every call fails, and the process ends anyway.
        """
        if self._handle is None:
            return
        cudart = self._cudart
        cudart.cudaStreamSynchronize(self._handle)
        for graph in self._graphs:
            cudart.cudaGraphExecDestroy(graph)
        for event in self._events:
            cudart.cudaEventDestroy(event)
        for address in self._on_device:
            cudart.cudaFree(address)
        for address in self._on_host:
            cudart.cudaFreeHost(address)
        cudart.cudaStreamDestroy(self._handle)
        self._graphs, self._events, self._on_device, self._on_host = [], [], [], []
        self._handle = None
