"""The formulas of the roofline: the least time that work can take, and the share of it reached."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

COMPUTE, MEMORY = "compute", "memory"


@dataclass(frozen=True, slots=True)
class Roof:
    """The limits of a machine over one piece of work; made by `bound`.

    Attributes:
        flops: Operations of the work.
        bytes: Bytes that it must move between memory and caches.
        peak_flops_per_s: What the machine computes at most.
        bandwidth_bytes_per_s: What it moves at most.
    """

    flops: float
    bytes: float
    peak_flops_per_s: float
    bandwidth_bytes_per_s: float

    @property
    def compute_s(self) -> float:
        """Return the seconds that the operations take at the least."""
        return self.flops / self.peak_flops_per_s

    @property
    def memory_s(self) -> float:
        """Return the seconds that the bytes take at the least."""
        return self.bytes / self.bandwidth_bytes_per_s

    @property
    def floor_s(self) -> float:
        """Return the least seconds of the work: the longer of the two, which may overlap."""
        return max(self.compute_s, self.memory_s)

    @property
    def bound(self) -> str:
        """Return which side makes the floor: ``compute`` or ``memory``."""
        return COMPUTE if self.compute_s >= self.memory_s else MEMORY

    @property
    def ridge_flop_per_byte(self) -> float:
        """Return the intensity at which both sides take equally long."""
        return self.peak_flops_per_s / self.bandwidth_bytes_per_s

    @property
    def intensity(self) -> float | None:
        """Return operations a byte; None where no byte must be moved."""
        return self.flops / self.bytes if self.bytes else None

    @property
    def attainable_flops_per_s(self) -> float:
        """Return the rate of the roofline at this intensity: ``min(peak, intensity x bandwidth)``.

        Williams, Waterman and Patterson 2009, the equation before their figure 1.
        """
        if self.intensity is None:
            return self.peak_flops_per_s
        return min(self.peak_flops_per_s, self.intensity * self.bandwidth_bytes_per_s)


@dataclass(frozen=True, slots=True)
class Reached:
    """How much of the limit was reached.

    Attributes:
        share: Floor over latency, from 0 to 1; None where there is none, or it would be above 1.
        reason: Why it is None.
    """

    share: float | None
    reason: str | None = None


def bound(
    flops: float, moved_bytes: float, peak_flops_per_s: float, bandwidth_bytes_per_s: float
) -> Roof:
    """Return the limits of a machine over a piece of work.

    Args:
        flops: Operations; 0 for what only moves.
        moved_bytes: Between memory and caches; 0 for what stays in the caches.
        peak_flops_per_s: What the machine computes at most, above 0.
        bandwidth_bytes_per_s: What it moves at most, above 0.

    Raises:
        ValueError: If a number is negative or not finite, or a limit is 0.
    """
    limits = (peak_flops_per_s, bandwidth_bytes_per_s)
    work = (flops, moved_bytes)
    if not all(map(isfinite, (*work, *limits))) or min(work) < 0 or min(limits) <= 0:
        raise ValueError(f"no roof over {work=} under {limits=}")
    return Roof(flops, moved_bytes, peak_flops_per_s, bandwidth_bytes_per_s)


def share(latency_ns: float, roof: Roof, spread: float = 0.0) -> Reached:
    """Return the share of the limit that work of this latency reached.

    A share above 1 is a contradiction: then some of the counts or limits are not this work's, and
    no share is given.

    Args:
        latency_ns: Of the work, in nanoseconds, above 0.
        roof: The limits over it.
        spread: How far the limits may be off, as a share of them.

    Raises:
        ValueError: If the latency is not above 0.
    """
    if not latency_ns > 0:
        raise ValueError(f"{latency_ns=} is no latency")
    if not roof.floor_s:
        return Reached(None, "of what it does no operation and no byte is counted")
    reached = roof.floor_s * 1e9 / latency_ns
    if reached <= 1:
        return Reached(reached)
    if reached <= 1 + spread:
        return Reached(None, "it is at the limit, as nearly as the probe tells it")
    return Reached(None, f"it took 1/{reached:.2f} of the least time that {_why(roof.bound)}")


def _why(side: str) -> str:
    if side == COMPUTE:
        return (
            "its operations take at the measured FLOP/s: it computes fewer than are counted"
            " (Winograd's convolutions do, and folded constants), or the probe fell short"
        )
    return (
        "its bytes take at the measured bandwidth: more of them stay in caches than the kernel"
        " tells of, or the probe fell short"
    )
