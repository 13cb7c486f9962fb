"""What an inference takes of energy on a device, and who told: a meter, the user, or nobody."""

from __future__ import annotations

from dataclasses import dataclass

from xbench.load.scenario import Kind
from xbench.procurement.evidence import Row
from xbench.procurement.prices import Option
from xbench.result import Interval

DECLARED, INCLUDED = "declared", "in the price"
MEASURED_IDLE, DECLARED_IDLE, UNKNOWN_IDLE = "measured", "declared", "unknown"


@dataclass(frozen=True, slots=True)
class Power:
    """What serving takes of energy.

    Attributes:
        per_inference_j: With the device busy; None where the energy is in the hourly price.
        idle_w: Of a device that waits: from 0 to its power under load where nobody told, and that
            power as the value, so that what is not known is not taken for free.
        idle: Who told ``idle_w``: ``measured``, ``declared``, or ``unknown``.
        busy_s: Seconds of a device that an inference takes.
        label: As the row has it, ``declared``, or ``in the price``.
    """

    per_inference_j: Interval | None
    idle_w: Interval
    idle: str
    busy_s: Interval
    label: str


def scaled(interval: Interval, factor: float) -> Interval:
    """Return an interval times a number above 0."""
    return Interval(interval.value * factor, interval.low * factor, interval.high * factor)


def inverse(interval: Interval) -> Interval:
    """Return 1 over an interval that lies above 0."""
    return Interval(1 / interval.value, 1 / interval.high, 1 / interval.low)


def exact(value: float) -> Interval:
    """Return an interval without width."""
    return Interval(value, value, value)


def power_of(row: Row, option: Option) -> Power | None:
    """Return what an inference takes; None where no meter told and nobody declared it."""
    per_s = _capacity_per_s(row)
    busy_s = inverse(per_s)
    if option.energy_included:
        return Power(None, exact(0.0), MEASURED_IDLE, busy_s, INCLUDED)
    told = row.energy
    if told.per_inference_j is not None:
        cost_j = told.per_inference_j
        idle_w, idle = _idle(told.idle_w, option, told.load_w or _product(cost_j, per_s))
        return Power(cost_j, idle_w, idle, busy_s, told.label)
    if option.declared_load_w is not None:
        per_inference_j = scaled(busy_s, option.declared_load_w)
        idle_w, idle = _idle(None, option, exact(option.declared_load_w))
        return Power(per_inference_j, idle_w, idle, busy_s, DECLARED)
    return None


def _capacity_per_s(row: Row) -> Interval:
    """Return inferences a second of one busy device.

    A server was busy for a part of its time, and no meter tells of it: no more is proven than the
    rate that it was measured at.
    """
    if row.scenario.kind is Kind.SERVER:
        return exact(row.scenario.rate_per_s)
    assert row.throughput_per_s is not None  # a row without one has a problem
    return row.throughput_per_s


def _idle(measured_w: Interval | None, option: Option, load_w: Interval) -> tuple[Interval, str]:
    if measured_w is not None:
        return Interval(measured_w.value, max(measured_w.low, 0.0), measured_w.high), MEASURED_IDLE
    if option.declared_idle_w is not None:
        return exact(option.declared_idle_w), DECLARED_IDLE
    return Interval(load_w.value, 0.0, load_w.high), UNKNOWN_IDLE


def _product(first: Interval, second: Interval) -> Interval:
    """Return the product of two intervals above 0, each at its worst at once."""
    return Interval(first.value * second.value, first.low * second.low, first.high * second.high)
