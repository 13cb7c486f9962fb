"""How many devices a load takes: from a row, a rate and a limit on latency to whole devices.

Each number is worked out at three ends: the row's own values, its best ends (throughput high,
latency low) and its worst ends. What the device can do at its worst end it does at any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, isfinite

from xbench.load.scenario import Kind
from xbench.load.slo import WORDS, Slo
from xbench.procurement.evidence import Row
from xbench.procurement.queueing import (
    Service,
    fill_s,
    largest_utilisation,
    sojourn_percentile_s,
)
from xbench.procurement.service import ENDS, service_of, throughput_per_s
from xbench.result import Interval
from xbench.units import format_s

MEASURED, MODELLED, CAPPED = "measured", "modelled", "capped"
SLACK = 1e-9  # a quotient of floats that should be whole may lie that much above
SINGLE = (Kind.SINGLE_STREAM, Kind.SUSTAINED)
LONGER = "Measure it longer, with --time-budget, so that its intervals are narrower"


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be served.

    Attributes:
        rate_per_s: Inferences a second while the load is there.
        most_load: Largest share of its throughput that a device is asked for.
    """

    rate_per_s: float
    slo: Slo | None
    most_load: float

    @property
    def percentile(self) -> str:
        """Return the percentile that is looked at: the limit's, or p99."""
        return self.slo.percentile if self.slo else "p99"


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number and the bounds that it lies within."""

    value: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """The devices that a load takes.

    Attributes:
        devices: That serve; ``low`` is at the row's best end, ``high`` at its worst.
        per_device_per_s: Inferences a second that one takes within the limits.
        load_share: Of a device's throughput, with ``devices.value`` of them.
        latency_s: The demand's percentile: at that load where it is ``modelled``, at the measured
            rate where it is ``measured``, alone on the device where it is ``capped``. None where
            the row has none.
        evidence: ``measured`` under such a load; ``modelled``: a queue worked out from the row's
            latency; ``capped``: no limit on latency was given, and only the load is limited.
    """

    devices: Count
    per_device_per_s: Interval
    load_share: float
    latency_s: Interval | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why no number of such devices is known to serve a load, and what helps."""

    reason: str
    fix: str


def devices_for(rate_per_s: float, per_device_per_s: float) -> int:
    """Return the fewest whole devices that together take a rate: at least one.

    Args:
        rate_per_s: Inferences a second in all.
        per_device_per_s: Inferences a second that one device takes, above 0.
    """
    if not (rate_per_s >= 0 and per_device_per_s > 0 and isfinite(rate_per_s / per_device_per_s)):
        raise ValueError(f"need a rate and a device: {rate_per_s=}, {per_device_per_s=}")
    quotient = rate_per_s / per_device_per_s
    return max(1, ceil(quotient * (1 - SLACK)))


def headroom(used: float, limit: float) -> float:
    """Return the share of a limit that is left, negative where it is passed.

    Of latency in seconds, memory in bytes or load in inferences a second, both in one unit.
    """
    if not limit > 0:
        raise ValueError(f"a limit is above 0, got {limit=}")
    return 1 - used / limit


def fleet(row: Row, demand: Demand) -> Fleet | Unfit:
    """Return the devices that a demand takes, from the row of one, or why that is not known."""
    if row.scenario.kind is Kind.SERVER:
        return _served(row, demand)
    if demand.slo is None:
        return _capped(row, demand)
    if row.scenario.kind not in SINGLE:
        return Unfit(
            f"{row.scenario} tells no latency that a queue can be worked out from",
            "Measure it as single-stream, or as server at the rate of one device",
        )
    if row.latency_s.get(demand.slo.percentile) is None or row.extremes_s is None:
        word = WORDS[demand.slo.percentile]
        return Unfit(f"{row.timed} inferences are too few to tell its {word}", LONGER)
    return _modelled(row, demand, demand.slo)


def _served(row: Row, demand: Demand) -> Fleet | Unfit:
    """Return the devices, each at the rate at which one was measured."""
    seen, slo = row.latency_s.get(demand.percentile), demand.slo
    rate_per_s = row.scenario.rate_per_s
    if row.extremes_s is None:
        fix = f"Measure it at less than {rate_per_s:g} requests a second"
        return Unfit(f"at {rate_per_s:g} a second it could not keep up", fix)
    if slo and seen is None:
        word = WORDS[slo.percentile]
        return Unfit(f"its requests are too few to tell its {word}", LONGER)
    if slo and seen and seen.high > slo.limit_s:
        over = format_s(seen.value)
        if seen.low > slo.limit_s:
            fix = f"Measure it at less than {rate_per_s:g} requests a second"
            return Unfit(f"at {rate_per_s:g} a second it misses {slo}: {over} was measured", fix)
        return Unfit(f"whether it keeps {slo} is not decided: {over} was measured", LONGER)
    count = devices_for(demand.rate_per_s, rate_per_s)
    load = demand.rate_per_s / (count * rate_per_s)
    each = Interval(rate_per_s, rate_per_s, rate_per_s)
    return Fleet(Count(count, count, count), each, load, seen, MEASURED)


def _capped(row: Row, demand: Demand) -> Fleet:
    each = {end: demand.most_load * throughput_per_s(row, end) for end in ENDS}
    return _fleet(row, demand, each, row.latency_s.get(demand.percentile), CAPPED)


def _modelled(row: Row, demand: Demand, slo: Slo) -> Fleet | Unfit:
    """Return the devices at which an M/G/1 queue on each keeps the limit."""
    filled_s = fill_s(row.batch, demand.rate_per_s, slo.share)
    if filled_s >= slo.limit_s:
        why = f"filling a batch of {row.batch} at {demand.rate_per_s:g} a second takes"
        return Unfit(f"{why} {format_s(filled_s)}", "Measure a smaller batch, or a server's wait")
    services = {end: service_of(row, end) for end in ENDS}
    each = {
        end: _per_device_per_s(row, demand, end, services[end], slo.limit_s - filled_s)
        for end in ENDS
    }
    if not all(each.values()):
        seen = row.latency_s[slo.percentile]
        assert seen is not None  # `fleet` has asked
        alone = f"alone on the device {WORDS[slo.percentile]} is {format_s(seen.value + filled_s)}"
        if not any(each.values()):
            return Unfit(f"it misses {slo}, however few requests come: {alone}", "")
        return Unfit(f"whether it keeps {slo} is not decided: {alone}", LONGER)
    found = _fleet(row, demand, each, None, MODELLED)
    latency_s = _at_load(row, demand, slo, found.devices.value, services, filled_s)
    return Fleet(found.devices, found.per_device_per_s, found.load_share, latency_s, MODELLED)


def _per_device_per_s(row: Row, demand: Demand, end: str, service: Service, left_s: float) -> float:
    """Return inferences a second that one device takes; 0 where it misses the limit when alone."""
    assert demand.slo is not None
    most_per_s = demand.most_load * throughput_per_s(row, end)
    most = min(most_per_s / row.batch * service.mean_s, 1 - SLACK)
    busy = largest_utilisation(service, demand.slo.share, left_s, most)
    return min(most_per_s, busy / service.mean_s * row.batch)


def _fleet(
    row: Row, demand: Demand, each: Mapping[str, float], latency_s: Interval | None, evidence: str
) -> Fleet:
    counts = {end: devices_for(demand.rate_per_s, each[end]) for end in ENDS}
    value = counts["value"]
    low, high = min(counts.values()), max(counts.values())
    per_device = Interval(each["value"], min(each.values()), max(each.values()))
    load = demand.rate_per_s / (value * throughput_per_s(row, "value"))
    return Fleet(Count(value, low, high), per_device, load, latency_s, evidence)


def _at_load(
    row: Row,
    demand: Demand,
    slo: Slo,
    devices: int,
    services: Mapping[str, Service],
    filled_s: float,
) -> Interval:
    """Return the percentile of the time from arrival to answer with that many devices."""
    rate_per_s = demand.rate_per_s / (devices * row.batch)
    found = {
        end: filled_s + sojourn_percentile_s(service, rate_per_s, slo.share, 2 * slo.limit_s)
        for end, service in services.items()
    }
    return Interval(found["value"], min(found.values()), max(found.values()))
