"""github-action-benchmark and Bencher: valid by the rules in their sources, for any run."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given

from tests.xbench.publishing.published import nasty, published
from tests.xbench.report.runs import cell, run_of, runs, typical
from xbench.errors import UsageError
from xbench.publishing import bencher, github
from xbench.publishing.rows import Published
from xbench.result import Interval, Run


def check_github(entries: Any) -> None:
    """Check a list as the action reads it: types, and a range that its pattern takes."""
    for entry in entries:
        assert set(entry) <= {"name", "unit", "value", "range", "extra"}
        assert entry["name"].isprintable()
        assert entry["name"]
        assert isinstance(entry["unit"], str)
        assert math.isfinite(entry["value"])
        if "range" in entry:
            found = re.search(r"((\+-|±)\s*)(\d.+)", entry["range"])  # src/extractRangeInfo.ts
            assert found, entry["range"]
            assert float(found[3]) >= 0
        table = entry["name"] + entry["extra"].replace("\n", "")
        assert not re.search(r"[|<>`*]", table)  # they would break the comment's table
    names = [entry["name"] for entry in entries]
    assert len(set(names)) == len(names)


def check_bencher(found: Any) -> None:
    """Check a document by https://bencher.dev/bmf.json and the rules of `lib/bencher_valid`."""
    for name, measures in found.items():
        assert 0 < len(name.encode()) <= 1024
        assert not name.endswith(("_bencher_ignore", "BencherIgnore", "-bencher-ignore"))
        for slug, metric in measures.items():
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
            assert len(slug) <= 64
            assert set(metric) <= {"value", "lower_value", "upper_value"}
            assert math.isfinite(metric["value"])
            low, high = (metric.get(end, metric["value"]) for end in ("lower_value", "upper_value"))
            assert low <= metric["value"] <= high


def series(run: Published) -> tuple[Any, Any]:
    """Return both documents as a reader parses them."""
    of_github, of_bencher = github.documents([run]), bencher.document([run])
    return json.loads(json.dumps(of_github, allow_nan=False)), json.loads(json.dumps(of_bencher))


@given(runs())
def test_every_run_makes_valid_documents(run: Run) -> None:
    """Whatever the names and numbers; rows of one name are refused, never merged."""
    found = published(run)
    try:
        of_github, of_bencher = series(found)
    except UsageError:
        names = [row.name for row in found.told]
        assert len(set(names)) < len(names)
        return
    for entries in of_github.values():
        check_github(entries)
    check_bencher(of_bencher)
    assert len(of_bencher) == len(found.told)


def test_hostile_names_make_valid_documents() -> None:
    of_github, of_bencher = series(published(nasty()))
    for entries in of_github.values():
        check_github(entries)
    check_bencher(of_bencher)
    assert len(of_bencher) == 2


def test_numbers_and_directions_are_those_of_the_run() -> None:
    """4.9 ms is smaller-is-better with half of its interval; in Bencher it is nanoseconds."""
    of_github, of_bencher = series(published(typical()))
    smaller = {one["name"]: one for one in of_github[github.SMALLER]}
    name = "toy / onnxruntime / cpu / fp32 / batch 1 / 2 threads / single-stream"
    p50 = smaller[f"{name} / p50"]
    assert p50["unit"] == "ms"
    assert p50["value"] == pytest.approx(4.9)
    assert float(p50["range"].removeprefix("± ")) == pytest.approx(4.9 * 0.004, rel=1e-4)
    assert [one["unit"] for one in of_github[github.BIGGER]] == ["inferences/s"] * 5
    assert of_bencher[name]["latency"]["value"] == pytest.approx(4.9e6)
    assert of_bencher[name]["throughput"]["value"] == pytest.approx(1e9 / 4.9e6)
    assert of_bencher[name]["energy-joules"]["value"] == pytest.approx(0.0412)


def test_rows_without_a_speed_are_left_out_and_counted() -> None:
    """Of seven rows one did not run and one disagrees: five are there, two are owned up to."""
    of_github, of_bencher = series(published(typical()))
    assert not any("acme" in name or "tensorflow" in name for name in of_bencher)
    for entry in of_github[github.SMALLER]:
        assert "rows without a speed, left out: 2 of 7" in entry["extra"]
        assert "acme" not in entry["name"]


def test_a_verdict_names_what_it_is_against() -> None:
    of_github, _ = series(published(typical()))
    extra = next(one["extra"] for one in of_github[github.BIGGER] if "openvino" in one["name"])
    assert "against onnxruntime: faster" in extra


def test_two_runs_of_one_question_are_refused() -> None:
    """A series has one value at a time: which of two would be it?"""
    found = [published(typical()), published(typical(), run_id="again")]
    for make in (github.documents, bencher.document):
        with pytest.raises(UsageError, match="one value at a time"):
            make(found)


def test_an_uneven_interval_gives_its_larger_half() -> None:
    """The action knows one number for both sides: the smaller one would claim too much."""
    row = cell(0, "ort", 1e6, 1, throughput_per_s=Interval(100.0, 99.0, 104.0))
    of_github, _ = series(published(run_of((row,))))
    assert of_github[github.BIGGER][0]["range"] == "± 4.0"


def test_a_name_cannot_silence_its_alerts() -> None:
    """Bencher mutes names of a certain end: a profile of that name must not reach it."""
    row = cell(0, "ort", 1e6, 1, caps={"broken": [], "profile": "x-bencher-ignore"})
    _, of_bencher = series(published(run_of((row,))))
    check_bencher(of_bencher)
    assert len(of_bencher) == 1
