"""What the double of CUDA's runtime has at any moment: memory, streams, graphs and events."""

# ruff: noqa: N801 -- the names are CUDA's
from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Work = Callable[[], None]
COPY_NS, KERNEL_NS = 3000, 7000


@dataclass(eq=False)
class cudaStream_t:
    """A stream: what it has still to do, and what it captures instead of doing it."""

    number: int
    queue: list[Work] = field(default_factory=list)
    captured: list[Work] | None = None

    def __int__(self) -> int:
        return self.number

    def add(self, work: Work) -> None:
        """Do ``work`` later, or capture it."""
        (self.queue if self.captured is None else self.captured).append(work)


@dataclass(eq=False)
class Graph:
    """A graph, or what can be launched of one."""

    work: tuple[Work, ...]


@dataclass(eq=False)
class cudaEvent_t:
    """When the GPU came to it, in nanoseconds; None if it did not yet."""

    at_ns: int | None = None


@dataclass
class State:
    """What is there now, to be found empty in the end.

    Time passes only for what the GPU does: a copy takes `COPY_NS`, an inference `KERNEL_NS`.
    """

    memory: dict[int, tuple[Any, int, str]] = field(default_factory=dict)
    streams: dict[int, cudaStream_t] = field(default_factory=dict)
    graphs: set[Graph] = field(default_factory=set)
    events: set[cudaEvent_t] = field(default_factory=set)
    device: int | None = None
    now_ns: int = 0

    def forget(self) -> int:
        """Return how many things were not given back, and begin anew."""
        left = len(self.memory) + len(self.streams) + len(self.graphs) + len(self.events)
        self.memory, self.streams, self.graphs, self.events = {}, {}, set(), set()
        return left

    def bytes_at(self, address: int, nbytes: int, kind: str) -> Any:
        """Return memory of one kind.

        Raises:
            IndexError: If that is not what lies there.
        """
        for start, (_, size, found) in self.memory.items():
            if start <= address and address + nbytes <= start + size and found == kind:
                return (ctypes.c_uint8 * nbytes).from_address(address)
        raise IndexError(f"no {nbytes} bytes of {kind} memory at {address}")


STATE = State()
