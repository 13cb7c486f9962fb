"""What stands in for ``torch.cuda`` on a machine without a GPU.

Work is done on the CPU when it is asked for, and what is asked for is noted; that every call fits
the real function, the double sees to. A graph keeps the operators of its capture, and does them
again on the same tensors when it is replayed.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def fits(path: str, *args: Any, **kwargs: Any) -> None:
    """Fail unless ``torch.cuda`` has a function that takes these arguments."""
    found: Any = torch.cuda
    for name in path.split("."):
        found = getattr(found, name)
    inspect.signature(found).bind(*args, **kwargs)


class Tape(TorchDispatchMode):
    """Keeps operators with their tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch ships no types here
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, found))
        return found

    def again(self) -> None:
        for func, args, kwargs, before in self.steps:
            now = func(*args, **kwargs)
            for old, new in zip(tree_leaves(before), tree_leaves(now), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Cuda:
    """``torch.cuda``, as far as it is used."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.captures: int = 0
        self.fails: RuntimeError | None = None
        self.elapsed_ms = 0.25

    def note(self, path: str, *args: Any, **kwargs: Any) -> None:
        fits(path, *args, **kwargs)
        self.calls.append(path)

    def is_available(self) -> bool:
        self.note("is_available")
        return True

    def current_stream(self) -> Any:
        self.note("current_stream")
        return _Stream(self)

    def Stream(self) -> Any:  # noqa: N802  # as torch spells it
        self.note("Stream")
        return _Stream(self)

    def Event(self, enable_timing: bool = False) -> Any:  # noqa: N802  # as above
        self.note("Event", enable_timing=enable_timing)
        assert enable_timing, "such an event tells no time"
        return _Event(self)

    def CUDAGraph(self) -> Any:  # noqa: N802  # as above
        self.note("CUDAGraph")
        return _Graph(self)

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.note("stream", stream)
        yield

    @contextmanager
    def graph(self, graph: Any) -> Iterator[None]:
        self.note("graph", graph)
        if self.fails is not None:
            raise self.fails
        self.captures += 1
        with graph.tape:
            yield

    def max_memory_allocated(self) -> int:
        self.note("max_memory_allocated")
        return 12345

    def empty_cache(self) -> None:
        self.note("empty_cache")

    def get_device_name(self) -> str:
        self.note("get_device_name")
        return "Double"


class _Stream:
    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda

    def synchronize(self) -> None:
        self.cuda.note("Stream.synchronize", self)

    def wait_stream(self, other: Any) -> None:
        self.cuda.note("Stream.wait_stream", self, other)


class _Event:
    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda

    def record(self) -> None:
        self.cuda.note("Event.record", self)

    def elapsed_time(self, end: Any) -> float:
        self.cuda.note("Event.elapsed_time", self, end)
        return self.cuda.elapsed_ms


class _Graph:
    def __init__(self, cuda: Cuda) -> None:
        self.cuda, self.tape = cuda, Tape()

    def replay(self) -> None:
        self.cuda.note("CUDAGraph.replay", self)
        self.tape.again()
