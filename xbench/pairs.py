"""Rows against each other: ratios from the rounds in which both ran, verdicts, and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from xbench.plan import Cell, Spec
from xbench.result import CellResult, Comparison, Interval, Verdict
from xbench.rounds import Round, Rounds
from xbench.stats import ranks, seconds_needed, verdict

FEWEST_TO_FORESEE = 3  # launches: two tell so little of how they differ that it would be hours
TIE_WIDTHS = 2.0  # a tie's margin in precision targets: see `xbench.stats.verdict`


@dataclass(frozen=True, slots=True)
class Pairs:
    """The cells of a run, two by two within a batch size.

    Attributes:
        spent_s: Seconds that were measured in.
    """

    spec: Spec
    cells: Sequence[Cell]
    rounds: Rounds
    spent_s: float

    def comparisons(self, rows: Sequence[CellResult]) -> tuple[Comparison, ...]:
        """Return every pair of ranked rows of one batch size, the earlier one as the baseline."""
        ranked = [cell for cell in self.cells if rows[cell.id].ranked]
        return tuple(
            self._by_rate(first, second, rows)
            if self.spec.load.searches
            else self._comparison(first, second)
            for first, second in combinations(ranked, 2)
            if first.group == second.group
        )

    def ranks(self, rows: Sequence[CellResult]) -> list[int | None]:
        """Return each row's rank by the paired ratios, not by its own p50.

        Both sides of a ratio saw the same disturbances.
        """
        found: dict[int, int] = {}
        pairs = self.comparisons(rows)
        for group in {cell.group for cell in self.cells}:
            members = [c.id for c in self.cells if c.group == group and rows[c.id].ranked]
            own = [pair for pair in pairs if pair.baseline_id in members]
            relative = dict.fromkeys(members[:1], 1.0)
            for pair in own:
                if pair.baseline_id == members[0] and pair.ratio:
                    relative[pair.candidate_id] = 1.0 / pair.ratio.value
            said = {(pair.baseline_id, pair.candidate_id): pair.verdict for pair in own}
            found |= ranks(relative, said)
        return [found.get(row.id) for row in rows]

    def _by_rate(self, first: Cell, second: Cell, rows: Sequence[CellResult]) -> Comparison:
        """Return two rows by the largest rates that a search found to hold, and to fail."""
        holds, fails = zip(*(_rates(rows[cell.id]) for cell in (first, second)), strict=True)
        ratio = None
        if all(holds) and all(fails):
            value, low, high = holds[1] / holds[0], holds[1] / fails[0], fails[1] / holds[0]
            ratio = Interval(value, low, high)
        return Comparison(
            baseline=first.label,
            candidate=second.label,
            baseline_id=first.id,
            candidate_id=second.id,
            ratio=ratio,
            verdict=verdict(ratio, TIE_WIDTHS * self.spec.precision_target),
        )

    def _comparison(self, first: Cell, second: Cell) -> Comparison:
        rounds = self.rounds
        common = rounds.of_cell(first.id) & rounds.of_cell(second.id)
        quiet = common & rounds.quiet()
        ratio = rounds.ratio(first.id, second.id, quiet) or rounds.ratio(first.id, second.id)
        launches = len({launch for launch, _ in common})
        said = self._verdict(ratio, launches)
        needed_s = None
        if said is Verdict.UNDETERMINED and ratio and launches >= FEWEST_TO_FORESEE:
            needed_s = seconds_needed(ratio, self.spec.precision_target, self.spent_s)
        disturbed = rounds.ratio(first.id, second.id, common - quiet)
        return Comparison(
            baseline=first.label,
            candidate=second.label,
            baseline_id=first.id,
            candidate_id=second.id,
            ratio=ratio,
            verdict=said,
            quiet_share=_quiet_share(rounds, common),
            disturbed_ratio=disturbed.value if disturbed else None,
            needed_s=needed_s,
        )

    def _verdict(self, ratio: Interval | None, launches: int) -> Verdict:
        """Return what the ratio allows; one launch decides only where no more were to be had."""
        if launches < 2 and self.spec.most_launches > 1:
            return Verdict.UNDETERMINED
        return verdict(ratio, TIE_WIDTHS * self.spec.precision_target)


def _rates(row: CellResult) -> tuple[float | None, float | None]:
    """Return the largest rate that a search found to hold, and the smallest to fail."""
    found = (row.load or {}).get("search", {})
    return found.get("holds_per_s"), found.get("fails_per_s")


def _quiet_share(rounds: Rounds, common: frozenset[Round]) -> float | None:
    """Return the quiet share of the rounds in ``common``; 0 where no quiet regime was told."""
    if not common or not rounds.quiet_share():
        return rounds.quiet_share() if common else None
    return len(common & rounds.quiet()) / len(common)
