"""What is handed on of a run: which rows have a speed to tell, and under which names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.xbench.publishing.published import document, nasty, published, write
from tests.xbench.report.runs import NO_RAPL, cell, energy, interval, run_of, runs, typical
from xbench.errors import UsageError
from xbench.publishing.names import bounded, digest, slug
from xbench.publishing.rows import Row, published_of, read_published
from xbench.result import Parity, Run, Status


def rows(*cells: object, **own: object) -> tuple[Row, ...]:
    return published(run_of(cells, **own)).rows  # type: ignore[arg-type]


def test_only_rows_that_may_be_compared_have_a_speed() -> None:
    """A row that crashed, disagrees or broke its cap has no number that passes for speed."""
    found = rows(
        cell(0, "fine", 4e6, 1),
        cell(1, "crashed"),
        cell(2, "wrong", 1e6, status=Status.PARITY_FAILED, parity=Parity("disagrees", max_rel=0.5)),
        cell(3, "lying", 1e6, parity=Parity("disagrees", max_rel=0.5)),  # ok, and yet it disagrees
        cell(4, "greedy", 1e6, caps={"broken": ["4 threads, not 2"], "profile": None}),
    )
    assert [row.label for row in found if row.no_speed is None] == ["fine"]
    for row in found[1:]:
        assert row.speed == ()
        assert row.no_speed
    assert {one.name for one in found[2].agreement} == {"parity_max_rel"}


@given(runs())
def test_no_run_tells_a_speed_of_a_row_that_is_not_ok(run: Run) -> None:
    """Whatever a run holds, speed is told of ok rows alone, and every row is there."""
    found = published(run)
    assert [row.id for row in found.rows] == [one.id for one in run.results]
    for row, one in zip(found.rows, run.results, strict=True):
        fine = one.status is Status.OK and one.parity.status != "disagrees"
        assert bool(row.speed) == (row.no_speed is None)
        assert fine or not row.speed
    assert len(found.told) + len(found.left_out) == len(found.rows)


def test_measures_carry_their_unit_and_interval() -> None:
    """A latency of 4.9 ms is 4.9, with bounds, under a name that ends in its unit."""
    row = published(typical()).rows[0]
    p50 = row.measure("latency_p50_ms")
    assert p50 is not None
    assert p50.value == pytest.approx(4.9)
    assert (p50.low, p50.high) == pytest.approx((4.9 * 0.996, 4.9 * 1.004))
    peak = row.measure("memory_peak_bytes")
    assert peak is not None
    assert peak.value == 220 << 20
    assert row.measure("latency_p99_9_ms") is None  # too few inferences to bound it


def test_energy_is_told_only_where_a_meter_measured_it() -> None:
    """What a model estimated, or nobody measured, is no number; its label is told."""
    known = interval(0.2)
    found = rows(
        cell(0, "metered", 4e6, 1, energy=energy(known, "measured:counter")),
        cell(1, "guessed", 4e6, 1, energy=energy(known, "estimated:tdp")),
        cell(2, "dark", 4e6, 1, energy=NO_RAPL),
    )
    told = [row.measure("energy_per_inference_j") is not None for row in found]
    assert told == [True, False, False]
    assert found[1].facts["energy"] == "estimated:tdp"


def test_a_name_is_the_same_from_run_to_run_and_tells_rows_apart() -> None:
    """Neither the run, its time nor the runtime's version is in it; what was asked for is."""
    one = cell(0, "pytorch", 4e6, 1, backend_version="2.12")
    later = cell(3, "pytorch", 5e6, 2, backend_version="2.13")
    (first,), (second,) = rows(one), rows(later, run_id="later")
    assert first.name == second.name
    assert first.name == "toy / pytorch / cpu / fp32 / batch 1 / 2 threads / single-stream"
    others = [
        replace(one, batch=8),
        replace(one, device="cuda:0"),
        replace(one, precision={"requested": "int8", "effective": None}),
        replace(one, threads={"requested": 1, "effective": 1}),
        replace(one, scenario="server:30"),
        replace(one, boundary="device"),
        replace(one, caps={"broken": [], "profile": "rpi5"}),
    ]
    names = {row.name for row in rows(one, *others)}
    assert len(names) == len(others) + 1


def with_load(load: dict[str, object], **own: object) -> Row:
    """Return the only row of a run whose scenario told more than latency."""
    found = document(run_of((cell(0, "ort", 4e6, 1, scenario="server:30"),)))
    found["results"][0] |= {"load": load, **own}
    return published_of(found, Path("r.json")).rows[0]


def test_a_saturated_server_has_no_speed() -> None:
    """It is ok, and yet what it served is no speed: the row says why."""
    reason = "it cannot keep up with that rate"
    row = with_load({"rate_per_s": 30.0}, latency_ns=None, reason=reason)
    assert row.no_speed == f"{reason}."
    assert row.speed == ()


def test_a_search_tells_its_rate_and_no_latency_of_another_question() -> None:
    """Each search ends at another rate: a series of its latencies would compare unlike things."""
    row = with_load({"rate_per_s": 80.0, "search": {"holds_per_s": 82.5, "slo": "p99=20ms"}})
    rate = row.measure("load_held_rate_per_s")
    assert rate is not None
    assert rate.value == 82.5
    assert row.measure("latency_p50_ms") is None
    assert row.measure("latency_at_held_rate_p50_ms") is not None


def test_a_run_is_the_same_wherever_it_is_kept(tmp_path: Path) -> None:
    """A folder's hashes and place are not part of a run; a measured number is."""
    run = typical()
    first = read_published(write(tmp_path, run, "a.json"))
    moved = read_published(write(tmp_path, run, "b.json", folder="elsewhere", kept={"x": "y"}))
    other = read_published(write(tmp_path, replace(run, results=run.results[:3]), "c.json"))
    assert first.key == moved.key
    assert first.key != other.key


@pytest.mark.parametrize("part", ["results", "spec", "host"])
def test_what_is_no_result_ends_in_one_error(tmp_path: Path, part: str) -> None:
    found = document(typical())
    found[part] = [{"id": "x"}] if part == "results" else "x"
    path = tmp_path / "r.json"
    path.write_text(json.dumps(found))
    with pytest.raises(UsageError, match=r"r\.json is no result"):
        read_published(path)


def test_hostile_names_stay_on_one_line_without_controls() -> None:
    """No control, escape or direction mark of a name gets through to any target."""
    found = published(nasty())
    texts = [found.model, found.cautions]
    for row in found.rows:
        told = map(str, (*row.settings.values(), *row.facts.values()))
        texts += [row.name, row.label, row.no_speed or "", *told]
    assert any("<script>" in text for text in texts)  # the harm is still there to be handled
    for text in texts:
        assert text.isprintable(), text


@given(st.text(), st.integers(40, 200))
def test_bounded_names_fit_and_stay_apart(text: str, most: int) -> None:
    """A name fits in bytes, is never empty, and two long ones that begin alike differ."""
    assert 0 < len(bounded(text, most).encode()) <= most
    assert bounded("x" * 300 + "a", most) != bounded("x" * 300 + "b", most)


@example("..")
@example("../../etc")
@example(".hidden")
@given(st.text())
def test_a_slug_is_a_safe_folder(text: str) -> None:
    """It is one component, never hidden, and never leads up."""
    found = slug(text)
    assert Path(found).parts == (found,)
    assert found[0] != "."
    assert found.isascii()


def test_digests_tell_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(None) == digest("None")
    assert digest("\ud800")  # half a pair, as JSON may hold it
