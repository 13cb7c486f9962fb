"""Where a session's tensors lie, how they get there and back, and in which order work is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import torch

from xbench.errors import UsageError
from xbench_adapters.pytorch.tensors import array_over, tensor_over, writable

if TYPE_CHECKING:
    from xbench.adapter import Array

Call = Callable[..., Sequence[torch.Tensor]]


class Lane(Protocol):
    """One device, and one order of work on it."""

    device: torch.device

    def placed(self, arrays: Sequence[Array]) -> list[torch.Tensor]:
        """Return tensors on the device with what ``arrays`` hold; never in the timed region."""

    def enter(self) -> Sequence[torch.Tensor]:
        """Return the inputs on the device, brought there from the arrays placed last; timed."""

    def leave(self, results: Sequence[torch.Tensor]) -> tuple[Array, ...]:
        """Return arrays that hold the results after `synchronize`, and until the next run."""

    def synchronize(self) -> None:
        """Return when all work so far is done."""

    def timed(self, work: Callable[[], None]) -> Callable[[], int]:
        """Start work between two events; return what tells the nanoseconds between them.

        It is asked after `synchronize`.

        Raises:
            UsageError: If the device records no events.
        """

    def captured(self, call: Call) -> Call:
        """Return the call as one launch of all its kernels."""

    def peak_bytes(self) -> int | None:
        """Return the most memory that PyTorch's allocator has handed out at one time."""

    def trim(self) -> None:
        """Give back what the allocator keeps and nothing uses."""

    def about(self) -> dict[str, str]:
        """Return what is worth keeping of the device and of how data gets there."""


class CpuLane:
    """The CPU: tensors share the memory of arrays, and operators end before they return."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self._arrays: list[Array] = []

    def placed(self, arrays: Sequence[Array]) -> list[torch.Tensor]:
        """Return tensors over the arrays' own memory, or over copies where that cannot be."""
        self._arrays = [writable(array) for array in arrays]  # once, not in every run
        return self.enter()

    def enter(self) -> list[torch.Tensor]:
        """Return tensors over the arrays' memory."""
        return [tensor_over(array) for array in self._arrays]

    def leave(self, results: Sequence[torch.Tensor]) -> tuple[Array, ...]:
        """Return arrays over the tensors' memory."""
        return tuple(map(array_over, results))

    def synchronize(self) -> None:
        """Return at once: PyTorch's CPU operators end before they return."""

    def timed(self, work: Callable[[], None]) -> Callable[[], int]:  # noqa: ARG002  # a lane's
        """Refuse: a CPU has no clock besides the one that the harness reads."""
        raise UsageError("a CPU records no events of its own", "Ask for host or device")

    def captured(self, call: Call) -> Call:  # noqa: ARG002  # a lane's
        """Refuse: a CPU has no graphs of kernels."""
        raise UsageError("a CPU has no CUDA graphs", "Ask for the backend pytorch")

    def peak_bytes(self) -> int | None:
        """Return None: PyTorch takes the CPU's memory from the C library, which does not tell."""
        return None

    def trim(self) -> None:
        """Do nothing: nothing is kept."""

    def about(self) -> dict[str, str]:
        """Return nothing: the data is there already."""
        return {}
