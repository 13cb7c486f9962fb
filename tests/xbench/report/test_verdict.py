"""The verdict says no more than the intervals hold."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.xbench.report.runs import cell, interval, run_of, runs, typical, versus
from xbench.report.verdict import verdicts
from xbench.result import Interval, Run


def test_each_verdict_has_its_own_words() -> None:
    [text] = verdicts(typical())
    assert "openvino is 1.17 to 1.21 times as fast as onnxruntime" in text
    assert "pytorch:compile and onnxruntime cannot be told apart: within 1.9%" in text
    assert "pytorch takes 1.95 to 2.05 times as long as onnxruntime" in text
    assert "litert against onnxruntime is not decided (ratio 0.97 to 1.07, 95% interval)" in text


def test_a_difference_too_small_to_matter_is_not_called_invisible() -> None:
    a, b = cell(0, "a", 1e6, 1), cell(1, "b", 1e6, 1)
    [text] = verdicts(run_of((a, b), (versus(a, b, Interval(0.99, 0.985, 0.995), "tie"),)))
    assert text == "b and a are as good as equal: within 1.5% (95% interval)."


def test_an_open_question_names_the_time_and_the_option_that_close_it() -> None:
    [text] = verdicts(typical())
    assert "about 40 s more would decide it (--time-budget 140s)" in text


def test_a_time_that_nobody_would_spend_is_told_and_not_advised() -> None:
    a, b = cell(0, "a", 1e6, 1), cell(1, "b", 1e6, 1)
    pair = versus(a, b, interval(1.0, 0.5), "undetermined", needed_s=400_000.0)
    [text] = verdicts(run_of((a, b), (pair,)))
    assert "about 111 h 7 min more would decide it." in text


def test_an_open_question_that_time_does_not_close_promises_nothing() -> None:
    a, b = cell(0, "a", 1e6, 1), cell(1, "b", 1e6, 1)
    [text] = verdicts(run_of((a, b), (versus(a, b, interval(1.0, 0.1), "undetermined"),)))
    assert "is not decided" in text
    assert "would decide" not in text


def test_a_backend_against_itself_is_told_apart() -> None:
    a, b = cell(0, "a", 1e6, 1), cell(1, "a", 1e6, 1)
    [text] = verdicts(run_of((a, b), (versus(a, b, interval(1.0), "tie"),)))
    assert text.startswith("a (again) and a cannot be told apart")


def test_one_row_alone_is_compared_with_nothing() -> None:
    failed = cell(1, "b")
    assert verdicts(run_of((cell(0, "a", 1e6, 1), failed))) == (
        "only a has a result, so there is nothing to compare it with.",
    )
    assert verdicts(run_of((failed,))) == ("no backend has a result to show.",)


def test_a_baseline_that_failed_is_named() -> None:
    a, b, c = cell(0, "a"), cell(1, "b", 1e6, 1), cell(2, "c", 2e6, 2)
    pairs = (versus(a, b, None, "undetermined"), versus(a, c, None, "undetermined"))
    [text] = verdicts(run_of((a, b, c), pairs))
    assert text.startswith("the baseline a has no result, so b and c have no ratio")
    assert "--backends" in text


def test_a_baseline_that_is_replaced_is_named() -> None:
    a, b, c = cell(0, "a"), cell(1, "b", 1e6, 1), cell(2, "c", 2e6, 2)
    [text] = verdicts(run_of((a, b, c), (versus(b, c, Interval(0.5, 0.49, 0.51), "slower"),)))
    assert "times as long as b" in text
    assert "a was to be the baseline and has no result: b takes its place." in text


SEARCH = {"scenario": "server", "slo": "p99=20ms", "time_budget_s": 100.0}


def test_rates_are_told_by_what_holds_and_what_fails() -> None:
    """Their bounds are measured, and no interval of a statistic."""
    a, b = cell(0, "a", 1e6, 2), cell(1, "b", 2e6, 1)
    pair = versus(a, b, Interval(2.0, 1.8, 2.2), "faster")
    [text] = verdicts(run_of((a, b), (pair,), spec=SEARCH))
    assert text == (
        "b holds 1.8 to 2.2 times the rate of a (between rates that hold and rates that fail)."
    )


def test_a_baseline_whose_search_ran_out_of_time_has_a_result() -> None:
    a, b, c = cell(0, "a", 1e6, 2), cell(1, "b", 1e6, 1), cell(2, "c", 2e6, 2)
    pairs = (
        versus(a, b, None, "undetermined"),
        versus(a, c, None, "undetermined"),
        versus(b, c, Interval(0.5, 0.45, 0.55), "slower"),
    )
    [text] = verdicts(run_of((a, b, c), pairs, spec=SEARCH))
    assert "a was to be the baseline and has no ratio: b takes its place." in text
    [text] = verdicts(run_of((a, b, c), pairs[:2], spec=SEARCH))
    assert text == (
        "b, a and c were measured too little to be compared; give them more --time-budget."
    )


def test_each_batch_has_its_own_verdict() -> None:
    rows = tuple(cell(i, "ab"[i % 2], 1e6 * (i + 1), 1, batch=(1, 8)[i // 2]) for i in range(4))
    pairs = (
        versus(rows[0], rows[1], Interval(0.5, 0.49, 0.51), "slower"),
        versus(rows[2], rows[3], interval(1.0), "tie"),
    )
    one, eight = verdicts(run_of(rows, pairs))
    assert one.startswith("batch 1: b takes")
    assert eight.startswith("batch 8: b and a cannot be told apart")


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(Interval(0.5, 0.49, 0.51), "slower"), (Interval(0.99, 0.98, 1.0), "tie")],
)
def test_the_fastest_is_told_against_the_next_where_neither_is_the_baseline(
    ratio: Interval, verdict: str
) -> None:
    base, fast, next_one = cell(0, "base", 4e6, 3), cell(1, "fast", 1e6, 1), cell(2, "next", 2e6, 2)
    pairs = (
        versus(base, fast, interval(4.0), "faster"),
        versus(base, next_one, interval(2.0), "faster"),
        versus(fast, next_one, ratio, verdict),
    )
    [text] = verdicts(run_of((base, fast, next_one), pairs))
    assert ("fast is 1.96 to 2.04 times as fast as next" in text) is (verdict == "slower")
    assert text.count("times as fast as base") == 2


@given(runs())
def test_a_difference_is_claimed_only_where_one_was_found(run: Run) -> None:
    words = " ".join(verdicts(run))
    said = {one.verdict.value for one in run.comparisons if one.ratio}
    names = " ".join(row.backend for row in run.results)
    assert " times as fast as " not in words or "faster" in said or " times as " in names
    assert " times as long as " not in words or "slower" in said or " times as " in names
