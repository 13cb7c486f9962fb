"""The search on configurations whose speed is known: what it finds, and what that costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.tuning.simulated import Runtime, Simulation
from xbench.load.slo import Slo
from xbench.tuning.choice import Choice, Sureness, pick
from xbench.tuning.goal import Aim, Goal
from xbench.tuning.judgement import State, judge
from xbench.tuning.limits import Keeps
from xbench.tuning.search import Effort, exhaust, search
from xbench.tuning.space import Space, make_space

BATCHES = (1, 2, 4, 8, 16, 32)
PATIENT = Effort(time_budget_s=1e9, proof_s=1e9)

runtimes = st.builds(
    Runtime,
    fixed_ms=st.floats(0.1, 20),
    each_ms=st.floats(0.5, 20),
    scaling=st.floats(0.2, 1),
    sync_ms=st.floats(0, 0.05),
    cache=st.sampled_from((None, 1, 2, 4, 8)),
)
machines = st.lists(runtimes, min_size=2, max_size=4).map(
    lambda some: {f"runtime{place}": one for place, one in enumerate(some)}
)
seeds = st.integers(0, 2**32)


def simulate(
    of: dict[str, Runtime], goal: Goal | None = None, seed: int = 0, **changed: object
) -> Simulation:
    """Return a simulation of every configuration of some runtimes on two CPUs."""
    space = make_space(tuple(of), (1, 2), BATCHES, cpus=2)
    return replace(Simulation(space, goal or Goal(), of, seed), **changed)  # type: ignore[arg-type]


def found_by(simulation: Simulation, effort: Effort = PATIENT) -> Choice:
    """Return the answer of a search."""
    goal, space, evidence = simulation.goal, simulation.space, simulation.evidence
    search(space, goal, evidence, simulation, effort)
    return pick(space, goal, evidence, judge(space, goal, evidence))


def names(space: Space, ids: object) -> set[str]:
    return {one.name for one in space.configurations if one.id in ids}  # type: ignore[operator]


@settings(max_examples=15, deadline=None)
@given(machines, seeds)
def test_the_winner_is_within_3_percent_of_the_best_in_less_than_half_of_the_time(
    of: dict[str, Runtime], seed: int
) -> None:
    simulation, everything = simulate(of, seed=seed), simulate(of, seed=seed)
    choice = found_by(simulation)
    exhaust(everything.space, everything.evidence, everything, PATIENT)
    assert choice.winner is not None
    assert simulation.true(choice.winner) >= 0.97 * simulation.best()
    assert simulation.spent < everything.spent / 2


@settings(max_examples=12, deadline=None)
@given(machines, seeds, st.floats(2, 200))
def test_a_winner_never_breaks_the_limit_on_latency(
    of: dict[str, Runtime], seed: int, limit_ms: float
) -> None:
    """Limits to within 3 % of which a configuration comes may be left open, and are then told."""
    goal = Goal(slo=Slo("p99", limit_ms / 1e3))
    simulation = simulate(of, goal, seed)
    choice = found_by(simulation)
    stricter, laxer = (
        simulate(of, Goal(slo=Slo("p99", limit_ms / 1e3 * factor)), seed) for factor in (0.95, 1.03)
    )
    if choice.winner is None:
        assert not stricter.best()
    else:
        assert laxer.fits(choice.winner)
        assert simulation.true(choice.winner) >= 0.97 * stricter.best()


@settings(max_examples=10, deadline=None)
@given(machines, seeds, st.integers(100, 300))
def test_a_winner_keeps_the_memory_and_nothing_larger_is_started(
    of: dict[str, Runtime], seed: int, most_mb: int
) -> None:
    simulation = simulate(of, Goal(memory_bytes=most_mb * 1_000_000), seed)
    choice = found_by(simulation)
    best = simulation.best()
    assert (choice.winner is None) == (best == 0)
    if choice.winner is not None:
        assert simulation.fits(choice.winner)
        assert simulation.true(choice.winner) >= 0.97 * best
    for arm in simulation.space.arms:
        ladder = simulation.space.ladder(arm)
        started = [one for one in ladder if one.id in simulation.evidence.seen]
        assert sum(not simulation.fits(one.id) for one in started) <= 1


def test_the_fastest_never_wins_with_wrong_outputs_and_the_others_are_in_again() -> None:
    of = {"right": Runtime(fixed_ms=1, each_ms=5), "wrong": Runtime(fixed_ms=1, each_ms=1)}
    simulation = simulate(of, wrong=frozenset({"wrong"}))
    choice = found_by(simulation)
    assert choice.winner is not None
    assert simulation.space.configurations[choice.winner].backend == "right"
    assert simulation.true(choice.winner) >= 0.97 * simulation.best()


def test_a_backend_that_cannot_run_the_model_is_started_once() -> None:
    of = {"fine": Runtime(fixed_ms=1, each_ms=5), "not": Runtime(fixed_ms=1, each_ms=1)}
    simulation = simulate(
        of, refused=lambda one: ("unsupported", "no Foo") if one.backend == "not" else None
    )
    choice = found_by(simulation)
    seen = names(simulation.space, simulation.evidence.seen)
    assert [one for one in seen if one.startswith("not")] == ["not, 2 threads, batch 1"]
    assert choice.winner is not None
    found = judge(simulation.space, simulation.goal, simulation.evidence)
    whys = {found.standings[one.id].why for one in simulation.space.configurations}
    assert "unsupported at not, 2 threads, batch 1" in whys


def test_equals_are_a_tie_and_the_plainest_is_chosen() -> None:
    """A model that two threads and batches do nothing for: one thread and batch 1 are enough."""
    one = {"one": Runtime(fixed_ms=0, each_ms=5, scaling=0)}
    space = make_space(tuple(one), (1, 2), (1, 2), cpus=2)
    simulation = Simulation(space, Goal(), one, launch_noise=0.0)
    choice = found_by(simulation)
    assert choice.winner is not None
    assert choice.sureness is Sureness.TIE
    assert simulation.space.configurations[choice.winner].name == "one, 1 thread, batch 1"


def test_a_batch_that_breaks_the_limit_ends_its_ladder_before_anything_larger_starts() -> None:
    goal = Goal(slo=Slo("p99", 0.012))
    simulation = simulate({"one": Runtime(fixed_ms=0, each_ms=5, scaling=0.9)}, goal)
    choice = found_by(simulation)
    assert choice.winner is not None
    assert choice.kept is Keeps.HOLDS
    found = judge(simulation.space, simulation.goal, simulation.evidence)
    whys = [found.standings[id_].why for id_ in found.those(State.SKIPPED)]
    assert any("surely breaks the limit" in why for why in whys)
    for one in simulation.space.configurations:
        if one.size > 4:
            assert one.id not in simulation.evidence.seen


def test_a_winner_that_could_not_be_proven_to_keep_the_limit_says_so() -> None:
    """At 100 ms an inference the proof of a p99 takes a minute, and there are but seconds."""
    goal = Goal(slo=Slo("p99", 0.5))
    simulation = simulate({"one": Runtime(fixed_ms=0, each_ms=100)}, goal)
    choice = found_by(simulation, Effort(time_budget_s=1e9, proof_s=5.0))
    assert choice.winner is not None
    assert choice.kept is Keeps.OPEN
    assert "prove" not in simulation.steps


def test_for_latency_no_larger_batch_is_ever_started() -> None:
    of = {"slow": Runtime(fixed_ms=1, each_ms=9), "fast": Runtime(fixed_ms=1, each_ms=3)}
    simulation = simulate(of, Goal(Aim.LATENCY))
    choice = found_by(simulation)
    assert choice.winner is not None
    assert simulation.space.configurations[choice.winner].name == "fast, 2 threads, batch 1"
    seen = names(simulation.space, simulation.evidence.seen)
    assert all(one.endswith("batch 1") for one in seen)


@pytest.mark.parametrize("budget_s", [5.0, 20.0, 60.0])
def test_when_the_time_is_up_the_best_so_far_is_the_answer(budget_s: float) -> None:
    of = {name: Runtime(fixed_ms=5, each_ms=each) for name, each in (("a", 9.0), ("b", 3.0))}
    simulation = simulate(of)
    choice = found_by(simulation, Effort(time_budget_s=budget_s))
    assert choice.winner is not None
    assert simulation.space.configurations[choice.winner].backend == "b"
    assert simulation.spent < budget_s + 15


def test_with_little_time_the_most_promising_come_first() -> None:
    """Of 360 configurations on 16 CPUs there is time for a seventh; the best is among them."""
    of = {
        "scales": Runtime(fixed_ms=0.2, each_ms=20, scaling=0.95),
        "streams": Runtime(fixed_ms=1, each_ms=8, scaling=0.3),
        "slow": Runtime(fixed_ms=20, each_ms=30, scaling=0.8),
        "waits": Runtime(fixed_ms=5, each_ms=6, scaling=0.8),
    }
    powers = (1, 2, 4, 8, 16)
    space = make_space(tuple(of), powers, BATCHES, powers, cpus=16)
    simulation = Simulation(space, Goal(), of)
    choice = found_by(simulation, Effort(time_budget_s=180))
    assert choice.winner is not None
    assert simulation.true(choice.winner) >= 0.9 * simulation.best()
    assert len(simulation.evidence.seen) < len(space) / 5
    found = judge(space, simulation.goal, simulation.evidence)
    assert found.those(State.WAITING)  # and the report says that these were not looked at
