"""Numbers carry the digits that their interval supports, and no others."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.xbench.report.runs import intervals, latency
from xbench.report.numbers import (
    inverse,
    latency_text,
    percentile_text,
    ratio_text,
    rounded,
    within_text,
)
from xbench.result import Interval


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (Interval(1.3178, 1.2934, 1.3502), "1.32 [1.29, 1.35]"),
        (Interval(1.0031, 0.9992, 1.0072), "1.003 [0.999, 1.007]"),
        (Interval(0.0123, 0.0119, 0.0127), "0.0123 [0.0119, 0.0127]"),
        (Interval(43.21, 42.83, 43.64), "43.2 [42.8, 43.6]"),
        (Interval(1.0, 1.0, 1.0), "1.000 [1.000, 1.000]"),
    ],
)
def test_a_ratio_has_the_digits_of_its_interval(ratio: Interval, text: str) -> None:
    assert ratio_text(ratio) == text


def test_a_bound_that_is_not_one_does_not_read_as_one() -> None:
    """Whether 1 lies inside is the whole question; two decimals would print 1.00."""
    assert ratio_text(Interval(1.015, 1.003, 1.028)) == "1.015 [1.003, 1.028]"


@given(st.floats(0.2, 5), st.floats(0, 0.3), st.floats(0, 0.3))
def test_what_is_printed_is_what_was_found(value: float, below: float, above: float) -> None:
    """Rounding moves a bound by less than a tenth of the interval, or by the last digit."""
    ratio = Interval(value, value * (1 - below), value * (1 + above))
    middle, low, high = (float(part.strip("[],")) for part in ratio_text(ratio).split())
    tolerance = max((ratio.high - ratio.low) / 2, 0.0005) + 1e-9
    for shown, true in ((middle, ratio.value), (low, ratio.low), (high, ratio.high)):
        assert abs(shown - true) <= tolerance
    assert low <= middle <= high


@pytest.mark.parametrize(
    ("interval_ns", "text"),
    [
        (Interval(4_123_400, 4_101_000, 4_142_000), "4.12 ms"),
        (Interval(4_123_400, 4_123_000, 4_124_000), "4.123 ms"),
        (Interval(850.0, 840.0, 861.0), "850 ns"),
        (Interval(65_300, 61_000, 68_000), "65 µs"),
        (Interval(12.34e9, 12.3e9, 12.4e9), "12.34 s"),
    ],
)
def test_a_latency_has_its_unit(interval_ns: Interval, text: str) -> None:
    assert latency_text(interval_ns) == text


def test_a_percentile_without_proof_prints_the_count_it_needs() -> None:
    assert percentile_text(latency(1e6, n=100), "p99") == "needs 662"
    assert percentile_text(latency(1e6, n=700), "p99").endswith(" ms")


@given(intervals())
def test_whole_numbers_are_not_printed_finer_than_known(interval: Interval) -> None:
    """12345 known to 300 is 12300, not 12345."""
    assume(interval.low > 0)
    half = (interval.high - interval.low) / 2
    assert abs(float(rounded(interval)) - interval.value) <= max(half, interval.value * 1e-3)


def test_throughput_is_rounded_before_the_point_too() -> None:
    assert rounded(Interval(12345.0, 12045.0, 12645.0)) == "12300"


def test_what_is_not_zero_never_reads_as_zero() -> None:
    assert rounded(Interval(312.0, 20.0, 80_000.0)) == "300"
    assert ratio_text(Interval(0.0713, 0.00062, 8.2)) == "0.07 [0.0006, 8]"


def test_a_tie_is_within_its_farther_bound_rounded_up() -> None:
    assert within_text(Interval(0.9903, 0.9821, 0.9985)) == "1.8%"
    assert within_text(Interval(1.0, 1.0, 1.0101)) == "1.1%"


@given(st.floats(0.01, 100), st.floats(0, 0.5))
def test_the_other_side_of_a_ratio_is_ordered(value: float, share: float) -> None:
    other = inverse(Interval(value, value * (1 - share), value * (1 + share)))
    assert other.low <= other.value <= other.high
