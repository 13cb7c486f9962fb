"""From rounds to ratios: which rounds count, and what they say."""

from __future__ import annotations

from dataclasses import replace
from math import isclose

from xbench.rounds import Rounds
from xbench.samples import Epoch, GpuState

MS = 1_000_000


def epochs(
    number: int,
    first_ms: float,
    second_ms: float,
    *,
    launch: int = 0,
    canary_ms: float | None = 0.6,
    others: float | None = 0.05,
) -> tuple[Epoch, ...]:
    """Return a round of two cells."""
    return tuple(
        Epoch(
            cell=cell,
            launch=launch,
            round=number,
            position=cell,
            feed=0,
            latencies_ns=(round(time_ms * MS),) * 3,
            wall_ns=round(3 * time_ms * MS),
            cpu_ns=round(6 * time_ms * MS),
            canary_ns=None if canary_ms is None else (round(canary_ms * MS),) * 2,
            others_cpus=others,
        )
        for cell, time_ms in enumerate((first_ms, second_ms))
    )


def test_a_ratio_is_taken_within_rounds() -> None:
    """The machine doubles its time half way; the ratio of each round does not move."""
    rounds = Rounds()
    for number in range(20):
        slow = 2.0 if number >= 10 else 1.0
        rounds.add(epochs(number, 3.0 * slow, 2.0 * slow))
    ratio = rounds.ratio(0, 1)
    assert ratio is not None
    assert isclose(ratio.value, 1.5, rel_tol=1e-6)
    assert isclose(ratio.low, ratio.high, rel_tol=1e-6)


def test_rounds_beside_another_program_do_not_count() -> None:
    """A neighbour changes not only the times but their ratio."""
    rounds = Rounds()
    for number in range(20):
        disturbed = number % 2
        second_ms = 4.0 if disturbed else 2.0
        rounds.add(epochs(number, 3.0, second_ms, others=0.9 if disturbed else 0.05))
    assert rounds.quiet() == {(0, number) for number in range(0, 20, 2)}
    assert rounds.quiet_share() == 0.5
    ratio = rounds.ratio(0, 1, rounds.quiet())
    assert ratio is not None
    assert isclose(ratio.value, 1.5, rel_tol=1e-6)


def test_a_slow_host_shows_in_the_canary_alone() -> None:
    rounds = Rounds()
    for number in range(20):
        rounds.add(epochs(number, 3.0, 2.0, canary_ms=1.2 if number < 5 else 0.6))
    assert rounds.quiet() == {(0, number) for number in range(5, 20)}


def test_a_round_in_which_a_gpu_was_throttled_does_not_count() -> None:
    """Whichever cell it struck: heat is shared, and the ratio of that round is not the others'."""
    hot = GpuState(reasons=("hw_thermal",))
    rounds = Rounds()
    for number in range(20):
        first, second = epochs(number, 3.0, 2.0 if number % 4 else 4.0)
        rounds.add((first, second if number % 4 else replace(second, gpu=hot)))
    assert rounds.quiet() == {(0, number) for number in range(20) if number % 4}
    assert rounds.throttled_share() == 0.25
    ratio = rounds.ratio(0, 1, rounds.quiet())
    assert ratio is not None
    assert isclose(ratio.low, 1.5, rel_tol=1e-6)


def test_a_gpu_that_is_always_throttled_leaves_every_round_and_none_quiet() -> None:
    hot = GpuState(reasons=("sw_thermal",))
    rounds = Rounds(
        replace(epoch, gpu=hot) for number in range(20) for epoch in epochs(number, 3.0, 2.0)
    )
    assert rounds.quiet() == rounds.every()
    assert rounds.quiet_share() == 0.0


def test_where_a_neighbour_never_rests_all_rounds_count_and_none_is_quiet() -> None:
    rounds = Rounds()
    for number in range(20):
        rounds.add(epochs(number, 3.0, 2.0, canary_ms=0.6 + number, others=0.9))
    assert rounds.quiet() == rounds.every()
    assert rounds.quiet_share() == 0.0


def test_where_the_canary_never_settles_all_rounds_count_and_none_is_quiet() -> None:
    """As on a virtual machine whose host takes the CPUs away for milliseconds, at any time."""
    rounds = Rounds()
    for number in range(20):
        rounds.add(epochs(number, 3.0, 2.0, canary_ms=0.15 * 2**number, others=0.9 * (number % 2)))
    assert rounds.quiet() == rounds.every()
    assert rounds.quiet_share() == 0.0


def test_a_canary_that_sang_too_seldom_leaves_it_to_the_kernels_accounts() -> None:
    rounds = Rounds()
    for number in range(20):
        sang = 0.6 + number if number < 2 else None
        rounds.add(epochs(number, 3.0, 2.0, canary_ms=sang, others=0.9 if number % 2 else 0.0))
    assert rounds.quiet() == {(0, number) for number in range(0, 20, 2)}
    assert rounds.quiet_share() == 0.5


def test_without_any_evidence_every_round_counts_and_the_share_is_unknown() -> None:
    rounds = Rounds()
    for number in range(8):
        first, second = epochs(number, 3.0, 2.0)
        rounds.add(
            Epoch(**{name: getattr(one, name) for name in one.__slots__} | UNKNOWN)
            for one in (first, second)
        )
    assert rounds.quiet() == rounds.every()
    assert rounds.quiet_share() is None


UNKNOWN = {"canary_ns": None, "others_cpus": None}


def test_one_common_round_is_no_ratio() -> None:
    """Two cells that hardly met cannot be compared."""
    rounds = Rounds(epochs(0, 3.0, 2.0))
    assert rounds.ratio(0, 1) is None
    assert rounds.ratio(0, 7) is None
