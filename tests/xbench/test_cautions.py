"""Every doubt appears where its evidence is, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xbench.adapter import Facts, Fallback, Limits
from xbench.cautions import Code, RowEvidence, RunEvidence, row_cautions, run_cautions
from xbench.cautions.row import ROW_RULES
from xbench.cautions.run import RUN_RULES
from xbench.plan import Spec, Target, plan_cells
from xbench.result import Caution, Interval, Parity
from xbench.samples import Epoch, GpuState, Launched

SPEC = Spec(model="m.onnx")
CELL = plan_cells(SPEC, [Target(Limits(threads=2, cpus=(0, 1)), ("onnxruntime",))])[0]
FACTS = Facts(precision="fp32", threads=2)


def launched(launch: int = 0, **told: Any) -> Launched:
    fields: dict[str, Any] = {
        "version": "1",
        "import_s": 0.1,
        "load_s": 0.1,
        "first_inference_ns": 10**7,
        "warmup_s": 1.0,
        "warmup_inferences": 100,
        "steady": True,
        "busy_threads": 2,
        "cpus": (0, 1),
        "overhead_ns": 100.0,
        "facts": FACTS,
    }
    return Launched(cell=0, launch=launch, **{**fields, **told})


def epochs(middles_ns: list[float], cpus_used: float = 1.98, count: int = 8) -> tuple[Epoch, ...]:
    """Return a round for each p50."""
    return tuple(
        Epoch(
            cell=0,
            launch=0,
            round=number,
            position=0,
            feed=0,
            latencies_ns=(round(middle_ns),) * count,
            wall_ns=10**8,
            cpu_ns=round(cpus_used * 10**8),
            canary_ns=None,
            others_cpus=None,
        )
        for number, middle_ns in enumerate(middles_ns)
    )


def noisy(rounds: int, sd: float, seed: int = 0) -> list[float]:
    found: list[float] = (5e6 * np.random.default_rng(seed).normal(1, sd, rounds)).tolist()
    return found


ROW = RowEvidence(
    spec=SPEC,
    cell=CELL,
    launched=tuple(launched(number) for number in range(3)),
    epochs=epochs(noisy(30, 0.02)),
    parity=Parity("agrees", "onnxruntime:reference", max_rel=1e-6),
    overhead_share=0.0001,
)
RUN = RunEvidence(
    spec=SPEC, launches=3, ratios=(Interval(1.1, 1.095, 1.105),), quiet_share=0.9, load_share=0.1
)


def row_with(**changes: Any) -> RowEvidence:
    return replace(ROW, **changes)


def with_facts(**facts: Any) -> RowEvidence:
    """Return a row of which only the last launch told something else."""
    other = launched(2, facts=replace(FACTS, **facts))
    return row_with(launched=(*ROW.launched[:2], other))


def all_launches(**told: Any) -> RowEvidence:
    return row_with(launched=tuple(launched(number, **told) for number in range(3)))


def without_cpus() -> RowEvidence:
    """Return a row that was given no CPUs in particular."""
    return row_with(cell=replace(CELL, limits=Limits(threads=2)), launched=(launched(cpus=(5, 6)),))


def quick(row: RowEvidence) -> RowEvidence:
    return replace(row, spec=replace(SPEC, quick=True))


def at_int8(**spec: Any) -> RowEvidence:
    """Return a row of a variant that computes in int8 and nothing else."""
    cell = replace(CELL, precision="int8")
    told = tuple(launched(number, facts=replace(FACTS, precision="int8")) for number in range(3))
    return row_with(spec=replace(SPEC, **spec), cell=cell, launched=told)


def sustained(**load: Any) -> RowEvidence:
    return row_with(cell=replace(CELL, scenario="sustained:5min"), load=load)


def in_group(limit_bytes: int, memory: str = "cgroup v1 memory.limit_in_bytes") -> RowEvidence:
    """Return a row that was to be capped to 2 GiB, and the limit that was in force."""
    read: dict[str, Any] = {"memory_limit_bytes": limit_bytes, "address_space_bytes": 2**31}
    nothing = {"memory_peak_bytes": None, "memory_kills": 0, "quota_cpus": None, "cpus": [0, 1]}
    caps = {"by": {"memory": memory}, "read": read | nothing}
    cell = replace(CELL, limits=replace(CELL.limits, memory_bytes=2**31))
    return replace(all_launches(caps=caps), cell=cell)


SLOWING = [5e6 * (1 + 0.004 * i) for i in range(30)]
METERED = (
    "of the whole machine",
    "contended: process 7 is on the GPU too",
    "b disagrees: this is 1.2 times what it says",
)
COOL = GpuState(reasons=(), held_ns={"thermal": 0}, span_ns=10**8)
HOT = replace(COOL, reasons=("hw_slowdown", "hw_thermal"))
WAS_HOT = replace(COOL, held_ns={"thermal": 10**7})
CAPPED = replace(COOL, reasons=("sw_power_cap",))
A_MOMENT = replace(COOL, held_ns={"thermal": 10**5})
FELL_BACK = Fallback(5, ("conv1", "conv2", "conv3"), "cpu")

STEP = {"verdict": "slower", "shape": "step", "changed_at_s": 130.0, "speed": {"value": 0.8}}

ROW_CASES: list[tuple[Code, RowEvidence, str]] = [
    (Code.REQUESTS_LATE, row_with(load={"lateness_ns": {"p99": 250e3}}), "up to 250.0 µs late"),
    (Code.NOT_SUSTAINED, sustained(**STEP), "0.80 times that of the start"),
    (Code.NOT_SUSTAINED, sustained(**(STEP | {"changed_at_s": None})), "by and by"),
    (Code.CURVE_MISSING, sustained(missing="3 points tell nothing"), "3 points"),
    (Code.PRECISION_NOT_HELD, with_facts(precision="bf16"), "asked for fp32, and the runtime"),
    (Code.OTHER_PRECISION, at_int8(), "may differ by 25%"),
    (Code.CALIBRATED_ON_INPUTS, at_int8(inputs="mine.npz"), "the very inputs"),
    (Code.PRECISION_UNKNOWN, all_launches(facts=Facts()), "does not tell its precision"),
    (Code.THREADS_OVER_CAP, all_launches(busy_threads=3), "3 threads were busy"),
    (Code.THREADS_OVER_CAP, row_with(epochs=epochs(noisy(30, 0.02), 2.1)), "used 2.10 CPUs"),
    (Code.THREADS_IDLE, all_launches(busy_threads=1), "1 of 2 threads"),
    (Code.AFFINITY_NOT_HELD, all_launches(cpus=(0, 1, 3)), "CPU 3"),
    (Code.CAP_NOT_HELD, in_group(2**32), "in force was 4 GiB, not 2 GiB"),
    (Code.MEMORY_CAP_COARSE, in_group(2**32, "RLIMIT_AS (no control group)"), "address space"),
    (Code.FALLBACK, with_facts(fallback=FELL_BACK), "5 nodes ran on cpu"),
    (Code.FALLBACK, with_facts(fallback=FELL_BACK), "(conv1, conv2, conv3, ...)"),
    (Code.PARITY_DEGENERATE, row_with(parity=Parity("degenerate", reason="dull")), "dull"),
    (Code.PARITY_NOT_CHECKED, row_with(parity=Parity("not_checked", reason="gone")), "gone"),
    (Code.PARITY_STAND_IN, row_with(parity=Parity("agrees", "pytorch")), "pytorch stood in"),
    (Code.NOT_STEADY, all_launches(steady=False), "in 3 of 3 launches"),
    (Code.FEW_ROUNDS, row_with(epochs=epochs(noisy(9, 0.02))), "9 rounds only"),
    (Code.FEW_ROUNDS, row_with(epochs=epochs([5e6])), "1 round only"),
    (Code.FEW_SAMPLES, row_with(epochs=epochs(noisy(31, 0.02), count=2)), "62 inferences"),
    (Code.UNSTABLE, row_with(epochs=epochs(noisy(40, 0.25))), "its p50 moved by"),
    (Code.DRIFT, row_with(epochs=epochs(SLOWING)), "8% slower"),
    (Code.DRIFT, row_with(epochs=epochs(SLOWING[::-1])), "7% faster"),
    (Code.DRIFT, row_with(epochs=epochs([5e6] * 10 + [6e6] * 20)), "20% slower"),
    (
        Code.THROTTLED,
        row_with(gpu=(HOT, COOL, COOL, COOL)),
        "in 25% of the rounds (hw_slowdown, hw",
    ),
    (Code.THROTTLED, row_with(gpu=(WAS_HOT, COOL)), "in 50% of the rounds (thermal)"),
    (Code.THROTTLED, row_with(gpu=(HOT, CAPPED)), "and at its power limit in 50%"),
    (Code.TIMER, row_with(overhead_share=0.08), "8% of its latency"),
    (Code.MEMORY_VARIES, row_with(memory_spread=0.12), "differs by 12% between launches"),
    (Code.ENERGY_CONTENDED, row_with(energy_notes=METERED), "energy: process 7 is on the GPU too"),
    (Code.ENERGY_DISAGREES, row_with(energy_notes=METERED), "energy: b disagrees: this is 1.2"),
    (Code.MEMORY_DOUBTFUL, row_with(memory_doubts=("one", "two")), "memory: one; two"),
]

HARMLESS_ROWS: list[tuple[Code, RowEvidence]] = [
    (Code.OTHER_PRECISION, replace(at_int8(), spec=replace(SPEC, precision="int8"))),
    (Code.CALIBRATED_ON_INPUTS, at_int8()),
    (Code.CALIBRATED_ON_INPUTS, at_int8(inputs="mine.npz", calibration="others.npz")),
    (Code.CALIBRATED_ON_INPUTS, row_with(spec=replace(SPEC, inputs="mine.npz"))),
    (Code.PRECISION_UNKNOWN, with_facts(precision=None)),
    (Code.THREADS_OVER_CAP, row_with(epochs=epochs(noisy(30, 0.02), 2.05))),
    (Code.THREADS_IDLE, row_with(launched=(launched(busy_threads=1), launched(1)))),
    (Code.AFFINITY_NOT_HELD, all_launches(cpus=(1,))),
    (Code.AFFINITY_NOT_HELD, without_cpus()),
    (Code.CAP_NOT_HELD, in_group(2**31)),
    (Code.CAP_NOT_HELD, in_group(2**32, "RLIMIT_AS (no control group)")),
    (Code.MEMORY_CAP_COARSE, in_group(2**31)),
    (Code.FALLBACK, with_facts(fallback=Fallback(0, (), "cpu"))),
    (Code.PARITY_STAND_IN, row_with(parity=Parity("disagrees", "pytorch"))),
    (Code.NOT_STEADY, row_with(launched=(launched(steady=False), launched(1)))),
    (Code.FEW_ROUNDS, row_with(epochs=epochs(noisy(10, 0.02)))),
    (Code.FEW_SAMPLES, row_with(epochs=epochs(noisy(32, 0.02), count=2))),
    (Code.UNSTABLE, row_with(epochs=epochs([*noisy(32, 0.02), *noisy(8, 0.9)]))),
    (Code.UNSTABLE, row_with(epochs=epochs(noisy(9, 0.5)))),
    (Code.DRIFT, row_with(epochs=epochs(SLOWING[:14]))),
    (Code.DRIFT, row_with(epochs=epochs([*noisy(20, 0.01), *noisy(10, 0.01, seed=1)]))),
    (Code.DRIFT, row_with(epochs=epochs([5e6] * 10 + [9e6] * 10 + [5.5e6] * 10))),
    (Code.THROTTLED, row_with(gpu=(CAPPED,) * 30)),
    (Code.THROTTLED, row_with(gpu=(HOT, *(COOL,) * 199))),
    (Code.THROTTLED, row_with(gpu=(A_MOMENT,) * 30)),
    (Code.THROTTLED, row_with(gpu=(GpuState(missing="no driver"),) * 30)),
    (Code.TIMER, row_with(overhead_share=0.05)),
    (Code.MEMORY_VARIES, row_with(memory_spread=0.02)),
    (Code.ENERGY_CONTENDED, row_with(energy_notes=("whether others use it is not known",))),
    (Code.ENERGY_DISAGREES, row_with(energy_notes=METERED[:2])),
]

ODD = tuple(f"input {n!r} may be out of range" for n in "abcde")
WIDE = (Interval(1.1, 1.095, 1.105), Interval(1.0, 0.9, 1.1))

RUN_CASES: list[tuple[Code, RunEvidence, str]] = [
    (Code.NOT_SAVED, replace(RUN, unsaved="no space left"), "no space left"),
    (Code.NONFINITE_WEIGHTS, replace(RUN, nonfinite=1), "1 weight is infinite"),
    (Code.DENORMAL_WEIGHTS, replace(RUN, denormals=5000), "5000 weights are denormal"),
    (Code.INPUT_DOUBTFUL, replace(RUN, input_doubts=ODD[:1]), "input 'a' may be out of range"),
    (Code.INPUT_DOUBTFUL, replace(RUN, input_doubts=ODD), "; and 2 more"),
    (Code.QUICK, replace(RUN, spec=replace(SPEC, quick=True)), "a first look"),
    (Code.SINGLE_LAUNCH, replace(RUN, launches=1), "one launch"),
    (Code.BUDGET_SPENT, replace(RUN, ratios=WIDE), "1 of 2 intervals are wider than the 1%"),
    (Code.DISTURBED, replace(RUN, quiet_share=0.25), "in 75% of the rounds"),
    (Code.DISTURBED, replace(RUN, quiet_share=0.0), "never quiet"),
    (Code.NO_CANARY, replace(RUN, quiet_share=None), "no canary"),
    (Code.MACHINE_LOADED, replace(RUN, load_share=1.5), "1.5 processes a CPU"),
    (Code.RESUMED, replace(RUN, resumed=True), "taken up again"),
]

HARMLESS_RUNS: list[tuple[Code, RunEvidence]] = [
    (Code.DENORMAL_WEIGHTS, replace(RUN, denormals=12)),
    (Code.SINGLE_LAUNCH, replace(RUN, launches=0)),
    (Code.BUDGET_SPENT, replace(RUN, ratios=())),
    (Code.BUDGET_SPENT, replace(RUN, ratios=WIDE, spec=replace(SPEC, quick=True))),
    (Code.DISTURBED, replace(RUN, quiet_share=0.5)),
    (Code.MACHINE_LOADED, replace(RUN, load_share=None)),
]


def doubts(evidence: RowEvidence | RunEvidence) -> tuple[Caution, ...]:
    if isinstance(evidence, RunEvidence):
        return run_cautions(evidence)
    return row_cautions(evidence)


def texts(evidence: RowEvidence | RunEvidence) -> dict[str, str]:
    return {caution.code: caution.text for caution in doubts(evidence)}


def fixes(evidence: RowEvidence | RunEvidence) -> dict[str, str]:
    return {caution.code: caution.fix for caution in doubts(evidence)}


def test_a_sound_row_and_a_sound_run_have_no_doubts() -> None:
    assert row_cautions(ROW) == ()
    assert run_cautions(RUN) == ()


@pytest.mark.parametrize(("code", "evidence", "words"), [*ROW_CASES, *RUN_CASES])
def test_a_doubt_appears_where_its_evidence_is(
    code: Code, evidence: RowEvidence | RunEvidence, words: str
) -> None:
    assert words in texts(evidence)[code]


@pytest.mark.parametrize(("code", "evidence"), [*HARMLESS_ROWS, *HARMLESS_RUNS])
def test_a_doubt_stays_away_where_there_is_no_reason(
    code: Code, evidence: RowEvidence | RunEvidence
) -> None:
    assert code not in texts(evidence)


def test_the_list_is_closed_and_each_doubt_has_a_case() -> None:
    assert ROW_RULES.keys() | RUN_RULES.keys() == set(Code)
    assert not ROW_RULES.keys() & RUN_RULES.keys()
    assert {code for code, *_ in [*ROW_CASES, *RUN_CASES]} == set(Code)


@pytest.mark.parametrize(("code", "evidence", "words"), [*ROW_CASES, *RUN_CASES])
def test_words_are_one_plain_line(
    code: Code, evidence: RowEvidence | RunEvidence, words: str
) -> None:
    for text in (texts(evidence)[code], fixes(evidence)[code]):
        assert len(text) <= 120
        assert "\n" not in text
        assert not text.endswith(".")


def test_a_row_that_did_not_run_has_no_doubts() -> None:
    assert row_cautions(row_with(launched=(), parity=Parity("not_checked"))) == ()
    assert row_cautions(row_with(epochs=(), parity=Parity("not_checked"))) == ()


def test_a_noisy_row_drifts_by_more_than_chance() -> None:
    """Of 200 noisy rows without a trend, hardly one is said to drift."""
    rows = [row_with(epochs=epochs(noisy(30, 0.12, seed))) for seed in range(200)]
    assert sum(Code.DRIFT in texts(row) for row in rows) <= 4


def test_a_fix_fits_the_options_in_use() -> None:
    one = replace(RUN, launches=1)
    assert fixes(one)[Code.SINGLE_LAUNCH] == "Give it longer with --time-budget"
    asked = replace(SPEC, launches=1)
    assert fixes(replace(one, spec=asked))[Code.SINGLE_LAUNCH] == "Use --launches 5"
    noisy_run = replace(RUN, quiet_share=0.25)
    assert "other programs" in fixes(noisy_run)[Code.DISTURBED]
    assert "throttled" in fixes(replace(noisy_run, throttled_share=0.7))[Code.DISTURBED]

    in_haste = replace(one, spec=replace(asked, quick=True))
    assert fixes(in_haste)[Code.SINGLE_LAUNCH] == "Leave out --quick"

    unsteady = all_launches(steady=False)
    assert fixes(unsteady)[Code.NOT_STEADY] == ""
    assert "--quick" in fixes(quick(unsteady))[Code.NOT_STEADY]

    wide = replace(RUN, ratios=WIDE)
    assert fixes(wide)[Code.BUDGET_SPENT] == "Give it longer with --time-budget"
    five = replace(wide, launches=5, spec=replace(SPEC, launches=5))
    assert "more than --launches 5" in fixes(five)[Code.BUDGET_SPENT]

    missing = row_with(parity=Parity("not_checked", reason="not installed"))
    assert "`xbench backends`" in fixes(missing)[Code.PARITY_NOT_CHECKED]
    lost = row_with(parity=Parity("not_checked", "onnxruntime:reference", reason="none kept"))
    assert "log" in fixes(lost)[Code.PARITY_NOT_CHECKED]


def test_the_gravest_doubt_comes_first() -> None:
    row = row_with(
        launched=(launched(facts=replace(FACTS, precision="bf16"), busy_threads=1, steady=False),)
    )
    codes = [caution.code for caution in row_cautions(row)]
    assert (codes[0], codes[-1]) == (Code.PRECISION_NOT_HELD, Code.THREADS_IDLE)
