"""From rounds to ratios: which rounds were quiet, and how two cells compare in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import log
from statistics import median

from xbench.result import Interval
from xbench.samples import Epoch
from xbench.stats import FEWEST_QUIET, quiet_limit, quiet_rounds, ratio_interval

Round = tuple[int, int]  # launch, number within it

CALM_CPUS = 0.25  # that other programs may take in a quiet round; a calm machine shows up to 0.15
FEWEST_ROUNDS = 3  # that a row's numbers come from
FEWEST_CALM = 4
LEAST_CALM_SHARE = 0.2


def undisturbed(epochs: Sequence[Epoch], quiet: frozenset[Round]) -> tuple[Epoch, ...]:
    """Return a cell's epochs that its numbers come from: those of quiet rounds.

    Where fewer than three are, all of them.
    """
    found = tuple(epoch for epoch in epochs if (epoch.launch, epoch.round) in quiet)
    return found if len(found) >= FEWEST_ROUNDS else tuple(epochs)


class Rounds:
    """The p50 of every epoch, by cell and round; grows while a run goes on.

    Args:
        epochs: What there is already.
        samples: Of a query, by cell: latency counts for one sample. 1 for a cell that is not there.
    """

    def __init__(
        self, epochs: Iterable[Epoch] = (), samples: Mapping[int, int] | None = None
    ) -> None:
        self._samples = samples or {}
        self._log_p50: dict[int, dict[Round, float]] = defaultdict(dict)
        self._canary_ns: dict[Round, float] = {}
        self._others_cpus: dict[Round, float] = {}
        self._throttled: set[Round] = set()
        self.add(epochs)

    def add(self, epochs: Iterable[Epoch]) -> None:
        """Take more epochs."""
        for epoch in epochs:
            key = (epoch.launch, epoch.round)
            of_sample = median(epoch.latencies_ns) / self._samples.get(epoch.cell, 1)
            self._log_p50[epoch.cell][key] = log(of_sample)
            if epoch.others_cpus is not None:
                self._others_cpus[key] = epoch.others_cpus
            if epoch.gpu and epoch.gpu.throttled_by:
                self._throttled.add(key)
            if epoch.canary_ns:
                worst = max(*epoch.canary_ns, self._canary_ns.get(key, 0.0))
                self._canary_ns[key] = worst

    def of_cell(self, cell: int) -> frozenset[Round]:
        """Return the rounds that ``cell`` took part in."""
        return frozenset(self._log_p50.get(cell, ()))

    def every(self) -> frozenset[Round]:
        """Return all rounds."""
        return frozenset(key for rounds in self._log_p50.values() for key in rounds)

    def quiet_share(self) -> float | None:
        """Return the share of undisturbed rounds; None where nothing could tell.

        0 where no quiet regime could be told: then all rounds count, and none is known quiet.
        """
        if not self._canary_ns and not self._others_cpus and not self._throttled:
            return None
        known = self._known_quiet()
        return 0.0 if known is None else len(known) / len(self.every())

    def throttled_share(self) -> float:
        """Return the share of the rounds in which a GPU was throttled."""
        return len(self._throttled) / max(1, len(self.every()))

    def quiet(self) -> frozenset[Round]:
        """Return the rounds in which the machine was undisturbed.

        Other programs took next to nothing, the canary was as fast as at the best of times, and no
        GPU was throttled: heat that one cell made may have slowed another.
        Where hardly a round was so, all are returned: then the regimes cannot be told apart.
        """
        known = self._known_quiet()
        return self.every() if known is None else known

    def _known_quiet(self) -> frozenset[Round] | None:
        """Return the undisturbed rounds; None where no quiet regime can be told."""
        calm = self._calm()
        sung = {key: time_ns for key, time_ns in self._canary_ns.items() if key in calm}
        if not calm:
            return None
        if len(sung) < FEWEST_QUIET:  # the kernel's accounts alone can tell
            return calm
        known = quiet_limit(sung.values()) is not None
        return quiet_rounds(sung) | (calm - sung.keys()) if known else None

    def _calm(self) -> frozenset[Round]:
        """Return those without other programs or throttling; none where too few can speak."""
        every = self.every()
        alone = (key for key in every if self._others_cpus.get(key, 0.0) <= CALM_CPUS)
        calm = frozenset(alone) - self._throttled
        enough = len(calm) >= max(FEWEST_CALM, LEAST_CALM_SHARE * len(every))
        return calm if enough else frozenset()

    def ratio(
        self,
        baseline: int,
        candidate: int,
        among: frozenset[Round] | None = None,
        launch: int | None = None,
    ) -> Interval | None:
        """Return baseline latency over candidate latency at p50, from the rounds both ran in.

        Args:
            baseline: A cell's id.
            candidate: Another cell's id.
            among: Only these rounds count; None stands for every one.
            launch: Only this launch counts; None stands for every one.

        Returns:
            The ratio with its 95 % interval, or None with fewer than two common rounds.
        """
        common = self.of_cell(baseline) & self.of_cell(candidate)
        common = common if among is None else common & among
        by_launch: dict[int, list[float]] = defaultdict(list)
        for key in sorted(common):
            if launch in (None, key[0]):
                ratio = self._log_p50[baseline][key] - self._log_p50[candidate][key]
                by_launch[key[0]].append(ratio)
        if sum(map(len, by_launch.values())) < 2:
            return None
        return ratio_interval(list(by_launch.values()))
