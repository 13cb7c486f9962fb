"""What holds for every meter: windows, intervals, labels, order, and real threads."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from tests.xbench.telemetry.simulated import Model, SimulatedPassage, close
from xbench.errors import UsageError
from xbench.telemetry.energy import measure_energy
from xbench.telemetry.meter import Absent, Kind, Meter, MeterError, Scope, declared
from xbench.telemetry.passage import RealPassage
from xbench.telemetry.tally import Tally
from xbench.telemetry.window import Reading, Trace

ABSENT = Absent("none", "cpu", Scope.PACKAGE, "there is none", "Buy one")


class Source:
    """A device whose meter is renewed every ``period_s``."""

    def __init__(self, period_s: float = 0.05, quantum: float = 1e-3) -> None:
        self.period_s, self.quantum = period_s, quantum
        self.watts = self.at_s = self.spent_j = self.told_j = self.told_w = 0.0

    def advance(self, seconds: float) -> None:
        self.spent_j += self.watts * seconds
        before, self.at_s = self.at_s, self.at_s + seconds
        if int(self.at_s / self.period_s) != int(before / self.period_s):
            self.told_j = self.spent_j // self.quantum * self.quantum
            self.told_w = self.watts // self.quantum * self.quantum

    def draw(self, watts: float) -> None:
        self.watts = watts

    def meter(self, kind: Kind) -> Meter:
        counter = kind is Kind.COUNTER
        read = (lambda: self.told_j) if counter else (lambda: self.told_w)
        return Meter(f"simulated {kind.value}", "thing", Scope.BOARD, kind, read)


def modelled(source: Source, **options: float) -> tuple[SimulatedPassage, Model]:
    passage = SimulatedPassage(source)
    return passage, Model(passage, source.draw, lambda: source.spent_j, **options)


@pytest.mark.parametrize("latency_s", [0.0005, 0.07, 1.3])
@pytest.mark.parametrize("kind", [Kind.COUNTER, Kind.POWER])
def test_long_and_short_inferences_give_true_energy(kind: Kind, latency_s: float) -> None:
    """A window that ends late, since an inference does, is divided by what it held."""
    source = Source()
    passage, model = modelled(source, latency_s=latency_s)

    energy = measure_energy([source.meter(kind)], model.run_for, trials=3, passage=passage)

    assert energy.headline is not None
    assert energy.headline.per_inference_j is not None
    assert close(energy.headline.per_inference_j.value, model.truth_j)


def test_the_interval_is_students_over_the_trials() -> None:
    """Trials of 1, 2 and 3 J are wider apart than trials alike; both hold their mean."""
    source = Source()
    passage, model = modelled(source)
    draws = iter([300.0, 100.0, 200.0, 300.0])

    def varied(seconds: float) -> int:
        model.load_w = next(draws)
        return model.run_for(seconds)

    energy = measure_energy([source.meter(Kind.COUNTER)], varied, trials=3, passage=passage)

    assert energy.headline is not None
    joules = energy.headline.per_inference_j
    assert joules is not None
    assert sorted(energy.headline.trials_j) == pytest.approx([1.0, 2.0, 3.0], rel=0.02)
    assert joules.value == pytest.approx(2.0, rel=0.02)
    assert joules.high - joules.low > 4.0


def test_idle_power_is_reported_and_not_subtracted() -> None:
    """A device that idles at two thirds of its load keeps all its joules in the figure."""
    source = Source()
    passage, model = modelled(source, load_w=90.0, idle_w=60.0)

    figure = measure_energy(
        [source.meter(Kind.COUNTER)], model.run_for, trials=3, passage=passage
    ).figures[0]

    assert figure.idle_w is not None
    assert figure.load_w is not None
    assert figure.per_inference_j is not None
    assert close(figure.idle_w.value, 60.0)
    assert close(figure.load_w.value, 90.0)
    assert close(figure.per_inference_j.value, 0.9)


def test_a_coarse_power_that_is_steady_under_load_is_a_figure() -> None:
    """In steps of 100 W nothing changes once the load has come, and its period is not needed."""
    source = Source(quantum=100.0)
    passage, model = modelled(source, load_w=430.0, idle_w=130.0)

    figure = measure_energy(
        [source.meter(Kind.POWER)], model.run_for, trials=2, passage=passage
    ).figures[0]

    assert figure.label == "measured:sampled"


def test_a_model_that_completes_nothing_has_no_energy_per_inference() -> None:
    """Joules over no inferences are no number."""
    source = Source()
    passage, model = modelled(source)

    def stuck(seconds: float) -> int:
        model.run_for(seconds)
        return 0

    figure = measure_energy([source.meter(Kind.COUNTER)], stuck, passage=passage).figures[0]

    assert figure.label.startswith("unavailable:no inference was complete after 2")
    assert figure.fix == "Ask for longer windows"


def test_declared_watts_are_an_estimate_and_say_whose() -> None:
    """No meter is read: the label is an estimate, and names where the watts are from."""
    source = Source()
    passage, model = modelled(source)
    wall = declared(150.0, "cpu", Scope.BOARD, "wall meter of the user")

    figure = measure_energy([wall], model.run_for, trials=2, passage=passage).figures[0]

    assert figure.label == "estimated:wall meter of the user"
    assert figure.per_inference_j is not None
    assert close(figure.per_inference_j.value, 1.5)
    assert figure.update_period_s is None


def test_counters_come_before_samples_estimates_and_what_is_missing() -> None:
    """The headline is the best figure of the device that was asked for, not of another."""
    source, other = Source(), Source()
    passage = SimulatedPassage(source, other)
    model = Model(passage, source.draw, lambda: source.spent_j)
    other.draw(30.0)
    missing = replace(ABSENT, device="thing")
    counter_of_other = replace(other.meter(Kind.COUNTER), name="other", device="cpu")
    estimate = declared(100.0, "thing", Scope.BOARD, "guess")
    meters: list[Meter | Absent] = [missing, estimate, counter_of_other, source.meter(Kind.POWER)]

    energy = measure_energy(meters, model.run_for, trials=2, passage=passage)

    assert [figure.label.partition(":")[0] for figure in energy.figures] == [
        "measured",
        "estimated",
        "unavailable",
        "measured",
    ]
    assert energy.figures[0].label == "measured:sampled"
    assert energy.figures[-1].meter == "other"


def test_nothing_runs_where_there_is_no_meter() -> None:
    """A machine without meters costs no window, and its row says why."""

    def forbidden(seconds: float) -> int:
        raise AssertionError(seconds)

    energy = measure_energy([ABSENT], forbidden)

    assert energy.headline is not None
    assert energy.headline.label == "unavailable:there is none"
    assert energy.headline.fix == "Buy one"


def test_the_document_is_plain_data() -> None:
    """The headline's fields stand on top, all figures below."""
    told = json.loads(json.dumps(measure_energy([ABSENT], len).to_json()))  # type: ignore[arg-type] # a stand-in

    assert told["label"] == "unavailable:there is none"
    assert told["per_inference_j"] is None
    assert [figure["meter"] for figure in told["figures"]] == ["none"]
    assert measure_energy([], len).to_json() == {"figures": []}  # type: ignore[arg-type] # a stand-in


@pytest.mark.parametrize("options", [{"trials": 1}, {"window_s": 0.0}, {"window_s": -1.0}])
def test_what_cannot_be_measured_is_refused(options: dict[str, float]) -> None:
    """One trial tells no spread, and a window has a length."""
    with pytest.raises(UsageError, match="two trials or more"):
        measure_energy([ABSENT], lambda seconds: 1, **options)  # type: ignore[arg-type] # a stand-in


def test_readings_are_rare_between_the_ticks_that_count() -> None:
    """A counter is read often until its first tick and near the end; a window's middle is left."""
    source = Source(period_s=0.1)
    source.draw(100.0)
    passage = SimulatedPassage(source)
    trace = Trace(source.meter(Kind.COUNTER), 0.1, passage.now(), 60.0)

    with passage.beside(lambda: trace.take(passage)):
        passage.sleep(60.0)

    assert trace.watts() == pytest.approx(100.0, rel=0.002)
    assert len(trace.readings) < 60


def test_a_tick_seen_late_is_not_taken_for_one() -> None:
    """When a counter advanced is known as well as it was read: after a second away it is not."""
    source = Source(period_s=0.1)
    source.draw(100.0)
    passage = SimulatedPassage(source)
    trace = Trace(source.meter(Kind.COUNTER), 0.1, passage.now(), 10.0)

    trace.take(passage)
    passage.sleep(1.0)
    trace.take(passage)
    assert trace.readings[1].value > trace.readings[0].value
    assert trace.ticks == []

    for _ in range(12):
        passage.sleep(0.01)
        trace.take(passage)
    assert len(trace.ticks) == 1


def test_where_most_trials_fail_there_is_no_figure() -> None:
    """Two of five that succeed are luck, not evidence; one that fails of five is left out."""
    for failing, label in (({2, 3, 4}, "unavailable"), ({3}, "measured")):
        source = Source()
        passage, model = modelled(source)
        calls = iter(range(6))

        def run_for(
            seconds: float, model: Model = model, failing: set[int] = failing, calls: Any = calls
        ) -> int:
            return 0 * model.run_for(seconds) if next(calls) in failing else model.run_for(seconds)

        figure = measure_energy([source.meter(Kind.COUNTER)], run_for, passage=passage).figures[0]

        assert figure.label.startswith(label)


def test_an_idle_window_that_is_lost_is_counted_and_the_others_tell() -> None:
    """Only where next to none is left is idle power not known."""
    for lost, known, note in ((1, True, "1 of 3 idle windows"), (2, False, "idle power is not")):
        told = _idle(lost).figure(2.0)
        assert (told.idle_w is not None) is known
        assert any(one.startswith(note) for one in told.notes)


def _idle(lost: int) -> Tally:
    """Return three windows of inferences, and as many of idling, of which some told nothing."""
    tally = Tally(Source().meter(Kind.COUNTER), 0.1, load_w=[90.0] * 3, trials_j=[1.0] * 3)
    for number in range(3):
        trace = Trace(tally.meter, 0.1, 0.0, 2.0)
        if number < lost:
            trace.failure = MeterError("too few ticks", "Again")
        else:
            trace.readings = [Reading(0.0, 0.0), Reading(2.0, 120.0)]
            trace.ticks = list(trace.readings)
        tally.add_idle(trace)
    return tally


class Impatient(RealPassage):
    """The real clock and real threads, without the waiting."""

    def sleep(self, seconds: float) -> None:
        pass


def test_a_real_thread_gives_a_figure() -> None:
    """The same code as in simulated time, on the machine's clock, however busy that is."""
    read = threading.Semaphore(0)
    values = cycle([49.0, 51.0])

    def watts() -> float:
        read.release()
        return next(values)

    def run_for(seconds: float) -> int:
        while read.acquire(blocking=False):
            pass
        return 10 * all(read.acquire(timeout=60) for _ in range(18))  # the probe reads 22 times

    meter = Meter("alternating", "thing", Scope.BOARD, Kind.POWER, watts)
    figure = measure_energy([meter], run_for, window_s=60.0, trials=2, passage=Impatient()).figures[
        0
    ]

    assert figure.label == "measured:sampled"
    assert figure.load_w is not None
    assert 49.0 < figure.load_w.value < 51.0
    assert figure.idle_w is None
    assert any(note.startswith("idle power is not known") for note in figure.notes)
