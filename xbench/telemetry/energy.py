"""Energy per inference: windows of inferences, windows of idling, and what each meter told.

A figure is the mean power within a window (see `xbench.telemetry.window`) times the window's
duration, over its inferences. The power of the idle device with the model loaded stands beside
it; nothing is subtracted. Meters of one device and scope are held against each other.

zeus (ml-energy, 0.16) does such work too and was read for this; it is no dependency. It brings
pandas, scikit-learn, pydantic, httpx and amdsmi; it takes windows by the system clock and from
whenever it is called, not from tick to tick, so that a short one may hold 0 J; it has no interval,
no probe of the update period, no idle power, and does not notice a counter that stands still. What
was gone around in each of its meters is said in `rapl`, `nvml`, `rails` and `amd` beside this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from xbench.errors import UsageError
from xbench.telemetry.meter import Absent, Meter, MeterError
from xbench.telemetry.passage import Passage, RealPassage
from xbench.telemetry.probe import probe
from xbench.telemetry.tally import Figure, Tally, absent, checked
from xbench.telemetry.window import Trace, needed_s, together

RunFor = Callable[[float], int]

SHORTEST_WINDOW_S = 2.0
LONGEST_WINDOW_S = 30.0  # that is chosen without being asked for
SLACK = 0.95  # a period is found to a few per cent
RANKS = ("measured:counter", "measured:sampled", "estimated:", "unavailable:")


@dataclass(frozen=True, slots=True)
class Energy:
    """The figures of all meters: the asked device's first, counters before samples."""

    figures: tuple[Figure, ...]

    @property
    def headline(self) -> Figure | None:
        """Return the figure to show in a row; None where no meter was asked."""
        return self.figures[0] if self.figures else None

    def to_json(self) -> dict[str, Any]:
        """Return the headline's fields, and all figures below them."""
        first = asdict(self.headline) if self.headline else {}
        return {**first, "figures": [asdict(figure) for figure in self.figures]}


def measure_energy(
    meters: Sequence[Meter | Absent],
    run_for: RunFor,
    *,
    window_s: float | None = None,
    trials: int = 5,
    rest_s: float = 1.0,
    passage: Passage | None = None,
) -> Energy:
    """Return joules per inference, as each meter tells them.

    Args:
        meters: From `xbench.telemetry.sources.meters_for`: those of the device first.
        run_for: Runs inferences back to back for about that many seconds, returns once the last
            is complete on the device, and says how many there were. The model stays loaded.
        window_s: Length of a window; by default 20 update periods of the slowest meter, between
            2 and 30 s.
        trials: How many windows of inferences, each after one of idling.
        rest_s: Seconds from a window of inferences to the next of idling, for clocks to settle.
        passage: How time passes.
    """
    if trials < 2 or (window_s is not None and window_s <= 0):
        raise UsageError("energy needs two trials or more, of a length above 0 s")
    passage = passage or RealPassage()
    real = [meter for meter in meters if isinstance(meter, Meter)]
    passage.sleep(rest_s if real else 0)
    periods = probe(real, run_for, passage) if real else {}
    length_s = window_s or _window_s(real, periods)
    tallies = {meter.name: _tally(meter, periods[meter.name], length_s) for meter in real}
    usable = [tally for tally in tallies.values() if tally.refusal is None]
    for _ in range(trials if usable else 0):
        passage.sleep(rest_s)
        _trial(usable, length_s, run_for, passage)
    figures = [
        tallies[meter.name].figure(length_s) if isinstance(meter, Meter) else absent(meter)
        for meter in meters
    ]
    return _sorted(checked(figures))


def _window_s(meters: Sequence[Meter], periods: Mapping[str, float | MeterError]) -> float:
    """Return the length of a window that serves every meter, in seconds, if 30 s are enough."""
    known = [(meter, periods[meter.name]) for meter in meters]
    needs = [needed_s(one, period) for one, period in known if isinstance(period, float)]
    return min(LONGEST_WINDOW_S, max([SHORTEST_WINDOW_S, *needs]))


def _tally(meter: Meter, period: float | MeterError, length_s: float) -> Tally:
    """Return an empty tally, with a refusal where the meter cannot serve such windows."""
    if isinstance(period, MeterError):
        return Tally(meter, 0.0, period)
    need_s = needed_s(meter, period)
    if length_s >= SLACK * need_s:
        return Tally(meter, period)
    told = f"a window of {length_s:.3g} s is too short for what is renewed every {period:.3g} s"
    return Tally(meter, period, MeterError(told, f"Ask for windows of {need_s:.3g} s or more"))


def _trial(tallies: Sequence[Tally], length_s: float, run_for: RunFor, passage: Passage) -> None:
    """Let one window pass idle and one with inferences, and tally what the meters told."""

    def idle(seconds: float) -> int:
        passage.sleep(seconds)
        return 0

    for tally, trace in _window(tallies, length_s, idle, passage)[0]:
        tally.add_idle(trace)
    traces, count, duration_s = _window(tallies, length_s, run_for, passage)
    for tally, trace in traces:
        tally.add_load(trace, count, duration_s)


def _window(
    tallies: Sequence[Tally], length_s: float, run_for: RunFor, passage: Passage
) -> tuple[list[tuple[Tally, Trace]], int, float]:
    """Return what was read while ``run_for`` filled a window, its inferences and its seconds."""
    for tally in tallies:
        tally.meter.watch()
    start_s = passage.now()
    traces = [Trace(tally.meter, tally.period_s, start_s, length_s) for tally in tallies]
    with passage.beside(together(traces, passage)):
        count = run_for(length_s)
        duration_s = passage.now() - start_s
    return list(zip(tallies, traces, strict=True)), count, duration_s


def _sorted(figures: Sequence[Figure]) -> Energy:
    """Return the figures of the device that was asked for, the best first, then all others."""

    def rank(figure: Figure) -> tuple[bool, int]:
        place = next(i for i, start in enumerate(RANKS) if figure.label.startswith(start))
        return figure.device != figures[0].device, place

    return Energy(tuple(sorted(figures, key=rank)))
