"""From readings within a window to mean watts, from one tick of the meter to another.

A meter renews its value every so often: NVML's energy counter about every 100 ms. A counter that
is read when a window starts and when it ends is off by up to a tick at each side, 5 % of a window
of 2 s. So the first and the last tick within the window are sought, by reading often there and
rarely between, and the energy between these is divided by the time between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from statistics import fmean
from typing import Protocol

from xbench.telemetry.meter import Kind, Meter, MeterError
from xbench.telemetry.passage import Passage, Poll

FEWEST_PERIODS = 20  # of the meter in a window
SHORTEST_STEP_S = 0.001
STEPS = 400  # at most, in a window: a tick is off by half of that, and readings slow no inference
LOCATED_SHARE = 0.01  # of a window: between the readings before and after a tick that counts
LEAST_SPAN = 0.6  # of the window, between the first tick and the last
FEWEST_SAMPLES = 10
RETRY = "Run it again; if it stays, this meter cannot be used here"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter said, in joules or watts, and when."""

    at_s: float
    value: float


@dataclass(slots=True)
class Trace:
    """The readings of one meter over one window.

    Attributes:
        period_s: How often the meter renews its value, as `xbench.telemetry.probe` found it.
        start_s: When the window starts, on the passage's clock.
        length_s: How long it is meant to be.
        readings: All of them, oldest first.
        ticks: Where a counter was seen to advance, and to what: those that are located to a
            hundredth of the window, which is half of that off at most.
        failure: Why the meter stopped being read.
    """

    meter: Meter
    period_s: float
    start_s: float
    length_s: float
    readings: list[Reading] = field(default_factory=list)
    ticks: list[Reading] = field(default_factory=list)
    failure: MeterError | None = None

    def take(self, passage: Passage) -> float:
        """Read the meter, and return the seconds until it is to be read again."""
        if self.meter.kind is Kind.CONSTANT or self.failure:
            return inf
        before_s = passage.now()
        try:
            value = self.meter.read()
        except MeterError as error:
            self.failure = error
            return inf
        at_s = (before_s + passage.now()) / 2
        self._append(at_s, value)
        return max(0.0, self._next_s(at_s) - passage.now())

    def watts(self) -> float:
        """Return the mean power in the window, in watts.

        Raises:
            MeterError: If the meter did not tell it, or what it told cannot be true.
        """
        if self.failure:
            raise self.failure
        if self.meter.kind is Kind.CONSTANT:
            return self.meter.read()
        mean = self._counted_w() if self.meter.kind is Kind.COUNTER else self._sampled_w()
        if not 0 < mean <= self.meter.most_w:
            told = f"{mean:.4g} W is more than the {self.meter.most_w:.4g} W that it can draw"
            raise MeterError("the meter reads 0 W" if mean <= 0 else told, RETRY)
        return mean

    def _append(self, at_s: float, value: float) -> None:
        """Keep a reading; one that cannot follow the one before it ends the trace."""
        last = self.readings[-1] if self.readings else None
        self.readings.append(Reading(at_s, value))
        if last is None or self.meter.kind is not Kind.COUNTER:
            return
        gap_s = at_s - last.at_s
        self.failure = self._impossible(value - last.value, gap_s)
        located = gap_s <= LOCATED_SHARE * self.length_s
        seen = last.at_s >= self.start_s + self.meter.settle_s and located
        if seen and value != last.value:
            self.ticks.append(Reading((last.at_s + at_s) / 2, value))

    def _impossible(self, energy_j: float, gap_s: float) -> MeterError | None:
        """Return why a counter cannot have advanced so, or None."""
        if energy_j < 0:
            return MeterError("the counter was set back (was the driver loaded again?)", RETRY)
        if gap_s > self.meter.longest_gap_s:
            told = f"{gap_s:.3g} s passed between two readings, in which the counter may have"
            return MeterError(f"{told} wrapped unseen", RETRY)
        if energy_j > self.meter.most_w * (gap_s + self.period_s):
            told = f"the counter rose by {energy_j:.4g} J in {gap_s:.3g} s"
            return MeterError(f"{told}, more than the device can draw", RETRY)
        return None

    def _next_s(self, at_s: float) -> float:
        """Return when the meter is to be read again."""
        if self.meter.kind is Kind.POWER:
            return at_s + max(self.period_s / 2, SHORTEST_STEP_S)
        tail_s = self.start_s + 0.97 * self.length_s - 2 * self.period_s
        if self.ticks and at_s < tail_s:
            return min(tail_s, at_s + self.meter.longest_gap_s / 4)
        return at_s + max(SHORTEST_STEP_S, self.length_s / STEPS)

    def _counted_w(self) -> float:
        """Return the energy between the first tick and the last over the time between them."""
        if len({one.value for one in self.readings}) < 2:
            raise MeterError(
                f"the counter did not advance in {self.length_s:.3g} s",
                "It is not wired up on this machine (in a virtual machine it often is not)",
            )
        ticks = self.ticks
        span_s = ticks[-1].at_s - ticks[0].at_s if ticks else 0.0
        if span_s < LEAST_SPAN * self.length_s:
            raise MeterError("too few of the counter's ticks were seen in the window", RETRY)
        return (ticks[-1].value - ticks[0].value) / span_s

    def _sampled_w(self) -> float:
        """Return the mean of the watts over time, by the trapezoidal rule.

        A value stays until it is renewed, so the first period tells of the time before.
        """
        from_s = self.start_s + self.meter.settle_s + self.period_s
        told = [one for one in self.readings if one.at_s >= from_s]
        if len(told) < FEWEST_SAMPLES:
            raise MeterError(f"only {len(told)} samples of its power were taken", RETRY)
        areas = (fmean((a.value, b.value)) * (b.at_s - a.at_s) for a, b in pairwise(told))
        return sum(areas) / (told[-1].at_s - told[0].at_s)


def needed_s(meter: Meter, period_s: float) -> float:
    """Return the shortest window for a meter, in seconds: 20 periods once it has settled."""
    return meter.settle_s + FEWEST_PERIODS * period_s


class Taking(Protocol):
    """Something that is read now and then."""

    def take(self, passage: Passage) -> float:
        """Read it, and return the seconds until it is to be read again."""
        ...


def together(traces: Sequence[Taking], passage: Passage) -> Poll:
    """Return a poll that takes from each trace whenever it is due."""
    due = [passage.now()] * len(traces)

    def poll() -> float:
        for place, trace in enumerate(traces):
            if due[place] <= passage.now():
                wait_s = trace.take(passage)
                due[place] = passage.now() + wait_s
        return max(0.0, min(due, default=inf) - passage.now())

    return poll
