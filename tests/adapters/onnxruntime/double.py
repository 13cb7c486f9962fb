"""ONNX Runtime with CUDA on a machine that has none: its own sessions on the CPU, renamed.

What is bound to ``cuda`` is copied, as it would be. A run that is told not to wait does nothing
until its stream is waited for: who forgets to wait reads old outputs. Every call is recorded.
"""

# ruff: noqa: N802, N815 -- the names are CUDA's
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime import InferenceSession, OrtValue

from xbench_adapters.onnxruntime.options import CPU, CUDA, TENSORRT
from xbench_adapters.onnxruntime.resident import UNSYNCHRONIZED

STREAM = 4711
ELAPSED_MS = 0.25


class Status(IntEnum):
    """Of ``cudaError_t``, with CUDA's numbers."""

    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorNoDevice = 100


@dataclass
class Gpu:
    """What happened on a GPU, and what is to go wrong there.

    Attributes:
        calls: Names of what was called, in order.
        sessions: What each session was made with: its providers and other arguments.
        enabled: The providers that work.
        built: The providers that the package has.
        on_cpu: Names of nodes for which the CPU stands in.
        failure: What the next run says, if not None.
        faults: Statuses of calls of CUDA's runtime, by name.
        held: Options that a provider holds other than it was told.
        queue: What was asked of the stream, and is not done.
        open: Streams and events that were not given back.
    """

    calls: list[str] = field(default_factory=list)
    sessions: list[tuple[list[tuple[str, dict[str, str]]], dict[str, Any]]] = field(
        default_factory=list
    )
    enabled: tuple[str, ...] = (TENSORRT, CUDA, CPU)
    built: tuple[str, ...] = (TENSORRT, CUDA, CPU)
    on_cpu: tuple[str, ...] = ()
    failure: str | None = None
    faults: dict[str, Status] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    queue: list[Callable[[], None]] = field(default_factory=list)
    open: int = 0

    def wait(self) -> None:
        """Do what was asked of the stream."""
        while self.queue:
            self.queue.pop(0)()


def installed(gpu: Gpu, patch: Any) -> None:
    """Put the double in the place of ONNX Runtime's parts and of CUDA's runtime."""
    patch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: Session(gpu, *a, **k))
    patch.setattr(onnxruntime, "OrtValue", Values(gpu))
    patch.setattr(onnxruntime, "get_available_providers", lambda: list(gpu.built))
    patch.setattr(onnxruntime, "preload_dlls", lambda: gpu.calls.append("preload_dlls"))


class Session:
    """An ``InferenceSession`` on the CPU that says it is on a GPU."""

    def __init__(self, gpu: Gpu, path: str, options: Any, *, providers: Any, **others: Any) -> None:
        gpu.sessions.append((list(providers), others))
        gpu.calls.append("InferenceSession")
        if gpu.failure and gpu.failure.startswith("load:"):
            raise RuntimeError(gpu.failure.removeprefix("load:"))
        self._gpu, self._asked = gpu, dict(providers)
        self._real = InferenceSession(path, options, providers=[CPU])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_providers(self) -> list[str]:
        """Return what works of what was asked for."""
        return [one for one in (*self._asked, CPU) if one in self._gpu.enabled]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Return what is held, which has defaults besides."""
        more = {"arena_extend_strategy": "kNextPowerOfTwo", "gpu_mem_limit": "18446744073709551615"}
        return {one: {**more, **self._asked.get(one, {}), **self._gpu.held} for one in self._asked}

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """Return a part for each node, on the first provider unless the CPU stands in."""
        first = next(iter(self._asked))
        nodes = [
            node
            for part in self._real.get_provider_graph_assignment_info()
            for node in part.get_nodes()
        ]
        return [Part(CPU if node.name in self._gpu.on_cpu else first, node) for node in nodes]

    def run(self, names: Any, feeds: Any) -> Any:
        """Run and wait."""
        self._note("run")
        return self._real.run(names, feeds)

    def run_with_iobinding(self, binding: Binding, run_options: Any) -> None:
        """Run later, if that is asked for."""
        self._note("run_with_iobinding")
        self._gpu.queue.append(lambda: self._real.run_with_iobinding(binding.real))
        try:
            unsynchronized = run_options.get_run_config_entry(UNSYNCHRONIZED) == "1"
        except RuntimeError:  # it has no such entry
            unsynchronized = False
        if not unsynchronized:
            self._gpu.wait()

    def io_binding(self) -> Binding:
        """Return a binding whose device is the CPU."""
        return Binding(self._gpu, self._real.io_binding())

    def _note(self, call: str) -> None:
        self._gpu.calls.append(call)
        if self._gpu.failure is not None:
            raise RuntimeError(self._gpu.failure)


@dataclass
class Part:
    """A part of a graph of one node."""

    ep_name: str
    node: Any

    def get_nodes(self) -> list[Any]:
        """Return the node."""
        return [self.node]


@dataclass
class Binding:
    """An ``IOBinding``: what is bound to ``cuda`` is bound to the CPU."""

    gpu: Gpu
    real: Any

    def bind_output(self, name: str, device: str, number: int) -> None:
        assert (device, number) == ("cuda", 0), "a worker sees one GPU"
        self.real.bind_output(name, "cpu", 0)

    def bind_ortvalue_input(self, name: str, value: OrtValue) -> None:
        self.real.bind_ortvalue_input(name, value)

    def synchronize_inputs(self) -> None:
        self.gpu.calls.append("synchronize_inputs")

    def synchronize_outputs(self) -> None:
        self.gpu.calls.append("synchronize_outputs")
        self.gpu.wait()

    def get_outputs(self) -> Any:
        return self.real.get_outputs()


@dataclass
class Values:
    """The factory of ``OrtValue``: on a device is a copy."""

    gpu: Gpu

    def ortvalue_from_numpy(self, array: Any, device: str, number: int) -> OrtValue:
        assert (device, number) == ("cuda", 0)
        assert array.flags.c_contiguous
        self.gpu.calls.append("copy")
        return OrtValue.ortvalue_from_numpy(np.array(array), "cpu", 0)


class Cudart:
    """The part of ``cuda.bindings.runtime`` that the adapter calls; a status comes first."""

    cudaStreamNonBlocking = 1

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def _said(self, call: str, *given: Any) -> tuple[Any, ...]:
        self._gpu.calls.append(call)
        status = self._gpu.faults.get(call, Status.cudaSuccess)
        return (status, *given) if not status else (status, *(None for _ in given))

    def cudaSetDevice(self, device: int) -> Any:
        assert device == 0
        return self._said("cudaSetDevice")

    def cudaGetErrorString(self, error: Status) -> Any:
        return Status.cudaSuccess, f"what {error.name} means".encode()

    def cudaStreamCreateWithFlags(self, flags: int) -> Any:
        assert flags == self.cudaStreamNonBlocking
        self._gpu.open += 1
        return self._said("cudaStreamCreateWithFlags", STREAM)

    def cudaStreamSynchronize(self, stream: int) -> Any:
        assert stream == STREAM
        self._gpu.wait()
        return self._said("cudaStreamSynchronize")

    def cudaStreamDestroy(self, stream: int) -> Any:
        assert stream == STREAM
        self._gpu.open -= 1
        return self._said("cudaStreamDestroy")

    def cudaEventCreate(self) -> Any:
        said = self._said("cudaEventCreate", object())
        self._gpu.open += not said[0]
        return said

    def cudaEventRecord(self, event: Any, stream: int) -> Any:
        assert event is not None
        assert stream == STREAM
        return self._said("cudaEventRecord")

    def cudaEventElapsedTime(self, start: Any, end: Any) -> Any:
        assert start is not end
        assert not self._gpu.queue, "the events are not there yet"
        return self._said("cudaEventElapsedTime", ELAPSED_MS)

    def cudaEventDestroy(self, event: Any) -> Any:
        self._gpu.open -= 1
        return self._said("cudaEventDestroy")
