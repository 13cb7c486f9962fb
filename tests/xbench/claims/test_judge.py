"""From a run's document to a judgement: what is compared, and why something is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.xbench.claims.made import HERE, RATIO, claim_of, document, row
from tests.xbench.report.runs import cell
from xbench.claims.bars import before
from xbench.claims.decide import Decision
from xbench.claims.doubts import Code
from xbench.claims.judge import Judgement, judge
from xbench.claims.machine import Machine
from xbench.result import Caution, CellResult, Parity, Status

ORDER = "- {id: o, kind: faster, baseline: onnxruntime, candidate: openvino}"
AGREE = "- {id: g, kind: agree, rows: [onnxruntime, openvino]}"
LATENCY = "- {id: l, kind: latency, row: openvino, figures: {row: 1 ms}}"
ORT, OV = row(0, "onnxruntime"), row(1, "openvino")


def judged(text: str, *rows: CellResult, **own: Any) -> Judgement:
    return judge(claim_of(text), document(*(rows or (ORT, OV)), **own), HERE)


@pytest.mark.parametrize(
    ("ratio", "decision"),
    [
        ((2.0, 1.9, 2.1), Decision.HELD),
        ((3.0, 2.9, 3.1), Decision.FAILED),
        ((2.5, 2.4, 2.6), Decision.UNDETERMINED),
        (None, Decision.UNDETERMINED),
    ],
)
def test_a_ratio_is_judged_by_its_interval(ratio: Any, decision: Decision) -> None:
    found = judged(RATIO, ratios={(0, 1): ratio})
    assert found.decision is decision
    assert bool(found.reason and found.fix) is (decision is Decision.UNDETERMINED)


def test_what_would_decide_a_claim_is_said() -> None:
    """More time; more launches, where it was a first look; nothing, where it lies at a bound."""
    wide, at_the_bound = {(0, 1): (2.4, 2.2, 2.6)}, {(0, 1): (2.5, 2.4, 2.6)}
    assert "--time-budget of about" in judged(RATIO, ratios=wide).fix
    assert "would not decide it" in judged(RATIO, ratios=at_the_bound).fix
    assert judged(RATIO, ratios=wide, spec={"quick": True}).fix == "Leave out --quick"
    few = replace(ORT, launches=2)
    assert judged(RATIO, few, OV, ratios=wide).fix == "Give it a longer --time-budget"


def test_one_launch_decides_only_where_no_more_were_asked_for() -> None:
    """As in a comparison: a launch by itself does not know how launches differ."""
    one, clear = replace(OV, launches=1), {(0, 1): (2.0, 1.99, 2.01)}
    found = judged(RATIO, ORT, one, ratios=clear)
    assert (found.decision, found.measured is not None) == (Decision.UNDETERMINED, True)
    assert "one launch" in found.reason
    assert judged(RATIO, ORT, one, ratios=clear, spec={"launches": 3}).reason == found.reason
    asked = judged(RATIO, ORT, one, ratios=clear, spec={"launches": 1})
    assert asked.decision is Decision.HELD


def test_a_ratio_is_found_from_either_side() -> None:
    """The run may have measured the candidate as its baseline."""
    found = judged(RATIO, ratios={(1, 0): (0.5, 0.48, 0.52)})
    assert found.decision is Decision.HELD
    assert found.measured
    assert found.measured.value == 2.0
    assert (found.measured.low, found.measured.high) == (1 / 0.52, 1 / 0.48)


def test_the_right_precision_is_compared() -> None:
    """Of two rows of a backend, the one at the precision that is claimed."""
    text = RATIO.replace("candidate: openvino", "candidate: {backend: openvino, precision: bf16}")
    bf16 = row(2, "openvino", precision={"requested": "bf16", "effective": "bf16"})
    found = judged(text, ORT, OV, bf16, ratios={(0, 1): (1, 0.9, 1.1), (0, 2): (2, 1.9, 2.1)})
    assert found.decision is Decision.HELD


def test_an_order_that_is_a_tie_fails() -> None:
    assert judged(ORDER, ratios={(0, 1): (1.5, 1.4, 1.6)}).decision is Decision.HELD
    assert judged(ORDER, ratios={(0, 1): (0.5, 0.4, 0.6)}).decision is Decision.FAILED
    assert judged(ORDER, ratios={(0, 1): (1.0, 0.99, 1.01)}).decision is Decision.FAILED
    assert judged(ORDER, ratios={(0, 1): (1.0, 0.9, 1.1)}).decision is Decision.UNDETERMINED


def test_outputs_that_differ_fail_an_agreement() -> None:
    """A row that is shut out for its outputs is no obstacle here: that is what was claimed."""
    differs = row(
        1,
        "openvino",
        status=Status.PARITY_FAILED,
        parity=Parity("disagrees", "onnxruntime:reference", 0.1, 0.03),
    )
    assert judged(AGREE).decision is Decision.HELD
    found = judged(AGREE, ORT, differs)
    assert (found.decision, found.relative) == (Decision.FAILED, 0.03)
    assert "openvino" in found.reason
    assert judged(RATIO, ORT, differs).decision is Decision.NOT_COMPARABLE


def test_an_agreement_may_have_a_limit_of_its_own() -> None:
    strict = AGREE.replace("}", ", most_relative: 1e-7}")
    assert judged(strict).decision is Decision.FAILED
    assert judged(strict.replace("1e-7", "1e-5")).decision is Decision.HELD


def test_no_limit_excuses_what_no_tolerance_allows() -> None:
    """Outputs that are all no numbers differ by nothing that could be counted."""
    lost = Parity("disagrees", max_rel=0.0, reason="4 are no numbers in one", structural=True)
    loose = AGREE.replace("}", ", most_relative: 0.5}")
    assert judged(loose, ORT, row(1, "openvino", parity=lost)).decision is Decision.FAILED
    far = replace(lost, max_rel=0.3, structural=False)
    assert judged(loose, ORT, row(1, "openvino", parity=far)).decision is Decision.HELD


@pytest.mark.parametrize("status", ["degenerate", "not_checked"])
def test_outputs_that_prove_nothing_do_not_agree(status: str) -> None:
    found = judged(AGREE, ORT, row(1, "openvino", parity=Parity(status)))
    assert found.decision is Decision.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (cell(1, "openvino", status=Status.CRASHED, reason="it fell", fix="lift it"), "crashed"),
        (row(1, "openvino", precision={"requested": "fp32", "effective": "bf16"}), "computed in"),
        (row(1, "openvino", caps={"broken": ["3 threads worked"]}), "3 threads worked"),
        (row(1, "litert"), "no row of openvino"),
    ],
)
def test_a_row_that_is_no_evidence_bars_the_claim(candidate: CellResult, said: str) -> None:
    found = judged(RATIO, ORT, candidate, ratios={(0, 1): (2.0, 1.9, 2.1)})
    assert found.decision is Decision.NOT_COMPARABLE
    assert said in found.reason
    assert found.measured is None


OF_PI = RATIO + "  source: pi\n"


def barred(text: str, machine: Machine = HERE) -> str:
    bar = before(claim_of(text), machine)
    return bar.reason if bar else ""


def test_other_hardware_is_not_compared() -> None:
    assert barred(RATIO) == ""
    assert "aarch64" in barred(OF_PI)
    assert barred(OF_PI, replace(HERE, architecture="aarch64")) == ""
    assert "no device cpu" in barred(RATIO, replace(HERE, devices={}))


def test_a_latency_by_itself_belongs_to_its_processor() -> None:
    """On another one it is not compared; on the same it is, with an interval."""
    same = replace(HERE, devices={"cpu": "AMD EPYC 9 32-core Processor"})
    assert "other hardware" in barred(LATENCY)
    assert barred(LATENCY, same) == ""
    assert "names no processor" in barred(
        LATENCY.replace("row: openvino,", "row: openvino, source: pi,"),
        replace(same, architecture="aarch64"),
    )
    found = judged(LATENCY)
    assert found.decision is Decision.HELD
    assert found.measured
    assert found.measured.value == pytest.approx(1e6)


def test_a_rebuilt_model_bars_what_depends_on_it() -> None:
    """Agreement needs the published weights, a latency the architecture; a ratio is doubtful."""
    other = ", model: other}"
    assert "rebuilt with another architecture" in barred(AGREE.replace("}", other))
    same = replace(HERE, devices={"cpu": "AMD EPYC 9 32-core Processor"})
    assert "rebuilt" in barred(LATENCY.replace("ms}}", f"ms}}{other}"), same)
    assert barred(ORDER.replace("}", other)) == ""


def test_a_backend_that_xbench_lacks_is_named() -> None:
    assert "no backend 'openvinoo'" in barred(RATIO.replace("openvino", "openvinoo"))
    assert "pytorch:torchscript" in barred(RATIO.replace("openvino", "pytorch:torchscript"))


def test_doubts_say_what_a_verdict_leaves_open() -> None:
    text = RATIO + "  model: other\n"
    doubtful = row(1, "openvino", cautions=(Caution("noisy", "it jumps", "wait"),))
    unread = row(0, "onnxruntime", precision={"requested": "fp32", "effective": None})
    found = judged(text, unread, doubtful, ratios={(0, 1): (2.0, 1.9, 2.1)})
    told = {doubt.code: doubt.text for doubt in found.doubts}
    assert "a large network" in told[Code.REBUILT]
    assert "another architecture, seeded weights" in told[Code.REBUILT]
    assert "Epyc 9 with 8 cores" in told[Code.HARDWARE]
    assert told[Code.SOFTWARE] == "onnxruntime 1.10 then, 1.32.0 here"
    assert "onnxruntime" in told[Code.PRECISION]
    assert "noisy" in told[Code.CAUTIONS]


def test_the_same_machine_and_model_leave_no_doubt() -> None:
    same = Machine(
        architecture="x86_64",
        devices={"cpu": "AMD EPYC 9 32-core Processor"},
        cores=8,
        context={"versions": {"onnxruntime": "1.10", "openvino": "2026.4.1"}},
    )
    found = judge(claim_of(RATIO), document(ORT, OV, ratios={(0, 1): (2.0, 1.9, 2.1)}), same)
    assert found.doubts == ()
