"""The JSON document, CSV and Markdown."""

from __future__ import annotations

import csv as reader
import json
from dataclasses import replace
from io import StringIO

from hypothesis import given

from tests.xbench.report.runs import HOSTILE, cell, run_of, runs, typical
from xbench.report import csv, document, markdown
from xbench.result import PERCENTILES, Interval, Run

CONTRACT = {"schema", "run_id", "model", "host", "spec", "results", "comparisons"}
OF_ROW = (
    "backend backend_version device batch threads precision boundary scenario status reason fix "
    "latency_ns throughput_per_s import_s convert_s load_s first_inference_ns memory_bytes energy "
    "parity fallback importer overhead_ns launches rounds cautions"
)
OF_PARITY = {"status", "reference", "max_abs", "max_rel", "cosine", "worst_output"}


def test_the_document_has_every_key_of_the_contract() -> None:
    found = json.loads(document.render(typical()))
    assert set(found) >= CONTRACT
    for row in found["results"]:
        assert set(row) >= set(OF_ROW.split())
        assert set(row["parity"]) >= OF_PARITY
        assert set(row["memory_bytes"]) >= {"host", "device", "allocator"}
        if row["latency_ns"]:
            assert set(row["latency_ns"]) >= {"n", "mean", "min", "max", *PERCENTILES}
    for one in found["comparisons"]:
        assert set(one) >= {"baseline", "candidate", "ratio", "verdict"}
        assert set(one["ratio"]) == {"value", "low", "high"}


def test_what_is_absent_is_null_in_the_document() -> None:
    found = json.loads(document.render(typical()))
    by_name = {row["backend"]: row for row in found["results"]}
    assert by_name["openvino"]["latency_ns"]["p99"] is None
    assert by_name["tensorflow"]["latency_ns"] is None


def test_the_document_holds_no_number_that_json_lacks() -> None:
    row = replace(cell(0, "a", 1e6, 1), throughput_per_s=Interval(1.0, float("-inf"), float("nan")))
    found = json.loads(document.render(run_of((row,))), parse_constant=lambda name: 1 / 0)
    assert found["results"][0]["throughput_per_s"] == {"value": 1.0, "low": None, "high": None}


@given(runs())
def test_the_document_gives_the_values_back(run: Run) -> None:
    found = json.loads(document.render(run))
    assert [row["backend"] for row in found["results"]] == [row.backend for row in run.results]
    ratios = [one["ratio"] and one["ratio"]["value"] for one in found["comparisons"]]
    assert ratios == [one.ratio and one.ratio.value for one in run.comparisons]


@given(runs())
def test_csv_is_one_line_a_row(run: Run) -> None:
    text = csv.render(run)
    assert text.count("\n") == len(text.splitlines()) == len(run.results) + 1
    rows = list(reader.DictReader(StringIO(text)))
    assert tuple(text.splitlines()[0].split(",")) == csv.COLUMNS
    for line, row in zip(rows, run.results, strict=True):
        p50 = row.latency_ns.percentiles["p50"] if row.latency_ns else None
        assert line["p50_ns"] == ("" if p50 is None else repr(p50.value))
        assert line["status"] == row.status.value


def test_csv_has_the_comparison_beside_the_row() -> None:
    rows = {row["backend"]: row for row in reader.DictReader(StringIO(csv.render(typical())))}
    fast, baseline = rows["openvino"], rows["onnxruntime"]
    assert (fast["baseline"], fast["ratio"], fast["verdict"]) == ("onnxruntime", "1.19", "faster")
    assert (baseline["ratio"], baseline["verdict"]) == ("", "")
    assert rows["tensorflow"]["fix"] == "pip install 'xbench[tensorflow]'"
    assert (fast["p99_ns"], fast["n"]) == ("", "600")


def test_csv_tells_the_parts_of_the_memory_with_least_and_most() -> None:
    rows = {row["backend"]: row for row in reader.DictReader(StringIO(csv.render(typical())))}
    held, unknown = rows["onnxruntime"], rows["openvino"]
    assert held["memory_host_bytes"] == held["memory_peak_bytes"] == str(220 << 20)
    assert held["memory_import_bytes"] == held["memory_import_bytes_min"] == str(45 << 20)
    assert held["memory_model_bytes_max"] == str((130 << 20) + 1)
    assert held["memory_resident_bytes"] == str(181 << 20)
    assert {text for name, text in unknown.items() if name.startswith("memory_")} == {""}


def test_csv_tells_the_energy_or_why_there_is_none() -> None:
    rows = {row["backend"]: row for row in reader.DictReader(StringIO(csv.render(typical())))}
    known, unknown = rows["onnxruntime"], rows["openvino"]
    assert (known["energy_label"], known["energy_scope"]) == ("measured:counter", "package")
    assert known["energy_per_inference_j"] == "0.0412"
    assert float(known["energy_per_inference_j_low"]) < 0.0412
    assert (known["energy_load_w"], known["energy_idle_w"]) == ("61.44", "9.1")
    assert unknown["energy_label"] == "unavailable:there is no RAPL here"
    assert unknown["energy_per_inference_j"] == unknown["energy_load_w"] == ""


def cells_of(line: str) -> int:
    """Return how many cells GitHub sees: a bar after a backslash is text, also within code."""
    return line.replace("\\|", "").count("|") - 1


@given(runs())
def test_every_line_of_a_markdown_table_has_all_its_cells(run: Run) -> None:
    lines = [line for line in markdown.render(run).splitlines() if line.startswith("|")]
    assert {cells_of(line) for line in lines} <= {4, 5, 6, 9}


def test_markdown_has_the_verdict_and_both_tables() -> None:
    text = markdown.render(typical())
    assert "**openvino is 1.17 to 1.21 times as fast as onnxruntime" in text
    assert "| 1 | `openvino` | 2026.4.1 | 4.120 ms | needs 662 | 243 |" in text
    assert "| `tensorflow` | unavailable | tensorflow is not installed. |" in text
    assert "- rounds: 60 in 5 launches" in text


def test_markdown_has_the_memory_of_the_rows_that_told_it() -> None:
    lines = markdown.render(typical()).splitlines()
    at = lines.index("| memory | peak | steady | import | model |")
    assert lines[at + 2] == "| `onnxruntime` | 220 MiB | 181 MiB | 45.0 MiB | 130 MiB |"
    assert lines[at + 3] == ""


def test_markdown_has_the_energy_of_the_rows_that_were_metered() -> None:
    lines = markdown.render(typical()).splitlines()
    at = lines.index("| energy | per inference | running | idle | label | scope |")
    figures = "41.2 mJ \\[40.8, 41.6\\] | 61.44 W | 9.100 W | measured:counter | package"
    assert lines[at + 2] == f"| `onnxruntime` | {figures} |"
    assert lines[at + 3] == ""


def test_markdown_shows_hostile_names_as_text() -> None:
    text = markdown.render(run_of((cell(0, HOSTILE, reason="<img src=x> [a](b) | `c` @you"),)))
    assert "\\<img src=x\\> \\[a\\](b) \\| \\`c\\`" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
