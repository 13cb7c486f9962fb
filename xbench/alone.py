"""What is measured row by row, each for minutes: load that is sustained, and the largest rate.

Rounds cannot interleave these: a device is warm from whoever ran before, and a search goes where
its own answers send it. So rows have no ratio from common rounds of a search, and the order in
which rows were sustained is a caution of the report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from time import monotonic
from typing import Any

from xbench.crew import Crew, Failed
from xbench.interrupts import Interrupts
from xbench.load.account import account, reading
from xbench.load.scenario import Scenario
from xbench.load.search import Found, Reading, Saturated, Trial, largest_rate, says
from xbench.load.served import Served
from xbench.load.slo import Slo, parse_slo
from xbench.load.sustained import POINTS
from xbench.plan import Spec
from xbench.result import Interval
from xbench.samples import Epoch, Failure
from xbench.turns import Turns

WINDOW_S = (2.0, 30.0)  # of a search: the least and the most that its requests make of it
WINDOW_REQUESTS = 1600  # enough for a p99 at a low utilisation; at higher ones windows are pooled
MOST_WINDOWS = 3  # of one measurement of a rate
OF_A_CELL = 100_000  # rounds: those of a search are no other cell's
CONFIRM_SHARE = 0.2  # of a search's time: to measure once more what is to be claimed
FIRST_SHARE = 0.5  # of what a closed loop does: where a search begins


@dataclass(frozen=True, slots=True)
class Alone:
    """Measures the members of a crew one after the other.

    Attributes:
        keep: Takes each epoch with the order of its round.
        failed: Hears why a cell did not get through.
        found: Takes what a search told of a cell.
    """

    spec: Spec
    turns: Turns
    interrupts: Interrupts
    keep: Callable[[tuple[int, ...], Epoch], None]
    failed: Callable[[Failure], None]
    found: Callable[[int, Mapping[str, Any]], None]

    def measure(self, crew: Crew, left_s: Callable[[], float]) -> None:
        """Have each member of a crew do what the scenario asks for.

        Args:
            crew: The workers; only the one whose turn it is runs.
            left_s: Returns the seconds that are left for all.
        """
        cells = sorted(crew.members)
        for position, cell in enumerate(cells):
            if self.interrupts.requested:
                return
            try:
                if self.spec.load.searches:
                    self._search(crew, cell, max(0.0, left_s()) / (len(cells) - position))
                else:
                    self._sustain(crew, cells, position)
            except Failed as problem:
                self.failed(problem.failure)

    def _sustain(self, crew: Crew, cells: list[int], position: int) -> None:
        """Run one cell without a pause, but for what separates sixty stretches of time."""
        cell, seconds = cells[position], self.spec.load.duration_s / POINTS
        job, label = crew.members[cell].job, crew.members[cell].job.cell.label
        for number in range(POINTS):
            feed = number % job.feed_count
            if number % (POINTS // 6) == 0:
                crew.tell(f"sustaining {label}: {number / POINTS:.0%}")
            turn = {"do": "loop", "feed": feed, "settle": 0, "seconds": seconds}
            work = partial(crew.work, cell, turn, seconds)
            epoch = self.turns.alone(crew, (number, position, cell, feed), work)
            self.keep(tuple(cells), epoch)
            if self.interrupts.requested:
                return

    def _search(self, crew: Crew, cell: int, seconds: float) -> None:
        """Search for the largest rate of one cell within so many seconds."""
        assert self.spec.slo is not None  # `Spec.check` made sure
        slo, member = parse_slo(self.spec.slo), crew.members[cell]
        load, deadline = self.spec.load, monotonic() + seconds
        kept_s = CONFIRM_SHARE * seconds
        guess_per_s = FIRST_SHARE * load.streams * 1e9 / max(1.0, member.settled_ns)
        search = _Search(self, crew, cell, slo, deadline)
        found = largest_rate(
            search.measure,
            slo.limit_s * 1e9,
            guess_per_s,
            go_on=lambda: monotonic() < deadline - kept_s and not self.interrupts.requested,
            confirm=lambda: monotonic() < deadline and not self.interrupts.requested,
        )
        self.found(cell, search_told(found, self.spec.slo))


class _Search:
    """The windows of one cell, by rate."""

    def __init__(self, alone: Alone, crew: Crew, cell: int, slo: Slo, deadline: float) -> None:
        self._alone, self._crew, self._cell, self._slo = alone, crew, cell, slo
        self._deadline = deadline
        self._windows: dict[float, list[Served]] = defaultdict(list)
        self._number = OF_A_CELL * cell

    def measure(self, rate_per_s: float) -> Reading:
        """Return what windows at a rate say together, those of earlier measurements included.

        Windows are added until they say whether the limit holds.
        """
        label = self._crew.members[self._cell].job.cell.label
        self._crew.tell(f"searching for the largest rate of {label}: {rate_per_s:.4g} a second")
        limit_ns, found = self._slo.limit_s * 1e9, None
        for _ in range(MOST_WINDOWS):
            self._windows[rate_per_s].append(self._window(rate_per_s))
            found = reading(account(self._windows[rate_per_s]), self._slo.percentile)
            decided = says(found, limit_ns).value != "open"
            if decided or monotonic() > self._deadline or self._alone.interrupts.requested:
                break
        return found

    def _window(self, rate_per_s: float) -> Served:
        load = replace(self._alone.spec.load, rate_per_s=rate_per_s)
        least, most = WINDOW_S
        seconds = min(most, max(least, WINDOW_REQUESTS / rate_per_s))
        self._number += 1
        job = self._crew.members[self._cell].job
        feed = self._number % job.feed_count
        turn = self._turn(load, feed, seconds)
        work = partial(self._crew.work, self._cell, turn, seconds)
        place = (self._number, 0, self._cell, feed)
        epoch = self._alone.turns.alone(self._crew, place, work)
        self._alone.keep((self._cell,), epoch)
        assert epoch.served is not None  # it is what `serve` returns
        return Served.from_json(epoch.served)

    def _turn(self, load: Scenario, feed: int, seconds: float) -> dict[str, Any]:
        seed = self._alone.spec.seed + len(self._windows[load.rate_per_s])
        words = {"scenario": str(load), "seconds": seconds, "seed": seed}
        return {"do": "serve", "feed": feed, "settle": 1, **words}


def search_told(found: Found, slo: str) -> dict[str, Any]:
    """Return what a search found as plain data, rates in requests a second, times in ns."""
    return {
        "slo": slo,
        "holds_per_s": found.holds_per_s,
        "fails_per_s": found.fails_per_s,
        "open_per_s": list(found.open_per_s),
        "stopped": found.stopped,
        "trials": [_trial(one) for one in found.trials],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    known = trial.reading if isinstance(trial.reading, Interval) else None
    return {
        "rate_per_s": trial.rate_per_s,
        "says": trial.says.value,
        "saturated": isinstance(trial.reading, Saturated),
        "latency_ns": asdict(known) if known else None,
    }
