"""How often a meter renews its value: found by reading it, not believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from statistics import median

from xbench.telemetry.meter import Kind, Meter, MeterError
from xbench.telemetry.passage import Passage
from xbench.telemetry.window import together

PROBE_S = 2.5
STEP_S = 0.002
STEADY_S = 0.1  # the least that is taken for the period of a power that is steady under load
ENOUGH = 20  # changes, after which the period is known well enough
CANNOT = "It is not wired up on this machine (in a virtual machine it often is not)"


@dataclass(slots=True)
class Changes:
    """When a meter's value changed, as seen by reading it every 2 ms."""

    meter: Meter
    start_s: float
    at_s: list[float] = field(default_factory=list)
    last: float | None = None
    failure: MeterError | None = None

    def take(self, passage: Passage) -> float:
        """Read the meter, and return the seconds until it is to be read again."""
        try:
            value = self.meter.read()
        except MeterError as error:
            self.failure = error
            return inf
        if self.last is not None and value != self.last:
            self.at_s.append(passage.now())
        self.last = value
        return STEP_S if len(self.at_s) <= ENOUGH else inf

    def period_s(self) -> float:
        """Return the seconds from one change to the next, by the median.

        A value that is renewed more often than it is read changes with every reading: then the
        period is at most what is returned. A power that is steady once the load has come was
        renewed by its last change; nothing after depends on how often.

        Raises:
            MeterError: If the meter cannot be read, or stood still as the load came.
        """
        if self.failure:
            raise self.failure
        if len(self.at_s) >= 3:
            return median(b - a for a, b in pairwise(self.at_s))
        if self.meter.kind is Kind.COUNTER:
            if not self.at_s:
                told = f"the counter did not advance in {PROBE_S:g} s while the model ran"
                raise MeterError(told, CANNOT)
            return PROBE_S / len(self.at_s)
        if not self.at_s:
            told = f"it stood at {self.last:.4g} W when the model started to run"
            raise MeterError(told, "This meter does not follow the load and cannot be used")
        return max(STEADY_S, self.at_s[-1] - self.start_s)


def probe(
    meters: Sequence[Meter], run_for: Callable[[float], int], passage: Passage
) -> dict[str, float | MeterError]:
    """Return by a meter's name its update period in seconds, or why it cannot be used.

    The meters are read from when an idle device starts to run the model: a steady load tells no
    period.
    """
    start_s = passage.now()
    seen = [Changes(meter, start_s) for meter in meters if meter.kind is not Kind.CONSTANT]
    with passage.beside(together(seen, passage)):
        run_for(PROBE_S)
    found: dict[str, float | MeterError] = {meter.name: 0.0 for meter in meters}
    for changes in seen:
        try:
            found[changes.meter.name] = changes.period_s()
        except MeterError as error:
            found[changes.meter.name] = error
    return found
