"""Doubts about a whole run. Each rule returns the text and the fix, or None."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xbench.cautions.evidence import Code, RunEvidence, Words
from xbench.stats import half_width

QUIET_SHARE = 0.5  # of the rounds: with fewer the verdict is about a machine seldom seen
LOADED = 0.5  # runnable processes per CPU before anything was measured
DENORMALS = 1000  # weights: they come by the thousand, or hardly matter


def _not_saved(run: RunEvidence) -> Words:
    if not run.unsaved:
        return None
    text = f"not everything is on the disk: {run.unsaved}"
    return text, "Keep this report; free some space, or use --out elsewhere, before the next run"


def _nonfinite_weights(run: RunEvidence) -> Words:
    if not run.nonfinite:
        return None
    text = f"{_counted(run.nonfinite, 'weight')} infinite or not a number"
    return text, "Unless it is a mask, check how the model was exported"


def _denormal_weights(run: RunEvidence) -> Words:
    if run.denormals < DENORMALS:
        return None
    text = f"{_counted(run.denormals, 'weight')} denormal: some runtimes flush them, others crawl"
    return text, "Set weights below 1e-38 to zero before the export"


def _input_doubtful(run: RunEvidence) -> Words:
    if not run.input_doubts:
        return None
    more = len(run.input_doubts) - 3
    text = "; ".join(run.input_doubts[:3]) + (f"; and {more} more" if more > 0 else "")
    return text, "Give real inputs with --inputs feeds.npz"


def _quick(run: RunEvidence) -> Words:
    if not run.spec.quick:
        return None
    text = "a first look: few launches and wide intervals"
    return text, "Leave out --quick for a verdict to act on"


def _single_launch(run: RunEvidence) -> Words:
    if run.launches != 1:
        return None
    text = "one launch: intervals leave out how launches differ, and are too narrow"
    if run.spec.most_launches > 1:
        return text, "Give it longer with --time-budget"
    return text, "Leave out --quick" if run.spec.quick else "Use --launches 5"


def _budget_spent(run: RunEvidence) -> Words:
    target = run.spec.precision_target
    wide = sum(half_width(ratio) > target for ratio in run.ratios)
    if not wide or run.spec.quick:
        return None
    are = "interval is" if len(run.ratios) == 1 else "intervals are"
    text = f"{wide} of {len(run.ratios)} {are} wider than the {100 * target:.3g}% asked for"
    if run.spec.launches is None or run.launches < run.spec.launches:
        return text, "Give it longer with --time-budget"
    return text, f"Use more than --launches {run.spec.launches}, and a longer --time-budget"


def _disturbed(run: RunEvidence) -> Words:
    if run.quiet_share is None or run.quiet_share >= QUIET_SHARE:
        return None
    text = f"the machine was disturbed in {1 - run.quiet_share:.0%} of the rounds"
    if not run.quiet_share:
        text = "the machine was never quiet for long: ratios are of all rounds"
    if 2 * run.throttled_share >= 1 - run.quiet_share:
        return text, "A GPU was throttled in most of these: see the cautions of the rows"
    return text, "Close other programs, or use a machine of your own"


def _no_canary(run: RunEvidence) -> Words:
    if run.quiet_share is not None:
        return None
    text = "no canary ran: disturbed rounds could not be told apart"
    return text, "Look at the canary's log in the run folder"


def _machine_loaded(run: RunEvidence) -> Words:
    if run.load_share is None or run.load_share <= LOADED:
        return None
    text = f"{run.load_share:.1f} processes a CPU wanted to run before the comparison began"
    return text, "Close other programs, or wait a minute after the last run"


def _resumed(run: RunEvidence) -> Words:
    if not run.resumed:
        return None
    return "this run was taken up again: its parts are of different times", ""


def _counted(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"


RUN_RULES: Mapping[Code, Callable[[RunEvidence], Words]] = {
    Code.NOT_SAVED: _not_saved,
    Code.NONFINITE_WEIGHTS: _nonfinite_weights,
    Code.DENORMAL_WEIGHTS: _denormal_weights,
    Code.INPUT_DOUBTFUL: _input_doubtful,
    Code.QUICK: _quick,
    Code.SINGLE_LAUNCH: _single_launch,
    Code.BUDGET_SPENT: _budget_spent,
    Code.DISTURBED: _disturbed,
    Code.NO_CANARY: _no_canary,
    Code.MACHINE_LOADED: _machine_loaded,
    Code.RESUMED: _resumed,
}
