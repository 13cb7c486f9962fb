"""What a buyer reads: it fits, says who wins and why others do not; no name breaks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.xbench.procurement.market import TODAY, evidence, host, metered, option, prices, row
from tests.xbench.procurement.test_answer import DEMAND, ask, of
from tests.xbench.report.runs import HOSTILE, NO_RAPL, intervals, names
from xbench.load.slo import Slo
from xbench.procurement.answer import Procurement, procure
from xbench.procurement.fleet import Demand
from xbench.procurement.prices import Option
from xbench.report.procurement import markdown, render
from xbench.report.procurement_words import lines, money_text, sentences
from xbench.result import Interval

CLOUD = option("cloud", hourly_cost_per_unit=0.1, billing="under_load", energy_included=True)


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_buyer_reads_options_devices_cost_and_the_winner(tmp_path: Path) -> None:
    run = evidence(
        tmp_path, metered(0, "onnxruntime", 5e6), metered(1, "pytorch", 20e6, energy=NO_RAPL)
    )
    found = procure([run], prices(option(), CLOUD), DEMAND, TODAY)
    text = render(found)
    read = one_line(text)
    for part in (
        "toy at 200 a second, p99 within 100 ms",
        "EUR per million",
        "edge-box",
        "modelled",
        "measured:counter",
        "Not priced",
        "edge-box: pytorch",
        "its energy is unavailable: there is no RAPL here",
        f"prices prices.toml, of {TODAY}, in EUR",
        "900 EUR a unit of 1 device over 4 years (straight-line), 0.3 EUR a kWh, PUE 1.5",
        "Poisson arrivals",
        "Break-even at",
    ):
        assert part.replace(" device over", " device, over") in read, part
    assert max(map(cell_len, text.splitlines())) <= 80


def test_the_winner_is_named_in_a_sentence() -> None:
    cheap, dear = replace(row(100.0), name="cheap"), replace(row(20.0), name="dear")
    first, *_ = sentences(ask(cheap, dear))
    assert first.startswith("edge-box: cheap costs least: ")
    assert "the next, edge-box: dear, costs at least" in first
    assert sentences(ask(cheap))[0].startswith("edge-box: cheap is the only one with a price")


@pytest.mark.parametrize(
    ("capex", "verdict", "words"),
    [
        (900.0, "≥33% more", "costs at least 33% more"),
        (3600.0, "≥5.3 times", "costs at least 5.3 times as much"),
        (676.2, "≥0.1% more", "costs at least 0.1% more"),
        (675.3, "dearer", "costs hardly more"),
    ],
)
def test_a_difference_is_rounded_down(capex: float, verdict: str, words: str) -> None:
    """Without energy, cost is the price alone: against 675, a device of 900 costs a third more."""
    free: dict[str, Any] = {"energy_price_per_kwh": 0.0, "match_host_id": None}
    paid = prices(
        option("a", capex_per_unit=675.0, **free),
        option("b", capex_per_unit=capex, **free),
    )
    one = row(100.0, width=0.0)
    found = ask(replace(one, label="a"), replace(one, label="b", name="b"), paid=paid)
    assert [line.verdict for line in lines(found)] == ["cheapest", verdict]
    assert words in sentences(found)[0]


def test_a_tie_is_said_in_words() -> None:
    one, other = replace(row(100.0), name="one"), replace(row(100.5), name="other")
    first = sentences(ask(one, other))[0]
    assert "are a tie in cost: their intervals overlap" in first
    assert "one" in first
    assert "other" in first
    assert "≥" not in render(ask(one, other))


def test_of_those_that_tie_the_one_that_answers_first_is_named() -> None:
    quick, slow = replace(row(100.0), name="quick"), replace(row(100.0, tail=4.0), name="slow")
    first = sentences(ask(quick, slow, demand=Demand(40.0, Slo("p99", 0.5), 0.8)))[0]
    assert first.endswith("Of these edge-box: quick has the lowest p99.")


def test_without_any_price_it_says_so_and_why() -> None:
    found = ask(replace(row(100.0), host_id="feedbeef0000"))
    text = render(found)
    assert "No row has a price" in text
    assert "match_host_id" in one_line(text)
    assert "No row has a price" in markdown(found)


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (Interval(0.4123, 0.4011, 0.4238), "0.412 [0.401, 0.424]"),
        (Interval(0.375, 0.375, 0.375), "0.375"),
        (Interval(12345.0, 12000.0, 12700.0), "12,300 [12,000, 12,700]"),
        (Interval(0.0, 0.0, 0.0), "0"),
    ],
)
def test_money_has_the_digits_that_its_interval_carries(cost: Interval, text: str) -> None:
    assert money_text(cost) == text


@given(intervals())
def test_money_is_short(cost: Interval) -> None:
    assert len(money_text(cost)) < 60


def test_names_from_outside_break_neither_table(tmp_path: Path) -> None:
    run = evidence(tmp_path, metered(0, "toy", 5e6, label=HOSTILE), host=host(model=HOSTILE))
    found = procure([run], prices(option(HOSTILE)), DEMAND, TODAY)
    for text in (render(found), markdown(found)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert max(map(cell_len, render(found).splitlines())) <= 80
    tables = [block for block in markdown(found).split("\n\n") if block.startswith("| ")]
    assert len(tables) == 2
    for table in tables:
        bars = {line.replace("\\|", "").count("|") for line in table.splitlines()}
        assert len(bars) == 1, table


def test_markdown_has_the_table_the_winner_and_the_assumptions() -> None:
    text = markdown(ask(row(100.0), replace(row(20.0), name="slow")))
    for part in (
        "| option | row |",
        "**edge-box: onnxruntime costs least",
        "Assumptions:",
        "front",
    ):
        assert part in text


def options() -> st.SearchStrategy[Option]:
    bought = st.builds(
        option,
        names.filter(bool),
        capex_per_unit=st.floats(0, 1e9),
        spares_share=st.floats(0, 1),
        devices_per_unit=st.integers(1, 100),
        overhead_per_device_month=st.floats(0, 1e6),
        discount_rate_per_year=st.floats(0, 1),
        declared_other_w=st.floats(0, 1e4),
    )
    rented = st.builds(
        option,
        names.filter(bool),
        hourly_cost_per_unit=st.floats(0, 1e6),
        billing=st.sampled_from(["always", "under_load"]),
        energy_included=st.booleans(),
    )
    return bought | rented


@st.composite
def procurements(draw: st.DrawFn) -> Procurement:
    shape: dict[str, Any] = {
        "name": names,
        "tail": st.floats(1.1, 8),
        "idle_w": st.none() | st.floats(0, 9),
    }
    rows = draw(
        st.lists(st.builds(row, st.floats(0.1, 1e4), st.floats(0, 0.3), **shape), max_size=3)
    )
    slo = draw(st.none() | st.builds(Slo, st.sampled_from(["p50", "p99"]), st.floats(1e-3, 10)))
    demand = Demand(draw(st.floats(1e-3, 1e6)), slo, draw(st.floats(0.05, 0.99)))
    paid = prices(*draw(st.lists(options(), min_size=1, max_size=3)))
    return procure([of(*rows)], paid, demand, TODAY)


@given(procurements(), st.integers(72, 100))
@settings(max_examples=40, deadline=None)
def test_every_answer_fits_and_says_something(found: Procurement, width: int) -> None:
    text = render(found, width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert sentences(found)[0]
    assert markdown(found)
