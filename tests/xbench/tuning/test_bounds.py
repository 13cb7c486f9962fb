"""What an unmeasured configuration can reach: never less than it does."""

from __future__ import annotations

from math import log

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.tuning.simulated import Runtime
from xbench.result import Interval
from xbench.tuning.bounds import Reached, ladder_ends, reaches
from xbench.tuning.goal import Aim, Goal
from xbench.tuning.space import make_space

SPACE = make_space(("one", "other"), (1, 2, 4), (1, 2, 4, 8, 16), (1, 2), cpus=8)
affine = st.builds(
    Runtime,
    fixed_ms=st.floats(0.1, 20),
    each_ms=st.floats(0.5, 20),
    scaling=st.floats(0.0, 1),
    sync_ms=st.floats(0, 0.03),
    cache=st.sampled_from((None, 2, 8)),
)


def exactly(value: float) -> Interval:
    return Interval(value, value, value)


def worths(runtime: Runtime, aim: Aim) -> dict[int, float]:
    """Return how good each configuration is, in truth."""
    goal = Goal(aim)
    return {one.id: goal.worth(one, [runtime.latency_ns(one)]) for one in SPACE.configurations}


@settings(max_examples=60, deadline=None)
@given(
    affine,
    st.sampled_from(list(Aim)),
    st.sets(st.integers(0, len(SPACE) - 1), min_size=1, max_size=20),
)
def test_no_bound_lies_below_the_truth(runtime: Runtime, aim: Aim, seen: set[int]) -> None:
    """Whatever was measured, of a runtime that does as docs/tune.md takes for granted."""
    true = worths(runtime, aim)
    measured = {id_: Reached(true[id_], true[id_]) for id_ in seen}
    most = reaches(SPACE, aim, measured, lambda of, over: exactly(true[of] - true[over]))
    assert all(most[one.id] >= true[one.id] - 1e-9 for one in SPACE.configurations)


def test_of_a_backend_that_was_never_measured_nothing_is_known() -> None:
    first = SPACE.configurations[0]
    most = reaches(SPACE, Aim.THROUGHPUT, {first.id: Reached(0.0, 0.0)}, lambda *_: exactly(0.0))
    assert all(
        most[one.id] == float("inf") for one in SPACE.configurations if one.backend == "other"
    )
    doubled = next(one for one in SPACE.ladder(first.arm) if one.size == 2)
    assert most[doubled.id] == log(2)


def test_a_ladder_ends_after_two_batches_in_a_row_that_gain_nothing() -> None:
    arm = ("one", 1, 1)
    rungs = SPACE.ladder(arm)
    per_s = dict(zip([one.id for one in rungs], (100, 150, 151, 152, 300), strict=True))

    def difference(of: int, over: int) -> Interval:
        return exactly(log(per_s[of] / per_s[over]))

    def ends(count: int) -> int | None:
        measured = {one.id: Reached(0.0, 0.0) for one in rungs[:count]}
        return ladder_ends(SPACE, arm, measured, difference)

    assert [ends(count) for count in (1, 2, 3, 4, 5)] == [None, None, None, 8, 8]
