"""Offline: the batch at which throughput saturates, found by doubling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xbench.result import Interval

GAIN = 0.02  # by how much a larger batch must do better to be worth its memory
PATIENCE = 2  # doublings in a row without such a gain, after which there is no more to come
LARGEST = 4096


@dataclass(frozen=True, slots=True)
class Saturation:
    """How throughput grew with the batch.

    Attributes:
        batch: The smallest batch within `GAIN` of the best throughput.
        per_s: Samples a second, by batch, in the order measured.
        stopped: ``saturated``, ``largest`` (the most that may be tried) or ``refused`` (the next
            batch could not be run; `reason` says why).
    """

    batch: int
    per_s: dict[int, Interval]
    stopped: str
    reason: str | None = None


class Refused(Exception):  # noqa: N818 -- says what a batch met, and is no error of the search
    """A batch cannot be run: too much memory, or a shape that the model does not take."""


def saturating_batch(
    measure: Callable[[int], Interval], first: int = 1, largest: int = LARGEST
) -> Saturation:
    """Return the smallest batch with all but the best throughput, and what was measured.

    The batch doubles until two doublings in a row are not sure to gain 2 % over the best before
    them: one may be a size that the kernels do not like.

    Args:
        measure: Returns the samples a second of a batch, or raises `Refused`.
        first: Batch to begin with.
        largest: Batch not to go beyond.
    """
    if not 1 <= first <= largest:
        raise ValueError(f"need 1 <= first <= largest, got {first=} and {largest=}")
    per_s: dict[int, Interval] = {}
    batch, idle, stopped, reason = first, 0, "largest", None
    while batch <= largest:
        try:
            found = measure(batch)
        except Refused as refused:
            if not per_s:
                raise
            stopped, reason = "refused", str(refused)
            break
        best = max((one.value for one in per_s.values()), default=0.0)
        idle = 0 if found.low > (1 + GAIN) * best else idle + 1
        per_s[batch] = found
        if idle == PATIENCE:
            stopped = "saturated"
            break
        batch *= 2
    best = max(one.value for one in per_s.values())
    enough = next(size for size, one in per_s.items() if one.value >= (1 - GAIN) * best)
    return Saturation(enough, per_s, stopped, reason)
