"""What a machine was found to reach at the most, and how that was found: plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """One limit.

    Attributes:
        per_s: The best of all tries, in operations or bytes a second; None where none was made.
        spread: How far the middle try of the same way lies below the best, as a share of it.
        how: What reached it, such as ``numpy 2048x2048``.
        reason: Why ``per_s`` is None.
        ways: The best of every way that was tried, and why others were not: a number or a text.
    """

    per_s: float | None
    spread: float | None = None
    how: str | None = None
    reason: str | None = None
    ways: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The limits of one device under one set of caps.

    Attributes:
        device: Such as ``cpu``.
        threads: That reached for them.
        caches_bytes: Of the CPUs' caches together; None where the kernel does not tell.
        bandwidth: Bytes a second between memory and caches.
        flops: Operations a second, by precision.
        seconds: That the probe took.
    """

    device: str
    threads: int
    caches_bytes: int | None
    bandwidth: Ceiling
    flops: Mapping[str, Ceiling]
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the limits as plain data."""
        return asdict(self)


def ceilings_from_json(data: Mapping[str, Any]) -> Ceilings:
    """Return what `Ceilings.to_json` wrote."""
    flops = {name: Ceiling(**one) for name, one in data["flops"].items()}
    return Ceilings(**{**data, "bandwidth": Ceiling(**data["bandwidth"]), "flops": flops})


def best_of(
    tries: Mapping[str, Sequence[float]], refused: Mapping[str, str] | None = None
) -> Ceiling:
    """Return the best of all tries: what is attainable is what the best tool at hand reaches.

    Args:
        tries: What each way reached each time, in units a second.
        refused: Why other ways reached nothing.
    """
    no = dict(refused or {})
    made = {way: rates for way, rates in tries.items() if rates}
    ways: dict[str, float | str] = {**{way: max(rates) for way, rates in made.items()}, **no}
    if not made:
        said = "; ".join(f"{way}: {why}" for way, why in no.items())
        return Ceiling(per_s=None, reason=said or "nothing here can be asked", ways=ways)
    way = max(made, key=lambda name: max(made[name]))
    best = max(made[way])
    return Ceiling(per_s=best, spread=1 - median(made[way]) / best, how=way, ways=ways)


def none_of(reason: str) -> Ceiling:
    """Return a limit that was not found."""
    return Ceiling(per_s=None, reason=reason)
