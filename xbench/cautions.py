"""The closed list of doubts about a row or a run, computed from what was measured.

Each has a code that never changes, one line on what it means here, and what helps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from xbench.plan import Cell, Spec
from xbench.result import Caution, Interval, Parity
from xbench.samples import Epoch, Launched
from xbench.stats import half_width

CAP_TOLERANCE = 1.03  # CPU seconds over wall seconds and threads: beyond it the cap did not hold
IDLE_SHARE = 0.75  # of the threads asked for: a row that keeps fewer busy says so
UNSTABLE_SPREAD = 0.15  # of the median: the middle half of the epochs lies this far apart
DRIFT = 0.05  # between the first and the last third of the rounds
TIMER_SHARE = 0.05  # of a latency that is the harness's own
QUIET_SHARE = 0.5
FEW_ROUNDS = 10
LOADED = 0.5  # runnable processes per CPU before anything was measured


class Code(StrEnum):
    """Every doubt that xbench can have."""

    SINGLE_LAUNCH = "single_launch"
    QUICK = "quick"
    FEW_ROUNDS = "few_rounds"
    NOT_STEADY = "not_steady"
    UNSTABLE = "unstable"
    DRIFT = "drift"
    THREADS_OVER_CAP = "threads_over_cap"
    THREADS_IDLE = "threads_idle"
    AFFINITY_NOT_HELD = "affinity_not_held"
    PRECISION_UNKNOWN = "precision_unknown"
    PRECISION_NOT_HELD = "precision_not_held"
    PARITY_DEGENERATE = "parity_degenerate"
    PARITY_NOT_CHECKED = "parity_not_checked"
    PARITY_STAND_IN = "parity_stand_in"
    FALLBACK = "fallback"
    TIMER = "timer"
    BUDGET_SPENT = "budget_spent"
    DISTURBED = "disturbed"
    NO_CANARY = "no_canary"
    MACHINE_LOADED = "machine_loaded"
    DENORMAL_WEIGHTS = "denormal_weights"
    NONFINITE_WEIGHTS = "nonfinite_weights"
    INPUT_DOUBTFUL = "input_doubtful"
    RESUMED = "resumed"
    NOT_SAVED = "not_saved"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowEvidence:
    """What the doubts about one measured row are computed from.

    Attributes:
        overhead_share: The harness's own share of the row's p50.
    """

    spec: Spec
    cell: Cell
    launched: tuple[Launched, ...]
    epochs: tuple[Epoch, ...]
    parity: Parity
    overhead_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvidence:
    """What the doubts about a whole run are computed from.

    Attributes:
        ratios: Every ratio that was measured.
        quiet_share: Share of undisturbed rounds, or None without a canary.
        load_share: Runnable processes per CPU before the run, or None.
        denormals: Weights that are denormal numbers; `nonfinite` are NaN or infinite.
        input_doubts: A line for each input that may not be what the model is made for.
        unsaved: Why the last samples are not on the disk, or None.
    """

    spec: Spec
    launches: int
    ratios: tuple[Interval, ...] = ()
    quiet_share: float | None = None
    load_share: float | None = None
    denormals: int = 0
    nonfinite: int = 0
    input_doubts: tuple[str, ...] = field(default_factory=tuple)
    resumed: bool = False
    unsaved: str | None = None


def row_cautions(evidence: RowEvidence) -> tuple[Caution, ...]:
    """Return the doubts about one row, the gravest first."""
    if not evidence.launched or not evidence.epochs:
        return ()
    said = ((code, rule(evidence)) for code, rule in ROW_RULES.items())
    return tuple(Caution(code.value, *words) for code, words in said if words)


def run_cautions(evidence: RunEvidence) -> tuple[Caution, ...]:
    """Return the doubts about the whole run, the gravest first."""
    said = ((code, rule(evidence)) for code, rule in RUN_RULES.items())
    return tuple(Caution(code.value, *words) for code, words in said if words)


# Doubts about a row. Each rule returns the text and the fix, or None.

Words = tuple[str, str] | None


def _precision_not_held(row: RowEvidence) -> Words:
    effective = row.launched[0].facts.precision
    if effective is None or effective == row.cell.precision:
        return None
    text = f"asked for {row.cell.precision}, and the runtime computed in {effective}"
    return text, "Do not compare it with rows that hold the precision"


def _precision_unknown(row: RowEvidence) -> Words:
    if row.launched[0].facts.precision is not None:
        return None
    return "the runtime does not tell its precision; the outputs alone speak for it", ""


def _threads_over_cap(row: RowEvidence) -> Words:
    cap = row.cell.limits.threads
    busy = max(one.busy_threads for one in row.launched)
    used = median(epoch.cpu_ns / max(1, epoch.wall_ns) for epoch in row.epochs)
    if busy <= cap and used <= CAP_TOLERANCE * cap:
        return None
    text = f"{busy} threads were busy and used {used:.2f} CPUs, though {cap} were allowed"
    return text, "Do not compare it with rows that held the cap"


def _affinity_not_held(row: RowEvidence) -> Words:
    allowed = set(row.cell.limits.cpus)
    strayed = {cpu for one in row.launched for cpu in one.cpus} - allowed
    if not allowed or not strayed:
        return None
    named = ", ".join(map(str, sorted(strayed)))
    return f"the runtime moved a thread to CPU {named}, which it was not given", ""


def _fallback(row: RowEvidence) -> Words:
    fallback = row.launched[0].facts.fallback
    if fallback is None or fallback.nodes == 0:
        return None
    some = ", ".join(fallback.names[:3])
    text = f"{fallback.nodes} nodes ran on {fallback.where} instead of the device asked for"
    return f"{text} ({some})", "Its time is not that of the device alone"


def _parity_degenerate(row: RowEvidence) -> Words:
    if row.parity.status != "degenerate":
        return None
    text = (
        f"the model's outputs carry no information ({row.parity.reason}): agreement means nothing"
    )
    return text, "Use trained weights, or real inputs with --inputs"


def _parity_not_checked(row: RowEvidence) -> Words:
    if row.parity.status != "not_checked":
        return None
    return (
        f"outputs were not compared: {row.parity.reason}",
        "Install onnxruntime: it is the reference",
    )


def _parity_stand_in(row: RowEvidence) -> Words:
    reference = row.parity.reference
    if row.parity.status != "agrees" or reference in (None, "onnxruntime:reference"):
        return None
    return f"the reference could not run the model; {reference} stood in for it", ""


def _not_steady(row: RowEvidence) -> Words:
    unsteady = sum(not one.steady for one in row.launched)
    if 2 * unsteady <= len(row.launched):
        return None
    launches = len(row.launched)
    text = f"latency still fell when warm-up ended, in {unsteady} of {launches} launches"
    return text, "" if not row.spec.quick else "Leave out --quick"


def _few_rounds(row: RowEvidence) -> Words:
    if len(row.epochs) >= FEW_ROUNDS:
        return None
    return f"measured in {len(row.epochs)} rounds only", "Give it longer with --time-budget"


def _unstable(row: RowEvidence) -> Words:
    middles = sorted(median(epoch.latencies_ns) for epoch in row.epochs)
    if len(middles) < FEW_ROUNDS:
        return None
    quarter = len(middles) // 4
    spread = (middles[-1 - quarter] - middles[quarter]) / median(middles)
    if spread <= UNSTABLE_SPREAD:
        return None
    text = f"its own p50 moved by {spread:.0%} between rounds; ratios, taken within them, move less"
    return text, "Close other programs, or pin the clock"


def _drift(row: RowEvidence) -> Words:
    middles = [median(epoch.latencies_ns) for epoch in row.epochs]
    third = len(middles) // 3
    if third < FEW_ROUNDS // 2:
        return None
    change = median(middles[-third:]) / median(middles[:third]) - 1
    if abs(change) <= DRIFT:
        return None
    word = "slower" if change > 0 else "faster"
    return f"it became {abs(change):.0%} {word} from the first third of the run to the last", ""


def _timer(row: RowEvidence) -> Words:
    if row.overhead_share <= TIMER_SHARE:
        return None
    text = f"{row.overhead_share:.0%} of its latency is the harness's own"
    return text, "Use a larger batch; compare ratios with care"


def _threads_idle(row: RowEvidence) -> Words:
    cap = row.cell.limits.threads
    busy = max(one.busy_threads for one in row.launched)
    if busy >= IDLE_SHARE * cap:
        return None
    return f"it kept {busy} of {cap} threads busy: this model gives it no more to do", ""


ROW_RULES: Mapping[Code, Callable[[RowEvidence], Words]] = {
    Code.PRECISION_NOT_HELD: _precision_not_held,
    Code.THREADS_OVER_CAP: _threads_over_cap,
    Code.AFFINITY_NOT_HELD: _affinity_not_held,
    Code.FALLBACK: _fallback,
    Code.PARITY_DEGENERATE: _parity_degenerate,
    Code.PARITY_NOT_CHECKED: _parity_not_checked,
    Code.PARITY_STAND_IN: _parity_stand_in,
    Code.PRECISION_UNKNOWN: _precision_unknown,
    Code.NOT_STEADY: _not_steady,
    Code.FEW_ROUNDS: _few_rounds,
    Code.UNSTABLE: _unstable,
    Code.DRIFT: _drift,
    Code.TIMER: _timer,
    Code.THREADS_IDLE: _threads_idle,
}


# Doubts about the run


def _not_saved(run: RunEvidence) -> Words:
    if not run.unsaved:
        return None
    return f"not everything is on the disk: {run.unsaved}", "Free some space; keep this table"


def _nonfinite_weights(run: RunEvidence) -> Words:
    if not run.nonfinite:
        return None
    return f"{run.nonfinite} weights are NaN or infinite", "Check how the model was exported"


def _denormal_weights(run: RunEvidence) -> Words:
    if not run.denormals:
        return None
    text = f"{run.denormals} weights are denormal: some runtimes flush them, others crawl on them"
    return text, "Set tiny weights to zero before the export"


def _input_doubtful(run: RunEvidence) -> Words:
    if not run.input_doubts:
        return None
    return "; ".join(run.input_doubts[:3]), "Give real inputs with --inputs feeds.npz"


def _quick(run: RunEvidence) -> Words:
    if not run.spec.quick:
        return None
    return (
        "a first look: few launches and wide intervals",
        "Leave out --quick for a verdict to act on",
    )


def _single_launch(run: RunEvidence) -> Words:
    if run.launches != 1:
        return None
    text = "one launch: intervals leave out how launches differ, and are too narrow"
    return text, "Use --launches 5 or a longer --time-budget"


def _budget_spent(run: RunEvidence) -> Words:
    target = run.spec.precision_target
    wide = [half_width(ratio) for ratio in run.ratios if half_width(ratio) > target]
    if not wide or run.spec.quick:
        return None
    text = f"{len(wide)} of {len(run.ratios)} intervals are wider than the {target:.1%} asked for"
    return text, "Give it longer: --time-budget and --launches"


def _disturbed(run: RunEvidence) -> Words:
    if run.quiet_share is None or run.quiet_share >= QUIET_SHARE:
        return None
    text = f"the machine was disturbed in {1 - run.quiet_share:.0%} of the rounds"
    return text, "Close other programs, or use a machine of your own"


def _no_canary(run: RunEvidence) -> Words:
    if run.quiet_share is not None:
        return None
    return "no canary ran: disturbed rounds could not be told apart", "See the log of the run"


def _machine_loaded(run: RunEvidence) -> Words:
    if run.load_share is None or run.load_share <= LOADED:
        return None
    text = f"{run.load_share:.1f} processes a CPU wanted to run before the comparison began"
    return text, "Close other programs"


def _resumed(run: RunEvidence) -> Words:
    if not run.resumed:
        return None
    return "this run was taken up again: its parts are of different times", ""


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
