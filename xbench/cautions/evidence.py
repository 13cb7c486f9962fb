"""The codes of all doubts, and what doubts are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from xbench.plan import Cell, Spec
from xbench.result import Interval, Parity
from xbench.samples import Epoch, GpuState, Launched

Words = tuple[str, str] | None
"""What a rule answers: the text and the fix (empty where nothing helps), or no doubt."""


class Code(StrEnum):
    """Every doubt that xbench can have."""

    SINGLE_LAUNCH = "single_launch"
    QUICK = "quick"
    FEW_ROUNDS = "few_rounds"
    FEW_SAMPLES = "few_samples"
    NOT_STEADY = "not_steady"
    UNSTABLE = "unstable"
    DRIFT = "drift"
    THREADS_OVER_CAP = "threads_over_cap"
    THREADS_IDLE = "threads_idle"
    AFFINITY_NOT_HELD = "affinity_not_held"
    CAP_NOT_HELD = "cap_not_held"
    MEMORY_CAP_COARSE = "memory_cap_coarse"
    PRECISION_UNKNOWN = "precision_unknown"
    PRECISION_NOT_HELD = "precision_not_held"
    OTHER_PRECISION = "other_precision"
    CALIBRATED_ON_INPUTS = "calibrated_on_inputs"
    PARITY_DEGENERATE = "parity_degenerate"
    PARITY_NOT_CHECKED = "parity_not_checked"
    PARITY_STAND_IN = "parity_stand_in"
    FALLBACK = "fallback"
    THROTTLED = "throttled"
    REQUESTS_LATE = "requests_late"
    NOT_SUSTAINED = "not_sustained"
    CURVE_MISSING = "curve_missing"
    TIMER = "timer"
    MEMORY_VARIES = "memory_varies"
    MEMORY_DOUBTFUL = "memory_doubtful"
    ENERGY_CONTENDED = "energy_contended"
    ENERGY_DISAGREES = "energy_disagrees"
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
        launched: What each launch told before its first round.
        epochs: The rounds that the row's numbers come from, oldest first.
        overhead_share: The harness's own share of the row's latency.
        memory_spread: How far apart the launches' memory lies, as a share of its median.
        memory_doubts: Why its memory may not be what it is taken for.
        energy_notes: What its meters noted, the one in its row first.
        gpu: The state of its GPU in each of its rounds, the disturbed ones too.
        load: What its scenario tells beyond latency.
    """

    spec: Spec
    cell: Cell
    launched: tuple[Launched, ...]
    epochs: tuple[Epoch, ...]
    parity: Parity
    overhead_share: float = 0.0
    memory_spread: float = 0.0
    memory_doubts: tuple[str, ...] = ()
    energy_notes: tuple[str, ...] = ()
    gpu: tuple[GpuState, ...] = ()
    load: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvidence:
    """What the doubts about a whole run are computed from.

    Attributes:
        launches: Launches that were measured.
        ratios: Every ratio that was measured.
        quiet_share: Share of undisturbed rounds; 0 where no quiet regime could be told, None
            without a canary.
        throttled_share: Share of rounds in which a GPU was throttled; these are disturbed too.
        load_share: Runnable processes per CPU before the run, or None.
        denormals: Weights that are denormal numbers.
        nonfinite: Weights that are infinite or not a number.
        input_doubts: A line for each input that may not be what the model is made for.
        resumed: Whether an earlier run was taken up again.
        unsaved: Why the last samples are not on the disk, or None.
    """

    spec: Spec
    launches: int
    ratios: tuple[Interval, ...] = ()
    quiet_share: float | None = None
    throttled_share: float = 0.0
    load_share: float | None = None
    denormals: int = 0
    nonfinite: int = 0
    input_doubts: tuple[str, ...] = ()
    resumed: bool = False
    unsaved: str | None = None
