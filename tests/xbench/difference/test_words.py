"""What the report says first, and what it says of its own limits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.xbench.difference.simulated import between, document, side
from xbench.difference.answer import Difference, Terms, diff
from xbench.difference.document import to_json
from xbench.report.difference import markdown, render
from xbench.report.difference_words import closing, sentences
from xbench.report.document import to_text

RUN = [1e6, 2e6, 3e6, 4e6]


def scaled(factor: float, *own: float) -> Sequence[float]:
    return [value * factor * one for value, one in zip(RUN, own or [1.0] * 4, strict=True)]


def said(found: Difference) -> str:
    return " ".join((*sentences(found), *closing(found)))


def test_a_machine_that_changed_is_named_and_no_row_is() -> None:
    found = between(RUN, scaled(1.2))
    assert "No row was found to be slower by 5%" in said(found)
    assert "All 4 rows moved together, 20% slower: the machine changed" in said(found)


def test_a_small_common_movement_is_not_worth_a_word() -> None:
    assert "moved together" not in said(between(RUN, scaled(1.005)))


def test_a_reference_is_named_as_such() -> None:
    found = between(RUN, scaled(1.2, 1, 1, 1, 1.3), references=frozenset({"backend0", "backend1"}))
    assert "The 2 rows taken as reference moved together, 20% slower" in said(found)


def test_runs_that_cannot_show_it_say_so_and_what_they_show() -> None:
    found = between(RUN[:1], RUN[:1])
    assert "Runs scatter too much for a slow-down of 5% to be found" in said(found)
    assert "Measure longer, or several rows together" in said(found)
    sure = between(RUN, RUN, *[RUN] * 40)
    assert "too much" not in said(sure)


@pytest.mark.parametrize(
    ("runs", "words"), [(0, "no earlier run"), (1, "no earlier run"), (9, "9 earlier runs")]
)
def test_how_many_runs_stand_behind_it(runs: int, words: str) -> None:
    """One run has no scatter."""
    text = said(between(RUN, RUN, *[scaled(1 + n / 100) for n in range(runs)]))
    assert words in text
    assert ("More unchanged runs" in text) == (runs < 6)


def test_several_alarms_are_counted() -> None:
    many = [1e6 * (n + 1) for n in range(40)]
    slow = [value * (1.3 if n < 9 else 1) for n, value in enumerate(many)]
    found = between(many, slow)
    assert len(found.alarms) == 9
    assert "and 4 more (9 slower" in said(found)


def test_runs_without_a_common_row_say_so() -> None:
    first, second = document(RUN, "a"), document(RUN, "b")
    for row in second["results"]:
        row["backend"] = f"other{row['id']}"
    found = diff(side(first), side(second), Terms())
    assert sentences(found)[0].startswith("Nothing could be compared")
    assert closing(found) == ()
    for text in (render(found), markdown(found)):
        assert "Only in the first run" in text


def test_alarms_are_said_where_nothing_was_left_to_compare() -> None:
    first, second = document(RUN, "a"), document(RUN, "b")
    for row in second["results"]:
        row.update(status="crashed", reason="signal 11", latency_ns=None)
    found = diff(side(first), side(second), Terms(fail_slower=True))
    alarm, nothing = sentences(found)
    assert found.exit_status == 1
    assert alarm.startswith("Alarm: backend0: it failed in the second run: crashed: signal 11")
    assert "no cell has a figure in both runs" in nothing


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1e2, 1e11), st.floats(1e2, 1e11)), min_size=1, max_size=5),
    st.floats(1e-6, 0.9),
)
def test_any_numbers_fit_the_terminal_and_the_document(
    p50_ns: list[tuple[float, float]], width: float
) -> None:
    sides = [
        side(document([one[which] for one in p50_ns], str(which), width=width)) for which in (0, 1)
    ]
    found = diff(sides[0], sides[1], Terms(fail_slower=True))
    assert max(map(cell_len, render(found).splitlines())) <= 80
    assert to_text(to_json(found))
    assert markdown(found)
