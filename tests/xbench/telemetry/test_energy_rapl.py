"""Energy through a simulated powercap tree: true numbers, and every way to have none."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.xbench.telemetry.powercap import SimulatedTree
from tests.xbench.telemetry.simulated import Model, SimulatedPassage, close
from xbench.telemetry.energy import Energy, measure_energy
from xbench.telemetry.meter import Absent, Meter, Scope
from xbench.telemetry.rapl import Load, _busy_s, rapl_meters, zone_folders


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[SimulatedTree]:
    """Return an empty tree."""
    made = SimulatedTree(tmp_path)
    yield made
    made.close()


def measured(
    tree: SimulatedTree, counted: Callable[[str], bool] = lambda name: True, **options: float
) -> tuple[Energy, Model]:
    """Return the energy of a model whose draw is split over the zones that count."""
    passage = SimulatedPassage(tree)
    zones = [zone for zone in tree.zones if counted(zone.name)]

    def draw(watts: float) -> None:
        for zone in zones:
            zone.watts = watts / len(zones)

    model = Model(passage, draw, lambda: sum(zone.spent_j for zone in zones))
    model.latency_s = options.pop("latency_s", 0.02)
    found = rapl_meters(tree.root)
    return measure_energy(found, model.run_for, passage=passage, **options), model  # type: ignore[arg-type] # of any kind


@pytest.mark.parametrize("window_s", [2.0, 7.0, 60.0])
def test_energy_is_what_the_packages_spent(tree: SimulatedTree, window_s: float) -> None:
    """Within 1 % of the simulation, as a measured counter, with idle power beside it."""
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl:1", "package-1")

    energy, model = measured(tree, window_s=window_s, trials=3, latency_s=window_s / 400)

    figure = energy.headline
    assert figure is not None
    assert figure.label == "measured:counter"
    assert figure.scope == "package"
    assert figure.meter == "rapl package-0 + package-1"
    assert figure.per_inference_j is not None
    assert close(figure.per_inference_j.value, model.truth_j)
    assert figure.per_inference_j.low <= figure.per_inference_j.value <= figure.per_inference_j.high
    assert figure.idle_w is not None
    assert close(figure.idle_w.value, model.idle_w)
    assert figure.window_s == window_s
    assert len(figure.trials_j) == 3
    assert figure.update_period_s is not None
    assert figure.update_period_s < 0.005


def test_a_counter_that_wraps_many_times_in_a_window_loses_nothing(tree: SimulatedTree) -> None:
    """A range of 2 kJ at 300 W is passed nine times in a minute, in both packages."""
    tree.add("intel-rapl:0", "package-0", range_uj=2_000_000_000, start_j=1900.0)
    tree.add("intel-rapl:1", "package-1", range_uj=1_000_000_000, start_j=10.0)

    energy, model = measured(tree, window_s=60.0, trials=2, latency_s=0.1)

    assert energy.headline is not None
    assert energy.headline.per_inference_j is not None
    assert close(energy.headline.per_inference_j.value, model.truth_j)
    assert tree.zones[0].spent_j > 5 * 2000


def test_a_counter_that_wraps_too_fast_to_follow_is_refused(tree: SimulatedTree) -> None:
    """A range of 100 J may be passed within a tenth of a second unseen."""
    tree.add("intel-rapl:0", "package-0", range_uj=100_000_000)

    (meter,) = rapl_meters(tree.root)

    assert isinstance(meter, Absent)
    assert "too soon to be followed" in meter.reason


def test_readings_further_apart_than_a_wrap_are_refused(tree: SimulatedTree) -> None:
    """Where whoever polls was stopped for longer than a wrap may take, there is no number."""
    tree.add("intel-rapl:0", "package-0", range_uj=2_000_000_000)
    passage = SimulatedPassage(tree)
    model = Model(passage, lambda watts: setattr(tree.zones[0], "watts", watts), lambda: 0.0)

    def stall() -> None:
        passage.due_s = passage.at_s + 5.0
        passage._advance(5.0)

    model.events = {2: stall}
    energy = measure_energy(
        rapl_meters(tree.root), model.run_for, window_s=20.0, trials=2, passage=passage
    )

    assert energy.headline is not None
    assert "wrapped unseen" in energy.headline.label
    assert energy.headline.per_inference_j is None


def test_a_package_that_stands_there_twice_is_counted_once(tree: SimulatedTree) -> None:
    """The memory-mapped zone of the same package is left out, also in the sum."""
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl-mmio:0", "package-0")

    energy, model = measured(tree)  # both count the same joules, half of the model's each

    assert energy.headline is not None
    assert energy.headline.per_inference_j is not None
    assert energy.headline.meter == "rapl package-0"
    assert close(energy.headline.per_inference_j.value, model.truth_j / 2)


def test_two_packages_of_one_name_below_one_control_type_both_count(tree: SimulatedTree) -> None:
    """Old kernels call each package of a socket the same."""
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl:1", "package-0")

    assert len(zone_folders(tree.root)) == 2


def test_platform_and_memory_stand_apart_and_parts_of_a_package_are_left_out(
    tree: SimulatedTree,
) -> None:
    """psys holds the package, core is in it, dram is not: three figures, none added up."""
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl:0:0", "core")
    tree.add("intel-rapl:0:1", "dram")
    tree.add("intel-rapl:1", "psys")

    energy, model = measured(tree)  # each zone draws a quarter

    found = {figure.scope: figure for figure in energy.figures}
    assert list(found) == ["package", "dram", "platform"]
    for figure in found.values():
        assert figure.per_inference_j is not None
        assert close(figure.per_inference_j.value, model.truth_j / 4)
        assert figure.checks == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
def test_a_counter_that_may_not_be_read_says_what_to_do() -> None:
    """The kernel shows counters to root alone: unavailable, with the command that helps."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        tree = SimulatedTree(Path(folder))
        tree.add("intel-rapl:0", "package-0")
        (tree.root / "intel-rapl:0/energy_uj").chmod(stat.S_IRUSR)
        os.seteuid(65534)
        try:
            (meter,) = rapl_meters(tree.root)
        finally:
            os.seteuid(0)
        tree.close()

    energy = measure_energy([meter], lambda seconds: 1)

    assert energy.headline is not None
    assert energy.headline.label.startswith("unavailable:permission denied")
    assert energy.headline.fix is not None
    assert "chmod" in energy.headline.fix


def test_a_counter_that_stands_still_is_unavailable_and_not_0_joules(tree: SimulatedTree) -> None:
    """As in virtual machines that show the files and never move them."""
    tree.add("intel-rapl:0", "package-0").frozen = True

    energy, _ = measured(tree)

    assert energy.headline is not None
    assert energy.headline.label.startswith("unavailable:the counter did not advance")
    assert energy.headline.per_inference_j is None
    assert energy.headline.trials_j == ()


def test_a_failed_reading_leaves_its_trial_out(tree: SimulatedTree) -> None:
    """It adds neither 0 nor a full range; the figure says that a trial is missing."""
    zone = tree.add("intel-rapl:0", "package-0")
    passage = SimulatedPassage(tree)
    model = Model(
        passage, lambda watts: setattr(zone, "watts", watts), lambda: zone.spent_j, latency_s=0.02
    )
    counter, hidden = zone.folder / "energy_uj", zone.folder / "hidden"

    model.events = {2: lambda: counter.rename(hidden)}

    def run_for(seconds: float) -> int:
        count = model.run_for(seconds)
        if hidden.exists():
            passage.sleep(0.2)  # so that it is read while it is away
            hidden.rename(counter)
        return count

    energy = measure_energy(rapl_meters(tree.root), run_for, window_s=2.0, passage=passage)

    figure = energy.headline
    assert figure is not None
    assert figure.per_inference_j is not None
    assert len(figure.trials_j) == 4
    assert close(figure.per_inference_j.value, model.truth_j)
    assert any(note.startswith("1 of 5 trials left out") for note in figure.notes)


def test_a_counter_set_back_is_not_taken_for_a_wrap(tree: SimulatedTree) -> None:
    """A full range more would still be less than the packages' limit over a minute."""
    zones = [tree.add(f"intel-rapl:{i}", f"package-{i}", start_j=5000.0) for i in (0, 1)]
    passage = SimulatedPassage(tree)
    model = Model(passage, lambda watts: setattr(zones[0], "watts", watts), lambda: 1.0)
    model.latency_s = 0.2
    model.events = {2: lambda: setattr(zones[1], "start_j", 0.0)}

    energy = measure_energy(
        rapl_meters(tree.root), model.run_for, window_s=60.0, trials=3, passage=passage
    )

    assert energy.headline is not None
    assert len(energy.headline.trials_j) == 2
    assert energy.headline.notes[-1].startswith("1 of 3 trials left out: the counter rose by 6.5")


def test_without_a_tree_it_is_unavailable(tmp_path: Path) -> None:
    """No RAPL is a reason, not an empty list."""
    (meter,) = rapl_meters(tmp_path / "absent")

    assert isinstance(meter, Absent)
    assert meter.scope is Scope.PACKAGE
    assert "no RAPL" in meter.reason


def test_processors_that_were_busy_while_the_model_idled_are_said() -> None:
    """The share of the time that others took is told, and nothing where there was next to none."""
    busy_s, total_s = _busy_s()

    assert "contended" in (Load((busy_s - 50, total_s - 100)).others(True) or "")
    assert Load((busy_s, total_s - 1e9)).others(True) is None
    assert Load((busy_s - 50, total_s - 100)).others(False) is None


def test_the_sum_of_the_packages_never_falls_when_one_wraps(tree: SimulatedTree) -> None:
    """A reading is the joules since the meter was made."""
    zone = tree.add("intel-rapl:0", "package-0", range_uj=1_000_000_000, start_j=999.0)
    (meter,) = rapl_meters(tree.root)
    assert isinstance(meter, Meter)

    zone.watts = 100.0
    for seconds in (0.0, 0.5, 3.0, 6.0):
        tree.advance(seconds)
        assert meter.read() == pytest.approx(zone.spent_j, abs=0.2)
