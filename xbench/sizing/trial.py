"""One backend for one profile: the devices that hold a demand, here and by the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import sqrt

from xbench.procurement.evidence import Row
from xbench.procurement.fleet import (
    LONGER,
    MEASURED,
    MODELLED,
    Demand,
    Fleet,
    Unfit,
    fleet,
)
from xbench.procurement.queueing import fill_s, sojourn_percentile_s
from xbench.procurement.service import ENDS, service_of
from xbench.profiles import Profile
from xbench.result import Interval
from xbench.sizing.least import Least
from xbench.sizing.rows import Measured
from xbench.sizing.transfer import Scale, Unscaled, scale_to, scaled
from xbench.units import format_s

LEAST_LOAD = 0.05  # of its throughput: what a device must take within the limit


class Verdict(StrEnum):
    """What is said of a profile, the best first."""

    FITS = "modelled: fits"
    FITS_CAPPED = "fits here, capped"
    MAY_FIT = "modelled: may fit"
    MISSES = "modelled: misses"
    MISSES_CAPPED = "misses here, capped"
    UNKNOWN = "unknown"
    NO = "does not fit"


@dataclass(frozen=True, slots=True)
class Memory:
    """What a backend held of what the device has, in bytes.

    Attributes:
        used: The peak of a launch; None where nobody told.
        cap: What the device leaves to a program.
        evidence: ``measured`` under that cap; ``modelled``: under a larger one.
    """

    used: int | None
    cap: int
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One backend for one profile.

    Attributes:
        here: The devices that are like this host under the caps, or why there are none.
        scale: By what the device's own latency is a multiple; None for a profile without a speed
            of its own.
        best: The devices at the low end of that range.
        worst: And at the high end.
        latency_s: Where it holds, the demand's percentile under its load with as many devices as
            are enough at the worst end; otherwise that of a request alone. None if unknown.
    """

    measured: Measured
    memory: Memory
    here: Fleet | Unfit
    scale: Scale | Unscaled | None = None
    best: Fleet | Unfit | None = None
    worst: Fleet | Unfit | None = None
    latency_s: Interval | None = None

    @property
    def verdict(self) -> Verdict:
        """Return what this backend makes of the profile."""
        if self.scale is None:
            if isinstance(self.here, Fleet):
                return Verdict.FITS_CAPPED
            return Verdict.UNKNOWN if self.here.fix == LONGER else Verdict.MISSES_CAPPED
        if isinstance(self.scale, Unscaled):
            return Verdict.UNKNOWN
        if isinstance(self.worst, Fleet):
            return Verdict.FITS
        if isinstance(self.best, Fleet):
            return Verdict.MAY_FIT
        open_ = isinstance(self.best, Unfit) and self.best.fix == LONGER
        return Verdict.UNKNOWN if open_ else Verdict.MISSES

    @property
    def fleets(self) -> tuple[Fleet | None, Fleet | None]:
        """Return the devices at the best end and at the worst, as far as they are known."""
        both = (self.here, self.here) if self.scale is None else (self.best, self.worst)
        low, high = (one if isinstance(one, Fleet) else None for one in both)
        return low, high


def trial_of(measured: Measured, profile: Profile, least: Least, demand: Demand) -> Trial:
    """Return what a backend makes of a profile into whose memory it fits."""
    cap, row = profile.memory_cap_bytes, measured.row
    evidence = MEASURED if measured.cap_bytes == cap else MODELLED
    memory = Memory(measured.peak_bytes, cap, evidence)
    trial = Trial(measured=measured, memory=memory, here=devices(row, demand))
    if profile.confidence is None:  # bare caps: nothing is said of a device's own speed
        return replace(trial, latency_s=_latency_s(row, row, demand, trial.here))
    scale = scale_to(
        profile,
        least,
        median_s=measured.median_s,
        fastest_s=row.extremes_s[0] if row.extremes_s else None,
        precision=row.precision,
        threads=measured.threads,
        roofline=measured.roofline,
    )
    if isinstance(scale, Unscaled):
        return replace(trial, scale=scale)
    fast, slow = scaled(row, scale.low), scaled(row, scale.high)
    best, worst = devices(fast, demand), devices(slow, demand)
    latency_s = _latency_s(fast, slow, demand, worst)
    return replace(trial, scale=scale, best=best, worst=worst, latency_s=latency_s)


def devices(row: Row, demand: Demand) -> Fleet | Unfit:
    """Return the devices that a demand takes, or why there are none that make sense.

    A device that keeps a limit only while it is nearly idle does so by luck: requests must not
    meet. Thousands of them would hold any load, and nobody buys these.
    """
    assert demand.slo is not None
    found = fleet(row, demand)
    if isinstance(found, Unfit) or row.throughput_per_s is None or found.evidence == MEASURED:
        return found
    busy = found.per_device_per_s.low / row.throughput_per_s.low
    if busy >= LEAST_LOAD:
        return found
    alone = row.latency_s.get(demand.slo.percentile)
    told = f": alone on the device it takes {format_s(alone.value)}" if alone else ""
    why = f"it keeps {demand.slo} only while it is busy for less than {LEAST_LOAD:.0%} of the time"
    return Unfit(why + told, "")


def _latency_s(fast: Row, slow: Row, demand: Demand, found: Fleet | Unfit) -> Interval | None:
    """Return the demand's percentile, from the best end of one row to the worst of the other."""
    assert demand.slo is not None
    if isinstance(found, Fleet):
        if found.evidence == MEASURED:
            return found.latency_s
        bounds = [at_load_s(one, demand, found.devices.high) for one in (fast, slow)]
        low, high = bounds[0].low, bounds[1].high
    else:
        alone = [one.latency_s.get(demand.slo.percentile) for one in (fast, slow)]
        if alone[0] is None or alone[1] is None:
            return None
        low, high = alone[0].low, alone[1].high
    return Interval(sqrt(low * high), low, high)


def at_load_s(row: Row, demand: Demand, devices: int) -> Interval:
    """Return the demand's percentile of the time in one of so many devices, in seconds."""
    assert demand.slo is not None
    limit_s, share = demand.slo.limit_s, demand.slo.share
    filled_s = fill_s(row.batch, demand.rate_per_s, share)
    rate_per_s = demand.rate_per_s / (devices * row.batch)
    found = [
        filled_s + sojourn_percentile_s(service_of(row, end), rate_per_s, share, 2 * limit_s)
        for end in ENDS
    ]
    return Interval(found[0], min(found), max(found))
