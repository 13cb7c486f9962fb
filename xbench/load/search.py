"""The largest arrival rate that a server holds within a latency limit, by bisection.

A measurement says one of three things of a rate: it holds (the upper bound of the percentile is
within the limit), it fails (the lower bound is beyond it, or the server is saturated), or it leaves
it open (the interval straddles the limit, or there were too few requests). Only what holds is ever
claimed, and only after a second measurement has said so again; a rate of which two measurements
contradict each other is open.

The percentile is taken to grow with the rate. It does for every server without a wait limit; one
that waits for its batches to fill may be slower at low rates, and the search then finds a rate from
which on it holds, not one down to which it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from xbench.result import Interval

TOLERANCE = 0.02
MOST_MEASUREMENTS = 24
NONE_HOLDS = "none holds"
REPEATS = 2  # of a rate that is left open, before the search goes round it


@dataclass(frozen=True, slots=True)
class Saturated:
    """The server cannot keep up: its latency grows for as long as it is measured."""

    reason: str = ""


Reading = Interval | Saturated | None
"""A percentile's interval, in nanoseconds; or saturation; or None, with too few requests."""


class Says(StrEnum):
    """What a measurement says of a rate."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Trial:
    """One measurement of one rate, by its number from 0."""

    number: int
    rate_per_s: float
    reading: Reading
    says: Says


@dataclass(frozen=True, slots=True)
class Found:
    """What the search found.

    Attributes:
        holds_per_s: The largest rate that was measured to hold, twice; None where none was.
        fails_per_s: The smallest rate above it that was measured to fail; None where none was.
        trials: Every measurement, in order.
        stopped: Why it ended: ``tolerance`` (the two are as close as asked, but for rates that are
            left open), ``budget`` or ``none holds``.
    """

    holds_per_s: float | None
    fails_per_s: float | None
    trials: tuple[Trial, ...]
    stopped: str

    @property
    def open_per_s(self) -> tuple[float, ...]:
        """Return the rates between that were measured and left open, in order."""
        low, high = self.holds_per_s or 0.0, self.fails_per_s or inf
        left = {one.rate_per_s for one in self.trials if one.says is Says.OPEN}
        return tuple(sorted(rate for rate in left if low < rate < high))


def says(reading: Reading, limit_ns: float) -> Says:
    """Return what a measurement says of its rate, given the limit of the percentile."""
    if isinstance(reading, Saturated):
        return Says.FAILS
    if reading is None or reading.low <= limit_ns < reading.high:
        return Says.OPEN
    return Says.HOLDS if reading.high <= limit_ns else Says.FAILS


def largest_rate(
    measure: Callable[[float], Reading],
    limit_ns: float,
    guess_per_s: float,
    *,
    tolerance: float = TOLERANCE,
    most: int = MOST_MEASUREMENTS,
    least_per_s: float | None = None,
    go_on: Callable[[], bool] = lambda: True,
    confirm: Callable[[], bool] = lambda: False,
) -> Found:
    """Return the largest rate that holds the limit, within ``tolerance``, and how it was found.

    Args:
        measure: Measures a rate anew; asked for one again, it may pool with what it had.
        limit_ns: What the percentile must not exceed.
        guess_per_s: Where to begin, such as half of what the server does in a closed loop.
        tolerance: Of the bracket, as a share of its upper end.
        most: Most measurements.
        least_per_s: No smaller rate is tried; a thousandth of the guess where not given.
        go_on: Asked before each measurement; False ends the search.
        confirm: Asked when that has ended it: whether there is time to measure the largest rate
            that held but once a second time, without which it is not claimed.
    """
    if not (limit_ns > 0 and guess_per_s > 0 and 0 < tolerance < 1 and most > 0):
        raise ValueError(f"need a limit, a guess, a tolerance and a budget above 0: {limit_ns=}")
    search = _Search(measure, limit_ns, go_on, most)
    search.ask(guess_per_s)
    while (rate_per_s := search.next_rate(tolerance)) is not None:
        if rate_per_s < (least_per_s or guess_per_s / 1000):
            return search.found(NONE_HOLDS)
        if not search.ask(rate_per_s):
            search.confirm(confirm)
            return search.found("budget")
    return search.found("tolerance")


@dataclass(slots=True)
class _Search:
    """What was measured so far, and what to measure next."""

    measure: Callable[[float], Reading]
    limit_ns: float
    go_on: Callable[[], bool]
    most: int
    trials: dict[float, list[Trial]] = field(default_factory=dict)
    spent: int = 0

    def ask(self, rate_per_s: float) -> bool:
        """Measure a rate; again where it is left open. False where the budget is spent."""
        for _ in range(REPEATS):
            if self.spent >= self.most or not self.go_on():
                return False
            reading = self.measure(rate_per_s)
            trial = Trial(self.spent, rate_per_s, reading, says(reading, self.limit_ns))
            self.trials.setdefault(rate_per_s, []).append(trial)
            self.spent += 1
            if trial.says is not Says.OPEN:
                break
        return True

    def confirm(self, go_on: Callable[[], bool]) -> None:
        """Measure the largest rate that holds once more, where it held but once."""
        self.go_on, self.most = go_on, self.spent + REPEATS
        while (rate_per_s := self.holds) is not None and not self._sure(rate_per_s):
            if not self.ask(rate_per_s):
                return

    def next_rate(self, tolerance: float) -> float | None:
        """Return the rate to measure next, or None where the bracket is as narrow as asked.

        First an upper and a lower end are sought, by doubling and halving; then the widest gap
        between them is halved; at last each end is measured once more.
        """
        low, high = self.holds, self.fails
        if high is None:
            return 2 * max(self.trials)
        if low is None:
            return min(self.trials) / 2
        left = [rate for rate in self.trials if low < rate < high]  # open: it may be below or above
        gaps = [(low, min(left)), (max(left), high)] if left else [(low, high)]
        below, above = max(gaps, key=lambda gap: gap[1] - gap[0])
        if above - below > tolerance * high:
            return (below + above) / 2
        return next((end for end in (low, high) if not self._sure(end)), None)

    @property
    def fails(self) -> float | None:
        """Return the smallest rate that fails."""
        return min((rate for rate in self.trials if self._says(rate) is Says.FAILS), default=None)

    @property
    def holds(self) -> float | None:
        """Return the largest rate that holds, below all that fail."""
        fails = self.fails or inf
        held = (rate for rate in self.trials if self._says(rate) is Says.HOLDS and rate < fails)
        return max(held, default=None)

    def found(self, why: str) -> Found:
        """Return what is known; a rate that held but once is not claimed."""
        fails = self.fails or inf
        sure = [
            rate
            for rate in self.trials
            if rate < fails and self._says(rate) is Says.HOLDS and self._sure(rate)
        ]
        trials = sorted((one for each in self.trials.values() for one in each), key=_order)
        return Found(max(sure, default=None), self.fails, tuple(trials), why)

    def _says(self, rate_per_s: float) -> Says:
        """Return what the last measurement of a rate says; open where two contradict each other."""
        said = [one.says for one in self.trials[rate_per_s]]
        return Says.OPEN if {Says.HOLDS, Says.FAILS} <= set(said) else said[-1]

    def _sure(self, rate_per_s: float) -> bool:
        """Return whether what is said of a rate was said twice, or the server was saturated."""
        trials = self.trials[rate_per_s]
        last = trials[-1]
        same = sum(one.says is last.says for one in trials)
        return same >= 2 or isinstance(last.reading, Saturated)


def _order(trial: Trial) -> int:
    return trial.number
