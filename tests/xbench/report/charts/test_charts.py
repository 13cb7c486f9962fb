"""What charts are drawn from: shares, fronts, parts and courses; and that drawings are clean."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.report.html.made import generated
from tests.xbench.report.runs import cell, interval, memory
from tests.xbench.report.runs import run_of as run_with
from xbench.report.charts import look, sheet
from xbench.report.charts.across import across
from xbench.report.charts.costs import parts_of
from xbench.report.charts.course import doubts, state
from xbench.report.charts.distribution import survival
from xbench.report.charts.drawing import tidied
from xbench.report.charts.figure import Figure, Material, Missing
from xbench.report.charts.plan import KINDS, figures
from xbench.report.charts.sustained import sustained
from xbench.report.charts.ticks import log_ticks
from xbench.report.charts.tradeoff import Point, front, points_of
from xbench.report.recall import run_of
from xbench.result import Caution, CellResult

MEASURED = st.lists(st.integers(1, 10**12), min_size=1, max_size=3000)


def material(rows: int = 6, batches: int = 2) -> Material:
    document, samples = generated(rows, batches)
    return Material.of(run_of(document), samples)


@given(MEASURED)
def test_the_share_beyond_a_latency_is_counted_and_not_guessed(latencies_ns: list[int]) -> None:
    points = survival(latencies_ns)
    for ns, share in points:
        assert share == pytest.approx(
            sum(one >= ns for one in latencies_ns) / len(latencies_ns)
        ) or (
            latencies_ns.count(round(ns)) > 1  # of equal ones, some rank of theirs
        )
    assert points[0] == (min(latencies_ns), 1.0)
    assert points[-1] == (max(latencies_ns), 1 / len(latencies_ns))
    assert points == sorted(points, key=lambda point: (point[0], -point[1]))


def test_the_slowest_inferences_are_all_on_the_curve() -> None:
    """A curve is thinned in its middle, never in its tail."""
    latencies_ns = list(range(1, 10_001))
    kept = {ns for ns, _ in survival(latencies_ns)}
    assert kept >= set(range(9_995, 10_001))
    assert len(kept) < 100


def row(number: int, wait: float, per_s: float, share: float = 0.01) -> CellResult:
    one = cell(number, f"b{number}", wait, number + 1, throughput_per_s=interval(per_s, share))
    assert one.latency_ns
    bounds = {**one.latency_ns.percentiles, "p50": interval(wait, share)}
    return replace(one, latency_ns=replace(one.latency_ns, percentiles=bounds))


def points(cells: list[CellResult]) -> list[Point]:
    return points_of(Material.of(run_with(tuple(cells)), None), cells)


def test_a_row_is_off_the_front_only_if_another_beats_it_in_both_beyond_doubt() -> None:
    fast, large, beaten = row(0, 1e6, 900), row(1, 8e6, 5000), row(2, 9e6, 800)
    close = row(3, 1.005e6, 895)  # within the intervals of the first
    assert front(points([fast, large, beaten, close])) == {0, 1, 3}


@given(of=st.lists(st.tuples(st.floats(1, 1e9), st.floats(1, 1e6)), min_size=1, max_size=12))
def test_somebody_is_always_on_the_front_and_the_best_are(
    of: list[tuple[float, float]],
) -> None:
    cells = [row(number, wait, per_s) for number, (wait, per_s) in enumerate(of)]
    best = front(points(cells))
    least = min(range(len(of)), key=lambda at: of[at][0])
    most = max(range(len(of)), key=lambda at: of[at][1])
    assert {least, most} <= best


def test_runs_with_other_threads_share_one_chart() -> None:
    """One run has one number of threads, so what threads bring is seen over several."""
    two = material(4, 1)
    one = Material.of(
        replace(
            two.run,
            results=tuple(replace(c, threads={"requested": 1}) for c in two.run.results),
            host={"host_id": "same"},
        ),
        None,
    )
    two = Material.of(replace(two.run, host={"host_id": "same"}), None)
    keys = [figure.key for figure in across([one, two])]
    assert keys == ["across", "tradeoff"]
    assert [figure.key for figure in across([two, two])] == ["across"]


def test_the_parts_of_memory_add_up_to_the_most_that_was_held() -> None:
    told = memory(220 << 20, 100 << 20, 45 << 20, 130 << 20)
    told |= {
        "inputs": {"median": 9 << 20, "min": 0, "max": 0},
        "phases": {"inputs": {"rss": 69 << 20}},
    }
    parts = parts_of(told)
    assert parts == (60 << 20, 9 << 20, 100 << 20, 51 << 20)
    assert sum(parts) == told["host"]


@pytest.mark.parametrize("missing", ["phases", "model", "host", "inputs"])
def test_memory_that_was_not_told_has_no_parts(missing: str) -> None:
    told = memory(220 << 20, 100 << 20, 45 << 20, 130 << 20)
    told |= {"phases": {"inputs": {"rss": 69 << 20}}, missing: None}
    assert parts_of(told) is None


@given(st.floats(1e-6, 1e9), st.floats(1.01, 1e6), st.floats(60, 900))
def test_labels_of_an_axis_have_room_and_lie_on_it(low: float, ratio: float, length: float) -> None:
    ticks = log_ticks(low, low * ratio, length, 40)
    assert ticks
    gaps = [math.log(b / a) / math.log(ratio) * length for a, b in pairwise(ticks)]
    assert all(gap >= 40 for gap in gaps)
    assert all(low * 0.999 <= tick <= low * ratio * 1.001 for tick in ticks)
    assert len(ticks) > 1 or length < 40 * 8  # a long axis has more than one


def test_every_chart_is_what_vega_lite_says_a_chart_is() -> None:
    """Checked against its schema, on a desk and on a phone; a reader's page is not, for speed."""
    for one in figures(material()):
        assert isinstance(one, Figure)
        for width in (640, 340):
            assert one.draw(width).chart.to_dict(validate=True)


def test_a_turn_of_a_disturbed_round_is_told_from_a_quiet_one() -> None:
    own = material()
    states = {state(own, turn): turn.others_cpus for turn in own.epochs[0]}
    assert states == {"quiet": 0.0, "disturbed": 0.9}


def figure_of(own: Material, key: str) -> Figure | Missing:
    return next(one for one in figures(own) if one.key == key)


def searched() -> Material:
    """Return a run that searched for a rate: 100 a second held, three times it and more failed."""
    document, samples = generated(2, 1)
    epochs = tuple(
        replace(
            one,
            launch=0,
            round=100_000 * one.cell + place,
            latencies_ns=(10_000_000 * (1 + place % 3),) * 12,
            served={"rate_per_s": (100.0, 300.0, 900.0)[place % 3]},
        )
        for place, one in enumerate(samples.epochs)
    )
    told = {"slo": "p99=20ms", "holds_per_s": 100.0, "fails_per_s": 300.0, "stopped": "tolerance"}
    run = run_of(document)
    rows = tuple(replace(one, load={"search": told | {"trials": []}}) for one in run.results)
    spec = {**run.spec, "scenario": "server", "slo": "p99=20ms"}
    return Material.of(replace(run, results=rows, spec=spec), replace(samples, epochs=epochs))


def test_the_distribution_of_a_search_is_of_the_rate_that_holds_alone() -> None:
    """Rates that failed, and disturbed windows of the one that holds, are as in the row."""
    own = searched()
    one = figure_of(own, "distribution")
    assert isinstance(one, Figure)
    assert "those at the largest rate that it holds" in one.caption
    curves = next(iter(one.draw(400).sets.values()))
    assert {point["x"] for point in curves} == {10.0}
    assert {len(own.counted_turns(row)) for row in own.run.results} == {8}


def test_a_search_has_no_course() -> None:
    """Its turns differ by what was asked of them."""
    one = figure_of(searched(), "course")
    assert isinstance(one, Missing)
    assert "one rate after another" in one.why


def test_rates_are_ranked_in_the_words_of_rates() -> None:
    one = figure_of(searched(), "ranking")
    assert isinstance(one, Figure)
    assert "median" not in one.caption
    assert "ratio of the largest rates" in one.caption
    assert one.table.header[1] == "rate [by what holds and fails]"


def test_medians_of_searches_are_not_set_beside_each_other() -> None:
    """Each is at the rate that its own row holds."""
    assert not [one for one in across([searched(), searched()]) if one.key == "across"]


def test_charts_of_a_sustained_load_are_of_every_turn() -> None:
    """As its row is; a search, and rounds that rows take turns in, leave some out."""
    document, samples = generated(2, 1)
    run = run_of(document)
    rounds = Material.of(run, samples)
    own = Material.of(replace(run, spec={**run.spec, "scenario": "sustained:5min"}), samples)
    row = run.results[0]
    assert len(own.counted_turns(row)) == 24 > len(rounds.counted_turns(row))
    course, of_rounds = figure_of(own, "course"), figure_of(rounds, "course")
    assert isinstance(course, Figure)
    assert isinstance(of_rounds, Figure)
    assert "a row's own numbers are of all turns" in course.caption
    assert "are not in the numbers." in of_rounds.caption


def test_only_cautions_about_time_stand_in_the_course() -> None:
    own = cell(0, "a", 1e6, 1, cautions=(Caution("drift", "", ""), Caution("fallback", "", "")))
    assert doubts(own) == ["drift"]


def test_every_kind_is_drawn_or_says_why_not() -> None:
    """A run without samples, energy and the rest has a sentence for each chart that it lacks."""
    full, bare = material(), Material.of(run_of(generated(6, 1)[0]), None)
    assert all(isinstance(one, Figure) for one in figures(full))
    keys = {one.key for one in figures(full)}
    assert len(keys) == len(KINDS) - 1  # but for the one that only minutes of load have
    missing = [one for one in figures(bare) if isinstance(one, Missing)]
    assert {one.key for one in missing} == {"distribution", "course", "tradeoff"}
    assert all(one.why for one in missing)


def test_minutes_of_load_have_a_curve() -> None:
    own = material(2, 1)
    points = [{"at_s": 60.0 * at, "p50_ns": 1e6 * (1 + at), "inferences": 9} for at in range(5)]
    load = {"points": points}
    rows = tuple(replace(one, load=load) for one in own.run.results)
    (figure,) = sustained(Material.of(replace(own.run, results=rows), None))
    assert isinstance(figure, Figure)
    assert figure.table.rows[1] == ("onnxruntime", "1 min", "2.000 ms")
    assert len(figure.draw(400).sets) == 2
    assert list(sustained(own)) == []


def test_series_of_one_colour_differ_in_shape_and_dash() -> None:
    """Of two dozen series no two look alike, and none is told from another by colour alone."""
    looks = [(look.colour(n), look.shape(n), tuple(look.dash(n))) for n in range(24)]
    assert len(set(looks)) == len(looks)
    first = range(look.SERIES)
    assert len({look.shape(n) for n in first}) == len({look.colour(n) for n in first})


def test_a_drawing_keeps_no_style_and_no_identifier_of_its_own() -> None:
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" style="x" class="marks"><defs><clipPath id="c0">'
        '<path d="M0,0.12345L1.5,2"/></clipPath></defs><g clip-path="url(#c0)" role="graphics">'
        f'<path fill="{look.STAND_IN["s1"]}" stroke="{look.STAND_IN["ink"]}" d="M0,0"/></g></svg>'
    )
    root = tidied(drawn, "fig1")
    attributes = [(name, value) for one in root.iter() for name, value in one.attrib.items()]
    assert ("id", "fig1-0") in attributes
    assert ("clip-path", "url(#fig1-0)") in attributes
    assert ("class", "f-s1 s-ink") in attributes
    assert ("d", "M0,0.1L1.5,2") in attributes
    assert not {name for name, _ in attributes} & {"style", "role", "fill", "stroke"}


def test_every_stand_in_colour_becomes_a_class() -> None:
    """None reaches a reader: they are no colours that a screen should show."""
    for one in figures(material()):
        assert isinstance(one, Figure)
        text = sheet.svg([material()], one.key)
        assert not [colour for colour in look.STAND_IN.values() if colour in text]
        assert look.LIGHT["ink"] in text


def test_a_sheet_is_a_picture() -> None:
    picture = sheet.png([material()], "ranking")
    assert picture.startswith(b"\x89PNG")
