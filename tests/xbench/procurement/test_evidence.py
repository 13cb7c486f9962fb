"""Reading results: what a row tells, why it may have no price, and what is no result at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from tests.xbench.procurement.market import HOST, METERED, document, evidence, metered, write
from tests.xbench.report.runs import NO_RAPL, cell, energy, interval, runs
from xbench.errors import UsageError
from xbench.procurement.evidence import Row, read_evidence
from xbench.result import SCHEMA, Interval, Parity, Status


def only(tmp_path: Path, *cells: Any, **own: Any) -> Row:
    (found,) = evidence(tmp_path, *cells, **own).rows
    return found


def test_a_row_tells_what_a_price_needs(tmp_path: Path) -> None:
    found = only(tmp_path, metered(0, "onnxruntime", 5e6))
    assert found.problem is None
    assert (found.name, found.host_id, found.device_model) == ("onnxruntime", HOST, "ACME Edge 1")
    assert (found.batch, found.threads, found.cores, found.loss) == (1, 2, 2, 0.0)
    assert found.throughput_per_s == interval(200.0)
    p99 = found.latency_s["p99"]
    assert p99 is not None
    assert p99.value == pytest.approx(5e-3 * 1.098)  # seconds, where the document has nanoseconds
    assert found.latency_s["p99_9"] is None
    assert found.energy.per_inference_j == interval(0.2, 0.02)
    assert (found.energy.label, found.energy.scope) == ("measured:counter", "package")


def test_a_run_folder_and_its_document_say_the_same(tmp_path: Path) -> None:
    told = document(metered(0, "onnxruntime", 5e6))
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder / "result.json", told)
    from_folder = read_evidence(folder)
    assert from_folder.rows == read_evidence(write(tmp_path / "a.json", told)).rows


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"status": Status.PARITY_FAILED, "reason": "output differs"}, "parity_failed: output"),
        ({"status": Status.CRASHED, "reason": "signal 11"}, "crashed: signal 11"),
        ({"parity": Parity("degenerate", reason="constant")}, "degenerate: constant"),
        ({"parity": Parity("not_checked")}, "not checked"),
        ({"parity": Parity("disagrees")}, "disagrees"),
        ({"rank": None, "reason": "its caps did not hold"}, "not ranked in its own run: its caps"),
        ({"throughput_per_s": None}, "throughput is not known"),
        ({"throughput_per_s": Interval(10, -3, 23)}, "throughput is not known"),
        ({"caps": {"profile": "pi-4", "broken": []}}, "imitates pi-4"),
    ],
)
def test_a_row_that_no_price_may_be_put_on_says_why(
    tmp_path: Path, own: dict[str, Any], said: str
) -> None:
    fields: dict[str, Any] = {"energy": METERED, "rank": 1} | own
    found = only(tmp_path, cell(0, "onnxruntime", 5e6, fields.pop("rank"), **fields))
    assert found.problem is not None
    assert said in found.problem[0]


def test_energy_that_may_be_nothing_is_unavailable(tmp_path: Path) -> None:
    """An interval that reaches 0 J would make inferences a joule infinite."""
    told = energy(Interval(0.1, -0.05, 0.25), "measured:counter")
    found = only(tmp_path, metered(0, "onnxruntime", 5e6, energy=told))
    assert found.energy.per_inference_j is None
    assert found.energy.label.startswith("unavailable:")
    assert only(tmp_path, metered(0, "a", 5e6, energy=NO_RAPL)).energy.per_inference_j is None
    assert only(tmp_path, metered(0, "a", 5e6, energy=None)).energy.label.startswith("unavailable:")


def test_less_precision_has_a_loss_and_fp32_has_none(tmp_path: Path) -> None:
    parity = Parity("agrees", "onnxruntime:reference", 0.5, 0.004)
    int8 = {"requested": "int8", "effective": "int8"}
    assert only(tmp_path, metered(0, "a", 5e6, parity=parity)).loss == 0.0
    assert only(tmp_path, metered(0, "a", 5e6, parity=parity, precision=int8)).loss == 0.004


def test_a_result_of_a_newer_xbench_is_refused(tmp_path: Path) -> None:
    told = document(metered(0, "onnxruntime", 5e6)) | {"schema": SCHEMA + 1}
    with pytest.raises(UsageError, match="written by a newer xbench"):
        read_evidence(write(tmp_path / "new.json", told))


@pytest.mark.parametrize(
    "told",
    [[], {}, {"schema": "1"}, {"schema": True}, {"schema": 1}, {"schema": 1, "results": [3]}, "x"],
)
def test_what_is_no_result_is_named(tmp_path: Path, told: Any) -> None:
    with pytest.raises(UsageError, match=r"some\.json"):
        read_evidence(write(tmp_path / "some.json", told))


def test_a_file_that_is_not_there_or_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('{"schema": 1,')
    for name in ("absent.json", "torn.json"):
        with pytest.raises(UsageError, match=name):
            read_evidence(tmp_path / name)


def test_a_run_that_was_not_finished_is_told_how_to(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    write(folder / "run.json", {"format": 1})
    with pytest.raises(UsageError, match="--resume"):
        read_evidence(folder)


@pytest.mark.parametrize("bounds", [(1, 2, 3), (1, 0.5, 0.9), (float("nan"), 0, 1)])
def test_an_interval_that_is_none_is_refused(tmp_path: Path, bounds: Any) -> None:
    told = document(metered(0, "onnxruntime", 5e6))
    told["results"][0]["throughput_per_s"] = dict(
        zip(("value", "low", "high"), bounds, strict=True)
    )
    with pytest.raises(UsageError, match=r"no result of xbench|is no JSON"):
        read_evidence(write(tmp_path / "bent.json", told))


@pytest.mark.parametrize("rate", [0, -1.0, float("inf"), "60"])
def test_a_rate_that_is_none_is_refused(tmp_path: Path, rate: Any) -> None:
    load = {"search": {"holds_per_s": rate}}
    told = document(metered(0, "onnxruntime", 5e6, scenario="server", load=load))
    with pytest.raises(UsageError, match=r"no result of xbench|is no JSON"):
        read_evidence(write(tmp_path / "bent.json", told))


@given(runs())
@settings(max_examples=50, deadline=None)
def test_whatever_xbench_writes_is_read(tmp_path_factory: pytest.TempPathFactory, run: Any) -> None:
    """Of rows of every status, with hostile names, and hosts that tell nothing."""
    from xbench.report.document import render

    run = replace(run, model={**run.model, "sha256": "ab" * 32})
    path = tmp_path_factory.mktemp("run") / "any.json"
    path.write_text(render(run), encoding="utf-8")
    assert len(read_evidence(path).rows) == len(run.results)
