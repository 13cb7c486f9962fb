"""When a launch, and when the whole run, has told what it can: never because a difference shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from time import monotonic

from xbench.crew import Crew
from xbench.members import Job
from xbench.plan import Spec
from xbench.result import Interval
from xbench.rounds import FEWEST_ROUNDS, Rounds
from xbench.samples import Failure
from xbench.stats import half_width

FEWEST_LAUNCHES = 3  # below this, launch-to-launch variation cannot be told
SETTLED_ROUNDS = 24  # after these, a launch may end early if more rounds would add nothing
WITHIN_SHARE = 0.4  # of the target: rounds this sure are not what holds a ratio's interval open
WORTH_OF_START = 0.5  # of what a launch usually takes: with less time left there is no other


class Stopping:
    """The width of every ratio, the launches and the time: whichever is used up first.

    Args:
        spec: What was asked for.
        jobs: By cell id.
        rounds: What has been measured; it grows while the run goes on.
        failures: The same of cells that failed.
    """

    def __init__(
        self, spec: Spec, jobs: Mapping[int, Job], rounds: Rounds, failures: Sequence[Failure]
    ) -> None:
        self._spec, self._jobs, self._rounds, self._failures = spec, jobs, rounds, failures
        self._start_s = monotonic()

    def begin(self) -> None:
        """Let the time run from now on."""
        self._start_s = monotonic()

    def set_aside(self, seconds: float) -> None:
        """Leave out seconds that the time budget is not for."""
        self._start_s += seconds

    def elapsed_s(self) -> float:
        """Return the seconds that were spent."""
        return monotonic() - self._start_s

    def left_s(self) -> float:
        """Return the seconds that are left; negative where more were spent."""
        return self._spec.time_budget_s - self.elapsed_s()

    def share_s(self, launch: int) -> float:
        """Return the seconds for a launch: its part of what is left, or what the others took."""
        planned = self._spec.planned_launches
        if launch < planned:
            return self.left_s() / (planned - launch)
        return min(self.left_s(), self.elapsed_s() / launch)

    def alive(self, group: int | None = None) -> list[Job]:
        """Return the jobs of a group, or of all, that have not failed."""
        failed = {failure.cell for failure in self._failures}
        jobs = [job for job in self._jobs.values() if job.cell.id not in failed]
        return [job for job in jobs if group in (None, job.cell.group)]

    def launch_done(self, crew: Crew, rounds: int, deadline: float) -> bool:
        """Return whether a launch has told what it can, after so many rounds."""
        if rounds < FEWEST_ROUNDS:
            return False
        if monotonic() >= deadline:
            return True
        within = WITHIN_SHARE * self._spec.precision_target
        group = next((m.job.cell.group for m in crew.members.values()), None)
        settled = rounds >= SETTLED_ROUNDS and self._spec.most_launches > 1
        return settled and _narrow(self._ratios(group, crew.launch), within)

    def finished(self, launch: int) -> bool:
        """Return whether the run has told what it can, after a launch."""
        if not self.alive() or self.left_s() <= 0:
            return True
        if launch + 1 >= self._spec.planned_launches and not self._worth_another(launch):
            return True
        narrow = _narrow(self._ratios(), self._spec.precision_target)
        return launch + 1 >= FEWEST_LAUNCHES and narrow and bool(self._pairs())

    def _worth_another(self, launch: int) -> bool:
        """Return whether there is a ratio to narrow, and time for most of one more launch."""
        usual_s = self.elapsed_s() / (launch + 1)
        return bool(self._pairs()) and self.left_s() >= WORTH_OF_START * usual_s

    def _pairs(self, group: int | None = None) -> list[tuple[int, int]]:
        ids = [(job.cell.group, job.cell.id) for job in self.alive(group)]
        return [(a, b) for (g, a), (h, b) in combinations(ids, 2) if g == h]

    def _ratios(self, group: int | None = None, launch: int | None = None) -> list[Interval | None]:
        quiet = self._rounds.quiet()
        return [self._rounds.ratio(a, b, quiet, launch) for a, b in self._pairs(group)]


def _narrow(ratios: Sequence[Interval | None], target: float) -> bool:
    return all(ratio is not None and half_width(ratio) <= target for ratio in ratios)
