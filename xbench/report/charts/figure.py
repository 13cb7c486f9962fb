"""What a chart is made of before it is drawn, and what a run gives to charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xbench.load.scenario import Kind, Scenario
from xbench.report.load import scenario_of
from xbench.report.text import shorten
from xbench.report.view import apart, by_group
from xbench.result import CellResult, Run
from xbench.rounds import Round, Rounds, undisturbed
from xbench.rows import whole_launches
from xbench.samples import Epoch, Samples

LONGEST_NAME = 40  # of a label in a chart; the table has it whole
NO_SAMPLES = "The samples of this run are not at hand: give its folder, not its document."
NO_TURNS = "No row that is ranked has single inferences: only what they say together was kept."
MOST_ROWS = 40  # of one chart: beyond this nobody reads it


@dataclass(frozen=True, slots=True)
class Drawing:
    """An altair chart and, by name, the rows that it is drawn from."""

    chart: Any
    sets: Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers behind a figure, as they are read.

    Attributes:
        header: The first names the rows.
        rows: As many texts as the header has.
        numbers: The headers of columns that are aligned to the right.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart with all that stands around it.

    Attributes:
        key: What it is about, a word: the same for a chart of the same kind.
        title: A heading, the same for a chart of the same kind.
        setting: What sets it apart from the others of its kind, such as its batch size, or empty.
        caption: How to read it, the same for a chart of the same kind.
        note: What is to be said of this one besides, or empty.
        table: The numbers behind it.
        draw: From a width in pixels to the chart.
    """

    key: str
    title: str
    caption: str
    table: Table
    draw: Callable[[int], Drawing]
    setting: str = ""
    note: str = ""

    @property
    def whole_title(self) -> str:
        """Return a heading that is this chart's alone."""
        return f"{self.title}, {self.setting}" if self.setting else self.title


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no figure, in a sentence."""

    key: str
    title: str
    why: str
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Sampled:
    """The ranked rows of a group, those of them that have samples, and what sets it apart.

    Rows stand with the best first.
    """

    setting: str
    ranked: tuple[CellResult, ...]
    rows: tuple[CellResult, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """A run and what its samples say.

    Attributes:
        epochs: By cell, the turns of all rounds, oldest first; empty without samples.
        quiet: The undisturbed rounds.
        at_hand: Whether there are samples of the run at all.
        names: By cell, its name fit for a chart, and no other's of its batch.
        places: By cell, the place of its name among the run's: colour, shape and dash.
    """

    run: Run
    epochs: Mapping[int, tuple[Epoch, ...]]
    quiet: frozenset[Round]
    at_hand: bool
    names: Mapping[int, str]
    places: Mapping[int, int]

    @classmethod
    def of(cls, run: Run, samples: Samples | None) -> Material:
        """Return what charts are drawn from."""
        by_cell: dict[int, list[Epoch]] = defaultdict(list)
        for epoch in samples.epochs if samples else ():
            by_cell[epoch.cell].append(epoch)
        epochs = {cell: tuple(sorted(own, key=_when)) for cell, own in by_cell.items()}
        quiet = Rounds(samples.epochs).quiet() if samples and samples.epochs else frozenset()
        order = list(dict.fromkeys(cell.name for cell in run.results))
        places = {cell.id: order.index(cell.name) for cell in run.results}
        return cls(run, epochs, quiet, samples is not None, _names(run.results), places)

    def batches(self) -> Iterable[tuple[int | None, tuple[CellResult, ...]]]:
        """Yield batch size and rows of each group, as `xbench.report.view.groups` has them."""
        yield from ((batch, tuple(cells)) for batch, cells in by_group(self.run.results).items())

    def sampled(self, key: str, title: str) -> Iterator[Sampled | Missing]:
        """Yield of each group with ranked rows those that have samples, or why none has.

        Args:
            key: Of the chart.
            title: Of the chart.
        """
        groups = list(self.batches())
        for batch, cells in groups:
            setting, ranked = setting_of(batch, len(groups) > 1), tuple(best_first(cells))
            own = tuple(cell for cell in ranked if self.counted_turns(cell))
            if own:
                yield Sampled(setting, ranked, own)
            elif ranked:
                yield Missing(key, title, self.why_no_turns, setting)

    def ranked(self) -> tuple[CellResult, ...]:
        """Return the rows that may be compared, batch by batch and the best first."""
        return tuple(cell for _, cells in self.batches() for cell in best_first(cells))

    def label(self, cell: CellResult) -> str:
        """Return a row's name among all rows of the run, fit for a chart."""
        several = bool(apart(self.run))
        batch = f" · {f'batch {cell.batch}' if cell.batch else 'own batch'}" if several else ""
        return f"{self.names[cell.id]}{batch}"

    def counted_turns(self, cell: CellResult) -> tuple[Epoch, ...]:
        """Return the turns that a row's numbers come from, as `xbench.rows` chooses them."""
        turns = self.epochs.get(cell.id, ())
        if search := (cell.load or {}).get("search"):
            served = ((turn, turn.served) for turn in turns if turn.served)
            return tuple(one for one, told in served if told["rate_per_s"] == search["holds_per_s"])
        if self.scenario.kind is Kind.SUSTAINED and turns:
            return tuple(one for own in whole_launches(turns).values() for one in own)
        return undisturbed(turns, self.quiet)

    @property
    def scenario(self) -> Scenario:
        """Return how the run's inferences were asked for."""
        return scenario_of(self.run)

    @property
    def why_no_turns(self) -> str:
        """Return why no row has turns."""
        return NO_TURNS if self.at_hand else NO_SAMPLES

    def styles(self, cells: Iterable[CellResult]) -> Mapping[str, int]:
        """Return the place of each row by its name in a chart of one group, in their order."""
        return {self.names[cell.id]: self.places[cell.id] for cell in cells}


def best_first(cells: Iterable[CellResult]) -> list[CellResult]:
    """Return the ranked rows of a group, by rank and median latency."""

    def order(cell: CellResult) -> tuple[float, float]:
        p50 = cell.latency_ns.percentiles.get("p50") if cell.latency_ns else None
        last = float("inf")
        return (last if cell.rank is None else cell.rank, p50.value if p50 else last)

    return sorted((cell for cell in cells if cell.ranked), key=order)


def drawable(text: object, most: int) -> str:
    """Return a text, cleaned and shortened, in characters that a chart can hold.

    Vega cuts labels between the halves of characters beyond the first 65536, and vl-convert then
    fails; the table has them as they are.
    """
    return "".join(one if one <= "\uffff" else "\N{WHITE SQUARE}" for one in shorten(text, most))


def setting_of(batch: int | None, several: bool) -> str:
    """Return what sets a group's chart apart; nothing where there is one group."""
    words = f"batch {batch}" if batch else "the model's own batch"
    return words if several else ""


def fewer(every: int, shown: int) -> str:
    """Return what is said of rows that are not drawn; nothing where all are."""
    return "" if every == shown else f"The first {shown} of {every} rows are drawn."


def _names(cells: Iterable[CellResult]) -> dict[int, str]:
    """Return each row's name; where two of a batch would read the same, they are numbered."""
    found: dict[int, str] = {}
    seen: dict[tuple[int | None, str], int] = defaultdict(int)
    for cell in cells:
        name = drawable(cell.name, LONGEST_NAME) or "-"
        seen[cell.batch, name] += 1
        again = seen[cell.batch, name]
        found[cell.id] = f"{name} ({again})" if again > 1 else name
    return found


def _when(epoch: Epoch) -> Round:
    return (epoch.launch, epoch.round)
