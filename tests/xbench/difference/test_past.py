"""What earlier runs say: the machine's movement and each row's own are told apart."""

from __future__ import annotations

import random
from dataclasses import replace
from statistics import fmean

import pytest

from tests.xbench.difference.simulated import HOST, Machine, past
from xbench.difference.past import MOST_RUNS, History, Past, history_of


def drawn(machine: Machine, runs: int, seed: int = 0) -> list[Past]:
    rng = random.Random(seed)
    return past(*(machine.draw(rng) for _ in range(runs)))


def mean(history: History, name: str) -> float:
    return fmean(one.sd for one in getattr(history, name).values())


@pytest.mark.parametrize("rows", [2, 3, 6])
def test_both_movements_are_found(rows: int) -> None:
    machine = Machine(rows=rows, own_sd=0.004, machine_sd=0.05, within_sd=0)
    found = [history_of(drawn(machine, 30, seed)) for seed in range(20)]
    assert fmean(mean(one, "own") for one in found) == pytest.approx(0.004, rel=0.2)
    assert fmean(mean(one, "raw") for one in found) == pytest.approx(0.05, rel=0.2)


def test_a_new_version_is_a_new_level() -> None:
    """It is 40 % slower; that is no scatter."""
    machine = Machine(rows=3, own_sd=0.004, machine_sd=0.01, within_sd=0)
    old = drawn(machine, 8)
    new = [
        replace(one, version="2.0", run=f"new{one.run}", log_time=one.log_time + 0.4)
        for one in drawn(machine, 8, seed=1)
    ]
    assert mean(history_of([*old, *new]), "raw") < 0.02


def test_hosts_are_not_mixed() -> None:
    machine = Machine(rows=3, own_sd=0.004, machine_sd=0.01, within_sd=0)
    there = [
        replace(one, host=f"not {HOST}", run=f"there{one.run}", log_time=one.log_time + 1)
        for one in drawn(machine, 8, seed=1)
    ]
    assert mean(history_of([*drawn(machine, 8), *there]), "raw") < 0.02


def test_other_work_is_another_level() -> None:
    """Another model, or another length of a sequence, that takes e times as long."""
    machine = Machine(rows=3, own_sd=0.004, machine_sd=0.01, within_sd=0)
    longer = [
        replace(one, work="longer", run=f"longer{one.run}", log_time=one.log_time + 1)
        for one in drawn(machine, 8, seed=1)
    ]
    assert mean(history_of([*drawn(machine, 8), *longer]), "raw") < 0.02


def test_a_row_that_is_alone_has_no_movement_of_its_own() -> None:
    found = history_of(drawn(Machine(rows=1), 8))
    assert len(found.raw) == 1
    assert not found.own


def test_one_run_tells_nothing() -> None:
    assert history_of(drawn(Machine(), 1)) == History({}, {})


def test_old_runs_are_forgotten() -> None:
    found = history_of(drawn(Machine(rows=1), MOST_RUNS + 30))
    assert {one.runs for one in found.raw.values()} == {MOST_RUNS}
