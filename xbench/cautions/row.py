"""Doubts about one row. Each rule returns the text and the fix, or None."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from statistics import median

from xbench.cautions import caps, load
from xbench.cautions.evidence import Code, RowEvidence, Words
from xbench.medians import independent_variance
from xbench.parity import TOLERANCE
from xbench.samples import Epoch
from xbench.stats import percentile, samples_needed

IDLE_SHARE = 0.75  # of the threads asked for: a row that keeps fewer busy says so
UNSTABLE_SPREAD = 0.15  # of the median: the middle half of the epochs lies this far apart
DRIFT = 0.05  # between the first and the last third of the rounds
DRIFT_ERRORS = 4.0  # standard errors, from ten rounds or so, of that difference: less may be chance
TIMER_SHARE = 0.05  # of a latency that is the harness's own
MEMORY_SPREAD = 0.02  # of the median, between the launches: usual are a few thousandths
CONTENDED, DISAGREES = (
    "contended:",
    "disagrees",
)  # what notes of `xbench.telemetry` start with, or hold
THROTTLED_SHARE = 0.01  # of a row's rounds
POWER_CAP = "sw_power_cap"
DETOUR = 0.25  # of a drift: the middle third lies no further beyond either end
FEW_ROUNDS = 10
FEWEST_IN_THIRD = 5


def _precision_not_held(row: RowEvidence) -> Words:
    told = {one.facts.precision for one in row.launched} - {None, row.cell.precision}
    if not told:
        return None
    found = ", ".join(sorted(str(precision) for precision in told))
    text = f"asked for {row.cell.precision}, and the runtime computed in {found}"
    return text, "Do not compare it with rows that hold the precision"


def _other_precision(row: RowEvidence) -> Words:
    own = row.cell.precision
    if own in row.spec.precisions:
        return None
    text = f"it runs at {own}: its outputs may differ by {TOLERANCE[own]:.0%} and still agree"
    return text, "Whether that is good enough, the quality on your own data tells"


def _calibrated_on_inputs(row: RowEvidence) -> Words:
    timed = row.spec.inputs and not row.spec.calibration
    if not timed or row.cell.precision != "int8":
        return None
    text = "its scales were chosen on the very inputs that it was timed and compared on"
    return text, "Give others with --calibration"


def _fallback(row: RowEvidence) -> Words:
    told = (one.facts.fallback for one in row.launched)
    most = max((one for one in told if one and one.nodes), key=lambda one: one.nodes, default=None)
    if most is None:
        return None
    named = f" ({', '.join(most.names[:3])}{', ...' if most.nodes > 3 else ''})"
    nodes = "1 node" if most.nodes == 1 else f"{most.nodes} nodes"
    text = f"{nodes} ran on {most.where} instead of the device asked for"
    return text + (named if most.names else ""), "Its time is not that of the device alone"


def _parity_degenerate(row: RowEvidence) -> Words:
    if row.parity.status != "degenerate":
        return None
    text = f"agreement would mean nothing: {row.parity.reason}"
    return text, "Use trained weights, or real inputs with --inputs"


def _parity_not_checked(row: RowEvidence) -> Words:
    if row.parity.status != "not_checked":
        return None
    text = f"outputs were not compared: {row.parity.reason or 'no reference'}"
    if row.parity.reference:
        return text, "Look at the row's log in the run folder"
    return text, "`xbench backends` tells whether onnxruntime, the reference, can run here"


def _parity_stand_in(row: RowEvidence) -> Words:
    reference = row.parity.reference
    if row.parity.status != "agrees" or reference in (None, "onnxruntime:reference"):
        return None
    text = f"the reference could not run the model; {reference} stood in for it"
    return text, "Both may be wrong in the same way; look at the outputs once"


def _precision_unknown(row: RowEvidence) -> Words:
    if any(one.facts.precision is not None for one in row.launched):
        return None
    return "the runtime does not tell its precision; the outputs alone speak for it", ""


def _not_steady(row: RowEvidence) -> Words:
    launches = len(row.launched)
    unsteady = sum(not one.steady for one in row.launched)
    if 2 * unsteady <= launches:  # a neighbour's burst looks like one launch that had not settled
        return None
    text = f"latency still fell when warm-up ended, in {unsteady} of {launches} launches"
    return text, "Leave out --quick: it warms up longer" if row.spec.quick else ""


def _few_rounds(row: RowEvidence) -> Words:
    rounds = len(row.epochs)
    if rounds >= FEW_ROUNDS:
        return None
    text = f"measured in {rounds} {'round' if rounds == 1 else 'rounds'} only"
    return text, "Give it longer with --time-budget"


def _few_samples(row: RowEvidence) -> Words:
    timed, needed = sum(len(epoch.latencies_ns) for epoch in row.epochs), samples_needed(90)
    if timed >= needed:
        return None
    text = f"{timed} inferences were timed; the tail (p90) takes {needed} to tell"
    return text, "Give it longer with --time-budget"


def _unstable(row: RowEvidence) -> Words:
    middles = _middles(row.epochs)
    if len(middles) < FEW_ROUNDS or row.spec.alone:
        return None
    spread = (percentile(middles, 75) - percentile(middles, 25)) / median(middles)
    if spread <= UNSTABLE_SPREAD:
        return None
    text = f"its p50 moved by {spread:.0%} between rounds; ratios, taken within them, move less"
    return text, "Close other programs, or fix the clock's frequency"


def _drift(row: RowEvidence) -> Words:
    middles = _middles(row.epochs)
    third = len(middles) // 3
    if third < FEWEST_IN_THIRD or row.spec.alone:  # `load` says what became of minutes
        return None
    first, last = middles[:third], middles[-third:]
    change = median(last) - median(first)
    share = change / median(first)
    error = sqrt(independent_variance(first) + independent_variance(last))
    if abs(share) <= DRIFT or abs(change) <= DRIFT_ERRORS * error:
        return None
    if not -DETOUR <= (median(middles[third:-third]) - median(first)) / change <= 1 + DETOUR:
        return None  # it went and came back: a disturbance, which has a doubt of its own
    word = "slower" if change > 0 else "faster"
    text = f"it became {abs(share):.0%} {word} from the first third of the rounds to the last"
    return text, "Let the machine reach its working temperature first, and run it again"


def _timer(row: RowEvidence) -> Words:
    if row.overhead_share <= TIMER_SHARE:
        return None
    text = f"{row.overhead_share:.0%} of its latency is the harness's own"
    return text, "Use a larger --batch; compare ratios with care"


def _throttled(row: RowEvidence) -> Words:
    throttled = [state.throttled_by for state in row.gpu if state.throttled_by]
    if len(throttled) <= THROTTLED_SHARE * len(row.gpu):
        return None
    why = ", ".join(sorted(frozenset[str]().union(*throttled)))
    capped = sum(POWER_CAP in state.held_by for state in row.gpu)
    text = f"its GPU was throttled in {len(throttled) / len(row.gpu):.0%} of the rounds ({why})"
    if capped:
        text += f", and at its power limit in {capped / len(row.gpu):.0%}"
    return text, "Cool the GPU, or lock its clock below the limit: nvidia-smi --lock-gpu-clocks"


def _memory_varies(row: RowEvidence) -> Words:
    if row.memory_spread <= MEMORY_SPREAD:
        return None
    text = f"its memory differs by {row.memory_spread:.0%} between launches"
    return text, "Take the most, not the median; see the phases in the JSON document"


def _memory_doubtful(row: RowEvidence) -> Words:
    if not row.memory_doubts:
        return None
    return f"memory: {'; '.join(row.memory_doubts)}", "docs/memory.md says what each figure holds"


def _energy_contended(row: RowEvidence) -> Words:
    told = next((note for note in row.energy_notes if note.startswith(CONTENDED)), None)
    if told is None:
        return None
    text = f"energy: {told.removeprefix(CONTENDED).strip()}"
    return text, "Close other programs, or use a machine of your own"


def _energy_disagrees(row: RowEvidence) -> Words:
    told = next((note for note in row.energy_notes if DISAGREES in note), None)
    if told is None:
        return None
    return f"energy: {told}", "Trust neither; docs/energy.md says how each meter is read"


def _threads_idle(row: RowEvidence) -> Words:
    cap = row.cell.limits.threads
    busy = max(one.busy_threads for one in row.launched)
    if busy >= IDLE_SHARE * cap or row.cell.limits.device != "cpu":
        return None
    return f"it kept {busy} of {cap} threads busy: more bring this model nothing here", ""


def _middles(epochs: tuple[Epoch, ...]) -> list[float]:
    """Return the p50 of each round, in nanoseconds."""
    return [median(epoch.latencies_ns) for epoch in epochs]


ROW_RULES: Mapping[Code, Callable[[RowEvidence], Words]] = {
    Code.PRECISION_NOT_HELD: _precision_not_held,
    Code.OTHER_PRECISION: _other_precision,
    Code.CALIBRATED_ON_INPUTS: _calibrated_on_inputs,
    Code.REQUESTS_LATE: load.late,
    Code.NOT_SUSTAINED: load.not_sustained,
    Code.CURVE_MISSING: load.unfinished_curve,
    Code.THREADS_OVER_CAP: caps.threads_over_cap,
    Code.AFFINITY_NOT_HELD: caps.affinity_not_held,
    Code.CAP_NOT_HELD: caps.cap_not_held,
    Code.MEMORY_CAP_COARSE: caps.memory_cap_coarse,
    Code.FALLBACK: _fallback,
    Code.PARITY_DEGENERATE: _parity_degenerate,
    Code.PARITY_NOT_CHECKED: _parity_not_checked,
    Code.PARITY_STAND_IN: _parity_stand_in,
    Code.PRECISION_UNKNOWN: _precision_unknown,
    Code.NOT_STEADY: _not_steady,
    Code.FEW_ROUNDS: _few_rounds,
    Code.FEW_SAMPLES: _few_samples,
    Code.UNSTABLE: _unstable,
    Code.DRIFT: _drift,
    Code.THROTTLED: _throttled,
    Code.TIMER: _timer,
    Code.MEMORY_VARIES: _memory_varies,
    Code.MEMORY_DOUBTFUL: _memory_doubtful,
    Code.ENERGY_CONTENDED: _energy_contended,
    Code.ENERGY_DISAGREES: _energy_disagrees,
    Code.THREADS_IDLE: _threads_idle,
}
