"""What a reader is told: a line a row, the limits, and a reason in place of a share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.cells import cell_len

from tests.xbench.report.runs import cell
from xbench.report.outlook import render
from xbench.report.roofline import (
    ROOFLINE_HEADER,
    rate_text,
    roofline_conditions,
    roofline_limits,
    roofline_missing,
    roofline_rows,
)
from xbench.result import CellResult, Run
from xbench.roofline.ceilings import Ceilings, best_of, none_of
from xbench.roofline.outlook import Outlook
from xbench.roofline.row import FIELDS, OFF, roofline_of
from xbench.roofline.work import Work

CEILINGS = Ceilings(
    device="cpu",
    threads=2,
    caches_bytes=33 * 2**20,
    bandwidth=best_of({"read": [3.08e10, 3e10, 2.9e10]}),
    flops={
        "fp32": best_of({"numpy 2048x2048": [9.21e10, 9e10]}),
        "fp16": none_of("onnxruntime: it computed in fp32; openvino: it computed in fp32"),
    },
)
WORK = Work(flops=6 * 10**8, compulsory_bytes=14 * 2**20, moved_bytes=60 * 2**20)


def told(latency_ns: float | None, precision: str = "fp32", work: Work = WORK) -> dict[str, Any]:
    return roofline_of(
        work=work,
        ceilings=CEILINGS,
        latency_ns=latency_ns,
        requested=precision,
        effective=precision,
    )


def run(*rows: CellResult) -> Run:
    return Run(
        run_id="r", model={"name": "m"}, host={}, spec={}, results=tuple(rows), comparisons=()
    )


def row(number: int, name: str, latency_ns: float, precision: str = "fp32") -> CellResult:
    return cell(number, name, latency_ns, 1, roofline=told(latency_ns, precision))


def test_a_row_shows_its_rate_its_share_its_floor_and_both_bounds() -> None:
    found = roofline_rows(run(row(0, "onnxruntime", 1e7)))
    assert found == (("onnxruntime", "60.0 G", "65%", "6.515 ms", "compute", "compute"),)
    assert all(len(texts) == len(ROOFLINE_HEADER) for texts in found)


def test_the_limits_are_told_once_with_what_reached_them() -> None:
    found = roofline_limits(run(row(0, "a", 1e7), row(1, "b", 2e7)))
    assert found == "fp32 92.1 GFLOP/s (numpy 2048x2048), memory 30.8 GB/s (read), at 2 threads"


def test_a_contradiction_has_no_percentage_and_says_why() -> None:
    """120 % of the limit is never printed."""
    found = run(row(0, "a", 1e7), row(1, "b", 5e6))
    assert [texts[2] for texts in roofline_rows(found)] == ["65%", "-"]
    assert roofline_missing(found).startswith("No share: (b) it took 1/1.30 of the least time")
    assert roofline_missing(run(row(0, "a", 1e7))) == ""
    both = roofline_conditions(found)
    assert both == f"{roofline_limits(found)}. {roofline_missing(found)}"


def test_a_precision_without_a_limit_is_no_line_but_a_reason() -> None:
    found = run(row(0, "a", 1e7, "fp16"))
    assert roofline_rows(found) == ()
    assert roofline_limits(found) == ""
    assert roofline_missing(found).startswith("No share: no FLOP/s at fp16 are known (onnxruntime")


def test_rows_without_a_roofline_are_no_trouble() -> None:
    """Those of runs from before there was any, of runs without, and those that did not run."""
    off = {**dict.fromkeys(FIELDS), "reason": OFF}
    found = run(cell(0, "old", 1e7, 1), cell(1, "failed"), cell(2, "off", 1e7, 1, roofline=off))
    assert roofline_conditions(found) == ""
    assert roofline_rows(found) == ()
    assert roofline_limits(found) == roofline_missing(found) == ""


def test_rates_keep_three_digits_and_never_turn_unknown_into_zero() -> None:
    assert rate_text(9.21e10, "FLOP/s") == "92.1 GFLOP/s"
    assert rate_text(9.996e11, "FLOP/s") == "1.00 TFLOP/s"
    assert rate_text(3.084e10, "B/s") == "30.8 GB/s"
    assert rate_text(123.0, "B/s") == "123 B/s"
    assert rate_text(0.0, "FLOP/s") == "0.00 FLOP/s"
    assert rate_text(None, "B/s") == "-"


def test_the_command_shows_limits_and_floors_within_the_width() -> None:
    floors = {one: told(None, one) for one in ("fp32", "fp16")}
    found = Outlook(
        machine="A processor of a name that is long enough to be cut somewhere (R) 9999",
        ceilings=CEILINGS,
        model="a_model",
        work=WORK,
        floors=floors,
    )
    text = render(found)
    assert all(cell_len(line) <= 80 for line in text.splitlines())
    flat = " ".join(text.split())
    assert "memory 30.8 GB/s 2.6% read" in flat
    assert "fp32 92.1 GFLOP/s 1.1% 2.99 FLOP/B numpy 2048x2048" in flat
    assert "not known: onnxruntime: it computed in fp32" in flat
    assert "fp32 6.515 ms compute in caches compute" in flat
    assert found.exit_status == 1  # a limit that was asked for was not found
    alone = replace(found, model=None, work=None, floors={})
    assert "a_model" not in render(alone)


def test_every_number_of_the_command_is_in_its_document() -> None:
    found = Outlook(
        machine=None, ceilings=CEILINGS, model="m", work=WORK, floors={"fp32": told(None)}
    )
    document = found.to_json()
    assert document["schema"] == 1
    assert document["ceilings"]["bandwidth"]["per_s"] == 3.08e10
    assert document["floors"]["fp32"]["floor_ns"] == told(None)["floor_ns"]
    assert document["work"]["flops"] == 6 * 10**8
