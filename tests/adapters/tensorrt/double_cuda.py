"""The part of ``cuda.bindings.runtime`` that the adapter calls: memory, streams and graphs.

Nothing is done before its stream is waited for, as on a GPU that is slow: who forgets to wait
reads old outputs, and who changes pinned memory too early computes with the change.
"""

# ruff: noqa: N801, N802, N803, N815, N816 -- the names are CUDA's
from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from enum import IntEnum
from typing import Any, ParamSpec

from tests.adapters.tensorrt import double
from tests.adapters.tensorrt.double import BUS
from tests.adapters.tensorrt.double_state import COPY_NS, STATE, Graph, cudaEvent_t, cudaStream_t

P = ParamSpec("P")
ALIGNMENT = 256


class cudaError_t(IntEnum):
    """Statuses, with CUDA's numbers."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInvalidDevice = 101
    cudaErrorInvalidResourceHandle = 400
    cudaErrorNotReady = 600
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900


class cudaMemcpyKind(IntEnum):
    """Directions, with CUDA's numbers."""

    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(IntEnum):
    """Modes, with CUDA's numbers."""

    cudaStreamCaptureModeThreadLocal = 1


cudaStreamNonBlocking = 1
OK, ILLEGAL = cudaError_t.cudaSuccess, cudaError_t.cudaErrorIllegalAddress
INVALID = cudaError_t.cudaErrorInvalidResourceHandle


def status_first(function: Callable[P, Any]) -> Callable[P, tuple[Any, ...]]:
    """Return a call as the bindings have it: recorded, and its status before what it gives."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> tuple[Any, ...]:
        double.note(function.__name__)
        assert STATE.device is not None or function.__name__ in BEFORE, "no device was chosen"
        if wanted := double.fault(function.__name__):
            return cudaError_t[wanted], None
        given = function(*args, **kwargs)
        if isinstance(given, cudaError_t):
            return (given,) if given is OK else (given, None)
        return OK, given

    return inner


BEFORE = {"cudaSetDevice", "cudaDeviceGetByPCIBusId"}


@status_first
def cudaSetDevice(device: int) -> Any:
    if device != 0:
        return cudaError_t.cudaErrorInvalidDevice
    STATE.device = device
    return OK


@status_first
def cudaDeviceGetByPCIBusId(pciBusId: bytes) -> Any:
    assert isinstance(pciBusId, bytes), "Cython takes no text as char*"
    return 0 if pciBusId == BUS else cudaError_t.cudaErrorInvalidDevice


def cudaGetErrorString(error: cudaError_t) -> tuple[cudaError_t, bytes]:
    return OK, f"what {error.name} means".encode()


def _allocated(size: int, kind: str) -> int:
    assert not any(s.captured is not None for s in STATE.streams.values()), "while capturing"
    assert size > 0, "a null pointer"
    memory = (ctypes.c_uint8 * (size + ALIGNMENT))()
    ctypes.memset(memory, 0xAB, size)  # as much as nobody may count on
    address = -(-ctypes.addressof(memory) // ALIGNMENT) * ALIGNMENT
    STATE.memory[address] = memory, size, kind
    return address


@status_first
def cudaMalloc(size: int) -> Any:
    return _allocated(size, "device")


@status_first
def cudaMallocHost(size: int) -> Any:
    return _allocated(size, "pinned")


@status_first
def cudaFree(devPtr: int) -> Any:
    assert STATE.memory.pop(devPtr)[2] == "device"
    return OK


@status_first
def cudaFreeHost(ptr: int) -> Any:
    assert STATE.memory.pop(ptr)[2] == "pinned"
    return OK


@status_first
def cudaMemcpyAsync(
    dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: cudaStream_t
) -> Any:
    in_order = ("pinned", "device")
    source, target = in_order if kind is cudaMemcpyKind.cudaMemcpyHostToDevice else in_order[::-1]

    def work() -> None:
        STATE.now_ns += COPY_NS
        ctypes.memmove(
            STATE.bytes_at(dst, count, target), STATE.bytes_at(src, count, source), count
        )

    stream.add(work)
    return OK


@status_first
def cudaStreamCreateWithFlags(flags: int) -> Any:
    assert flags == cudaStreamNonBlocking
    stream = cudaStream_t(1000 + len(STATE.streams))
    STATE.streams[stream.number] = stream
    return stream


@status_first
def cudaStreamSynchronize(stream: cudaStream_t) -> Any:
    if stream.captured is not None:
        return cudaError_t.cudaErrorStreamCaptureUnsupported
    try:
        while stream.queue:
            stream.queue.pop(0)()
    except IndexError:
        return ILLEGAL
    return OK


@status_first
def cudaStreamDestroy(stream: cudaStream_t) -> Any:
    assert not stream.queue, "destroyed with work left"
    del STATE.streams[stream.number]
    return OK


@status_first
def cudaEventCreate() -> Any:
    event = cudaEvent_t()
    STATE.events.add(event)
    return event


@status_first
def cudaEventRecord(event: cudaEvent_t, stream: cudaStream_t | int) -> Any:
    found = STATE.streams[int(stream)]
    assert found.captured is None, "in a graph it would tell of the first launch"
    event.at_ns = None

    def work() -> None:
        event.at_ns = STATE.now_ns

    found.add(work)
    return OK


@status_first
def cudaEventElapsedTime(start: cudaEvent_t, end: cudaEvent_t) -> Any:
    if start.at_ns is None or end.at_ns is None:
        return cudaError_t.cudaErrorNotReady
    return (end.at_ns - start.at_ns) / 1e6


@status_first
def cudaEventDestroy(event: cudaEvent_t) -> Any:
    STATE.events.remove(event)
    return OK


@status_first
def cudaStreamBeginCapture(stream: cudaStream_t, mode: cudaStreamCaptureMode) -> Any:
    stream.captured = []
    return OK


@status_first
def cudaStreamEndCapture(stream: cudaStream_t) -> Any:
    assert stream.captured is not None
    graph, stream.captured = Graph(tuple(stream.captured)), None
    STATE.graphs.add(graph)
    return graph


@status_first
def cudaGraphInstantiate(graph: Graph, flags: int) -> Any:
    made = Graph(graph.work)
    STATE.graphs.add(made)
    return made


@status_first
def cudaGraphDestroy(graph: Graph) -> Any:
    STATE.graphs.remove(graph)
    return OK


@status_first
def cudaGraphLaunch(graphExec: Graph, stream: cudaStream_t) -> Any:
    if graphExec not in STATE.graphs:
        return INVALID
    for work in graphExec.work:
        stream.add(work)
    return OK


@status_first
def cudaGraphExecDestroy(graphExec: Graph) -> Any:
    STATE.graphs.remove(graphExec)
    return OK
