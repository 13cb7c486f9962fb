"""The verdict in words, fit to be quoted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from xbench.load.scenario import parse_scenario
from xbench.report.numbers import inverse, ratio_bounds, within_text
from xbench.report.text import clean, listed
from xbench.report.view import Group, groups
from xbench.result import Comparison, Interval, Run, Verdict
from xbench.units import format_s

_STEP_S = 10  # an estimate of seconds is no better than this
_LONGEST_S = 3600  # beyond this, a longer run is no advice


def verdicts(run: Run) -> tuple[str, ...]:
    """Return what may be said of each group of the run: no more than its intervals hold."""
    return tuple(_of_group(group, run.spec) for group in groups(run))


def _of_group(group: Group, spec: Mapping[str, Any]) -> str:
    lead = f"{group.title}: " if group.title else ""
    compared = [one for one in (*group.comparisons, group.lead) if one and one.ratio]
    if not compared:
        return f"{lead}{_without_ratio(group)}."
    decided = [one for one in compared if one.verdict is not Verdict.UNDETERMINED]
    said = "; ".join(_clause(one, spec) for one in decided)
    bounds = "95% interval" if len(decided) == 1 else "95% intervals"
    bounds = "between rates that hold and rates that fail" if _searches(spec) else bounds
    sentences = [f"{said} ({bounds})."] if decided else []
    if group.replaced:
        ranked = group.replaced in [row.backend for row in group.rows]
        what = "ratio" if ranked else "result"
        why = f"{group.replaced} was to be the baseline and has no {what}"
        sentences.append(f"{why}: {group.baseline} takes its place.")
    open_ones = (one for one in compared if one.verdict is Verdict.UNDETERMINED)
    return lead + " ".join([*sentences, *(f"{_clause(one, spec)}." for one in open_ones)])


def _without_ratio(group: Group) -> str:
    """Return why there is nothing to compare."""
    if not group.rows:
        return "no backend has a result to show"
    if len(group.rows) == 1:
        return f"only {group.rows[0].backend} has a result, so there is nothing to compare it with"
    names = listed([row.backend for row in group.rows])
    if group.baseline is None:
        return f"{names} were measured, and not compared"
    if group.baseline in [row.backend for row in group.rows]:
        return f"{names} were measured too little to be compared; give them more --time-budget"
    return (
        f"the baseline {group.baseline} has no result, so {names} have no ratio; "
        "name another backend first in --backends"
    )


def _clause(one: Comparison, spec: Mapping[str, Any]) -> str:
    assert one.ratio is not None  # the caller asks only for these
    baseline, candidate = _names(one)
    if _searches(spec):
        return _by_rate(one, baseline, candidate)
    return _CLAUSES[one.verdict](baseline, candidate, one.ratio, _more_time(one, spec))


def _searches(spec: Mapping[str, Any]) -> bool:
    """Return whether the largest rates are compared, and no latencies."""
    return parse_scenario(spec.get("scenario") or "single-stream").searches


def _by_rate(one: Comparison, baseline: str, candidate: str) -> str:
    """Return what two largest rates say, each known between one that holds and one that fails."""
    assert one.ratio is not None  # as in `_clause`
    if one.verdict in {Verdict.FASTER, Verdict.SLOWER}:
        return f"{candidate} holds {_span(one.ratio)} times the rate of {baseline}"
    said = "cannot be told apart" if one.verdict is Verdict.UNDETERMINED else "are as good as equal"
    return f"the rates that {candidate} and {baseline} hold {said} (ratio {_span(one.ratio)})"


def _names(one: Comparison) -> tuple[str, str]:
    """Return baseline and candidate; a backend against itself is told apart by its place."""
    baseline, candidate = clean(one.baseline), clean(one.candidate)
    return baseline, f"{candidate} (again)" if candidate == baseline else candidate


def _faster(baseline: str, candidate: str, ratio: Interval, _more: str) -> str:
    return f"{candidate} is {_span(ratio)} times as fast as {baseline}"


def _slower(baseline: str, candidate: str, ratio: Interval, _more: str) -> str:
    return f"{candidate} takes {_span(inverse(ratio))} times as long as {baseline}"


def _tie(baseline: str, candidate: str, ratio: Interval, _more: str) -> str:
    if ratio.low <= 1 <= ratio.high:
        return f"{candidate} and {baseline} cannot be told apart: within {within_text(ratio)}"
    return f"{candidate} and {baseline} are as good as equal: within {within_text(ratio)}"


def _undetermined(baseline: str, candidate: str, ratio: Interval, more: str) -> str:
    return (
        f"{candidate} against {baseline} is not decided (ratio {_span(ratio)}, 95% interval){more}"
    )


_CLAUSES: Mapping[Verdict, Callable[[str, str, Interval, str], str]] = {
    Verdict.FASTER: _faster,
    Verdict.SLOWER: _slower,
    Verdict.TIE: _tie,
    Verdict.UNDETERMINED: _undetermined,
}


def _span(ratio: Interval) -> str:
    low, high = ratio_bounds(ratio)
    return low if low == high else f"{low} to {high}"


def _more_time(one: Comparison, spec: Mapping[str, Any]) -> str:
    """Return the time that would decide, with the option that gives it; empty if unknown."""
    if one.needed_s is None or not math.isfinite(one.needed_s):
        return ""
    needed_s = _rounded_up(one.needed_s)
    budget_s = spec.get("time_budget_s")
    text = f": about {format_s(needed_s)} more would decide it"
    if not budget_s or needed_s > _LONGEST_S:
        return text
    return f"{text} (--time-budget {_rounded_up(budget_s + needed_s)}s)"


def _rounded_up(seconds: float) -> int:
    return max(_STEP_S, math.ceil(seconds / _STEP_S) * _STEP_S)
