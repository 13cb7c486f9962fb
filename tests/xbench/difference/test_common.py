"""What rows moved together, and what each is held against."""

from __future__ import annotations

from math import log, log1p
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.difference.simulated import between, document, side
from xbench.difference.answer import Difference, Terms, diff
from xbench.difference.common import common_movement
from xbench.difference.sides import family_of

MOVES = st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=12)


def common(values: list[float], sd: float = 0.005, machine_sd: float = 0.03) -> float:
    return common_movement(values, sd, machine_sd)


@pytest.mark.parametrize("rows", [2, 3, 8])
@pytest.mark.parametrize("machine_sd", [0.001, 0.03])
def test_what_moved_alike_did_so_with_the_machine(rows: int, machine_sd: float) -> None:
    """By however much, and whatever the machine did before."""
    assert common([0.7] * rows, machine_sd=machine_sd) == pytest.approx(0.7)


def test_what_moved_alone_did_so_by_itself() -> None:
    assert common([0.05, 0.001, -0.001, 0.0]) == pytest.approx(0.0, abs=0.001)
    assert common([0.25, 0.201, 0.199, 0.2]) == pytest.approx(0.2, abs=0.001)


def test_a_machine_that_is_quiet_is_not_thought_to_have_moved() -> None:
    """Two of three became slower: on a machine that scatters as rows do, it was they."""
    assert common([0.05, 0.05, 0.0], machine_sd=0.005) == 0.0
    assert common([0.05, 0.05, 0.0], machine_sd=0.05) == pytest.approx(0.05)


@given(MOVES)
def test_it_lies_among_the_movements_and_none(values: list[float]) -> None:
    assert min(0.0, *values) <= common(values) <= max(0.0, *values)


@given(MOVES)
def test_it_turns_with_the_sides(values: list[float]) -> None:
    assert common([-value for value in values]) == pytest.approx(-common(values))


def test_an_adapter_is_one_witness() -> None:
    """Three batch sizes of one backend became slower, and two of another did not."""
    found = families([1.1, 1.1, 1.1, 1, 1], ["a", "a:fast", "a#2", "b", "b:fast"])
    assert [alarm.row for alarm in found.alarms] == ["a", "a:fast", "a#2"]


def test_rows_of_one_adapter_cannot_tell_of_the_machine() -> None:
    """All are slower: it may be their software, so that nothing is taken out."""
    earlier = [[1e6 * (1 + n % 3 / 1000), 2e6, 3e6] for n in range(30)]
    found = families([1.1, 1.1, 1.1], ["a", "a:fast", "a#2"])
    assert found.common is None
    assert not found.moved_together
    assert [row.slower for row in found.rows] == pytest.approx([log(1.1)] * 3, abs=1e-6)
    assert between(earlier[0], earlier[1]).common is not None


def families(factors: list[float], names: list[str]) -> Difference:
    run = [1e6 * (n + 1) for n in range(len(factors))]
    pair = [document(run, "a"), document([a * b for a, b in zip(run, factors, strict=True)], "b")]
    for told in pair:
        for row, name in zip(told["results"], names, strict=True):
            row |= {"backend": name, "label": name}
    return diff(side(pair[0]), side(pair[1]), Terms(fail_slower=True))


@pytest.mark.parametrize(
    ("backend", "family"),
    [("pytorch", "pytorch"), ("pytorch:compile", "pytorch"), ("pytorch:compile#2", "pytorch")],
)
def test_variants_are_of_one_adapter(backend: str, family: str) -> None:
    assert family_of(backend) == family


def test_those_of_the_same_version_are_the_reference() -> None:
    """Of two that moved apart, the one with other software did."""
    first, second = document([1e6, 2e6], "a"), document([1.05e6, 2.1e6 * 1.2], "b")
    second["results"][1]["backend_version"] = "2.0"
    found = diff(side(first), side(second), Terms(fail_slower=True))
    assert [row.reference for row in found.rows] == [True, False]
    assert [alarm.row for alarm in found.alarms] == ["backend1"]
    assert found.rows[1].slower == pytest.approx(log1p(0.2))


def test_a_machine_in_another_state_moves_rows_unevenly_and_raises_no_alarm() -> None:
    """As seen: its host was slower by a third for one runtime, and by a fifth for two others.

    A change beyond what such states do to rows is still found.
    """
    usual = [4.49e6, 4.20e6, 4.12e6]
    earlier = [[one * (1 + number % 5 / 1000) for one in usual] for number in range(12)]
    other = [4.49e6 * 1.33, 4.20e6 * 1.21, 4.12e6 * 1.19]
    assert between(usual, other, *earlier).exit_status == 0
    other[1] *= 1.6
    assert [alarm.row for alarm in between(usual, other, *earlier).alarms] == ["backend1"]


@pytest.mark.parametrize(
    ("told", "there"),
    [
        ({"options": {"converted": "now"}}, {"options": {"converted": "earlier"}}),
        ({"options": {"streams": "1"}}, {"options": {"streams": "1", "new": "on"}}),
        ({"importer": None}, {"importer": "xbench 1"}),
    ],
)
def test_what_is_no_other_software_makes_nobody_the_reference(
    told: dict[str, Any], there: dict[str, Any]
) -> None:
    """A row is excused from an alarm only where another's software is known to have changed."""
    first, second = document([1e6, 2e6, 3e6], "a"), document([1e6, 2e6, 3.6e6], "b")
    first["results"][0] |= told
    second["results"][0] |= there
    found = diff(side(first), side(second), Terms(fail_slower=True))
    assert [alarm.row for alarm in found.alarms] == ["backend2"]


def test_a_reference_of_its_own_adapter_is_as_unsure_as_any_other() -> None:
    """One row is one witness, whoever it is held against."""

    def width(backend: str) -> float:
        pair = [document([1e6, 2e6], name) for name in ("a", "b")]
        for told in pair:
            told["results"][1]["backend"] = backend
        terms = Terms(references=frozenset({"backend0"}))
        ratio = diff(side(pair[0]), side(pair[1]), terms).rows[1].ratio
        return log(ratio.high / ratio.low)

    assert width("backend0:fast") == pytest.approx(width("backend1"))


def test_where_all_versions_are_new_all_are_asked() -> None:
    def changed(told: dict[str, Any]) -> dict[str, Any]:
        for row in told["results"]:
            row["backend_version"] = "2.0"
        return told

    first, second = document([1e6, 2e6, 3e6], "a"), document([1e6, 2e6, 3.6e6], "b")
    found = diff(side(first), side(changed(second)), Terms(fail_slower=True))
    assert not any(row.reference for row in found.rows)
    assert [alarm.row for alarm in found.alarms] == ["backend2"]
