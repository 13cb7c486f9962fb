"""How each row moved: by the ratios of rounds where there are any."""

from __future__ import annotations

from math import exp, log

import pytest

from tests.xbench.difference.simulated import document, side
from xbench.difference.matching import match
from xbench.difference.movement import movements


def test_rows_are_placed_by_the_ratios_of_their_rounds() -> None:
    """Their own medians saw different stretches of the run; the ratios saw the same."""
    first, second = document([1e6, 2e6, 3e6], "a"), document([1e6, 2e6, 3e6], "b")
    for row, factor in zip(second["results"], (1.00, 1.04, 0.98), strict=True):
        for name in ("value", "low", "high"):
            row["latency_ns"]["p50"][name] *= factor  # by chance; the ratios tell of no change
    sides = side(first), side(second)
    moved = movements(*sides, match(*sides, frozenset()).pairs)
    assert [one.value for one in moved] == pytest.approx([0.0] * 3, abs=1e-9)


def test_without_ratios_the_medians_speak() -> None:
    first, second = document([1e6, 2e6], "a"), document([1.1e6, 2e6], "b")
    first["comparisons"] = second["comparisons"] = []
    sides = side(first), side(second)
    moved = movements(*sides, match(*sides, frozenset()).pairs)
    assert [exp(one.value) for one in moved] == pytest.approx([1.1, 1.0])


def test_a_ratio_is_found_whichever_row_came_first() -> None:
    """The second run has its rows the other way round."""
    first, second = document([1e6, 2e6], "a"), document([1e6, 2.2e6], "b")
    one = second["comparisons"][0]
    one["baseline_id"], one["candidate_id"] = 1, 0
    one["ratio"] = {"value": 2.2, "low": 2.19, "high": 2.21}
    sides = side(first), side(second)
    moved = movements(*sides, match(*sides, frozenset()).pairs)
    assert moved[1].value - moved[0].value == pytest.approx(log(1.1))
