"""The decision: what an interval and a claim give, for whatever numbers."""

from __future__ import annotations

from math import exp, inf, log, sqrt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.xbench.claims.made import RATIO, claim_of
from xbench.claims.claim import Claim, Kind
from xbench.claims.decide import (
    Band,
    Decision,
    accepted,
    band,
    decide,
    decide_order,
    deciding_width,
    more_seconds,
)
from xbench.result import Interval

HELD, FAILED, OPEN = Decision.HELD, Decision.FAILED, Decision.UNDETERMINED
BOUNDED = (Kind.RATIO, Kind.AT_LEAST, Kind.AT_MOST)
OTHER_SIDE = {Kind.RATIO: Kind.RATIO, Kind.AT_LEAST: Kind.AT_MOST, Kind.AT_MOST: Kind.AT_LEAST}

values = st.floats(1e-3, 1e3)
tolerances = st.floats(0.001, 5.0)
kinds = st.sampled_from(BOUNDED)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    """Return an interval of a ratio, from all but a point to a factor of twenty."""
    middle, below, above = draw(values), draw(st.floats(1e-4, 3.0)), draw(st.floats(1e-4, 3.0))
    return Interval(middle, middle * exp(-below), middle * exp(above))


def inverse(ratio: Interval) -> Interval:
    return Interval(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)


def near(a: float, b: float) -> bool:
    return 0 < b < inf and abs(log(a / b)) < 1e-9


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (1.7, 2.4, HELD),
        (1.6, 2.5, HELD),  # its bounds included
        (2.51, 2.6, FAILED),
        (1.0, 1.59, FAILED),
        (2.4, 2.6, OPEN),
        (1.5, 1.7, OPEN),
        (1.0, 3.0, OPEN),  # holds all that is accepted, and more
        (2.5, 2.6, OPEN),  # touches it
    ],
)
def test_a_ratio_of_two_within_a_quarter(low: float, high: float, decision: Decision) -> None:
    within = band(Kind.RATIO, 2.0, 0.25)
    assert (within.low, within.high) == (1.6, 2.5)
    assert decide(Interval(sqrt(low * high), low, high), within) is decision


def test_bounds_on_one_side() -> None:
    """At least 3 has no upper bound, at most 3 no lower one."""
    most, least = band(Kind.AT_MOST, 3.0, 0.05), band(Kind.AT_LEAST, 3.0, 0.05)
    assert decide(Interval(0.1, 0.09, 0.11), most) is HELD
    assert decide(Interval(3.5, 3.4, 3.6), most) is FAILED
    assert decide(Interval(50, 49, 51), least) is HELD
    assert decide(Interval(2.5, 2.4, 2.6), least) is FAILED


def test_without_an_interval_nothing_is_decided() -> None:
    assert decide(None, Band(1.0, 2.0)) is OPEN
    assert decide_order(None, 0.02) is OPEN


@given(intervals(), kinds, values, tolerances, st.floats(0, 1))
def test_a_verdict_is_true_of_every_value_in_the_interval(
    measured: Interval, kind: Kind, value: float, tolerance: float, at: float
) -> None:
    """Held: none lies outside what is accepted. Failed: none lies inside."""
    within = band(kind, value, tolerance)
    one = measured.low + at * (measured.high - measured.low)
    inside = within.low <= one <= within.high
    decision = decide(measured, within)
    assert not (decision is HELD and not inside)
    assert not (decision is FAILED and inside)
    if decision is OPEN:  # then there is one of each
        ends = (measured.low, measured.high, within.low, within.high)
        both = [x for x in ends if measured.low <= x <= measured.high]
        assert any(within.low <= x <= within.high for x in both)
        assert not (within.low <= measured.low and measured.high <= within.high)


@given(intervals(), kinds, values, tolerances, st.floats(0, 1), st.floats(0, 1))
def test_a_narrower_interval_never_overturns_a_verdict(
    measured: Interval, kind: Kind, value: float, tolerance: float, a: float, b: float
) -> None:
    """More measuring decides what was open, and leaves what was decided."""
    span = measured.high - measured.low
    low, high = sorted((measured.low + a * span, measured.low + b * span))
    assume(measured.low <= low <= high <= measured.high)
    within = band(kind, value, tolerance)
    before, after = decide(measured, within), decide(Interval(low, low, high), within)
    assert before in (OPEN, after)


@given(intervals(), kinds, values, tolerances, tolerances)
def test_a_larger_tolerance_never_fails_what_held(
    measured: Interval, kind: Kind, value: float, a: float, b: float
) -> None:
    strict, lax = sorted((a, b))
    before, after = (decide(measured, band(kind, value, t)) for t in (strict, lax))
    assert not (before is HELD and after is not HELD)
    assert not (after is FAILED and before is not FAILED)


@given(intervals(), kinds, values, tolerances)
def test_a_claim_and_its_inverse_are_judged_alike(
    measured: Interval, kind: Kind, value: float, tolerance: float
) -> None:
    """ "A is twice as fast as B" and "B half as fast as A" are one claim."""
    within = band(kind, value, tolerance)
    edges = (within.low, within.high)
    assume(not any(near(x, edge) for x in (measured.low, measured.high) for edge in edges))
    other = band(OTHER_SIDE[kind], 1 / value, tolerance)
    assert decide(measured, within) is decide(inverse(measured), other)


@given(intervals(), st.floats(0.001, 0.5))
def test_of_an_order_and_its_opposite_one_at_most_holds(ratio: Interval, margin: float) -> None:
    """A tie fails both; what is open one way is open the other."""
    edges = (1.0, 1 + margin, 1 / (1 + margin))
    assume(not any(near(x, edge) for x in (ratio.low, ratio.high) for edge in edges))
    one, other = decide_order(ratio, margin), decide_order(inverse(ratio), margin)
    assert {one, other} in ({HELD, FAILED}, {FAILED}, {OPEN})
    if one is HELD:
        assert ratio.low > 1


def test_a_tie_fails_an_order() -> None:
    assert decide_order(Interval(1.005, 1.002, 1.008), 0.02) is FAILED
    assert decide_order(Interval(1.03, 1.02, 1.04), 0.02) is HELD
    assert decide_order(Interval(1.01, 0.98, 1.04), 0.02) is OPEN


def claims() -> st.SearchStrategy[Claim]:
    bounded = st.builds(
        lambda kind, value, tolerance: claim_of(
            RATIO.replace("kind: ratio", f"kind: {kind}").replace(
                "ratio: 2", f"ratio: {value:.6f}\n  tolerance: {tolerance:.6f}"
            )
        ),
        kinds,
        st.floats(0.1, 10),
        st.floats(0.01, 2),
    )
    order = "- {id: o, kind: faster, baseline: onnxruntime, candidate: openvino}"
    return st.one_of(bounded, st.just(claim_of(order)))


def decided(claim: Claim, ratio: Interval) -> Decision:
    within = accepted(claim)
    return decide(ratio, within) if within else decide_order(ratio, claim.tolerance)


@given(claims(), st.floats(0.05, 20))
def test_an_interval_as_narrow_as_is_said_decides(claim: Claim, value: float) -> None:
    """A little narrower than the deciding width decides; a little wider does not."""
    width = deciding_width(claim, value)
    assume(width > 1e-6)
    narrow, wide = (
        Interval(value, value * exp(-w), value * exp(w)) for w in (0.999 * width, 1.001 * width)
    )
    assert decided(claim, narrow) is not OPEN
    if accepted(claim):
        assert decided(claim, wide) is OPEN


def test_the_time_that_would_decide_falls_with_the_distance() -> None:
    """Four times the seconds halve an interval; a value at a bound is never decided."""
    claim = claim_of(RATIO)  # accepts from 1.6 to 2.5
    assert deciding_width(claim, 2.0) == pytest.approx(log(1.25))
    half_way = 2.5 * exp(-0.1)
    open_ = Interval(half_way, half_way * exp(-0.2), half_way * exp(0.2))
    assert more_seconds(claim, open_, 10.0) == pytest.approx(30.0)
    at_the_bound = Interval(2.5, 2.4, 2.6)
    assert more_seconds(claim, at_the_bound, 10.0) is None
    assert more_seconds(claim, Interval(2.4999, 2.3, 2.7), 10.0) is None  # days
