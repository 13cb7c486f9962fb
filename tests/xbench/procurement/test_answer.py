"""The whole answer: who is priced, who is refused, who wins, and what must move together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.procurement.market import (
    HOST,
    TODAY,
    evidence,
    host,
    metered,
    option,
    prices,
    row,
)
from tests.xbench.report.runs import NO_RAPL, cell, energy, interval
from xbench.errors import UnknownNameError, UsageError
from xbench.load.scenario import parse_scenario
from xbench.load.slo import Slo
from xbench.procurement.answer import CHEAPEST, DEARER, TIE, Procurement, procure
from xbench.procurement.doubts import doubts
from xbench.procurement.evidence import Energy, Evidence, Row
from xbench.procurement.fleet import Demand
from xbench.procurement.prices import Option, Prices
from xbench.procurement.quotes import Quote
from xbench.result import Interval, Parity, Status

SLO = Slo("p99", 0.1)
DEMAND = Demand(200.0, SLO, 0.8)
PROVEN = Parity("agrees", "onnxruntime:reference")
UNMETERED = Energy(
    per_inference_j=None,
    load_w=None,
    idle_w=None,
    label="unavailable:not measured under server",
    scope="none",
)


def of(*rows: Row, run: str = "run-1", **own: Any) -> Evidence:
    fields: dict[str, Any] = {
        "path": f"{run}.json",
        "model": "toy",
        "model_sha256": "ab" * 32,
        "shapes": "{}",
        "host_id": HOST,
        "conditions": {},
        "cautions": (),
    }
    return Evidence(run=run, rows=tuple(replace(one, run=run) for one in rows), **fields | own)


def ask(*rows: Row, paid: Prices | None = None, demand: Demand = DEMAND) -> Procurement:
    return procure([of(*rows)], paid or prices(), demand, TODAY)


def quote(one: Row, own: Option | None = None, demand: Demand = DEMAND) -> Quote:
    (found,) = ask(one, paid=prices(own or option()), demand=demand).quotes
    return found


def test_one_device_by_hand() -> None:
    """Three devices at 100 a second each serve 200 for half the year.

    225 a year each. Energy: 0.2 J for each of 3153.6 million inferences is 175.2 kWh. The devices
    are there for 3 * 8760 h and busy for 3153.6e6 * 0.01 s = 8760 h; waiting, 17520 h * 5 W =
    87.6 kWh. In all 262.8 kWh, at PUE 1.5 and 0.30: 118.26. With 675 for the devices 793.26 a
    year, 0.25154 a million; 3153.6e6 / 394.2 kWh at the site is 8.0 million a kWh.
    """
    found = quote(row(100.0, width=0.0))
    assert found.units.value == 3
    assert found.cost_per_year.value == pytest.approx(793.26)
    assert found.cost_per_hour.value == pytest.approx(793.26 / 8760)
    assert found.cost_per_million.value == pytest.approx(793.26 / 3153.6)
    assert found.per_joule is not None
    assert found.per_kwh is not None
    assert found.per_joule.value == pytest.approx(5.0)
    assert found.per_kwh.value == pytest.approx(8.0e6)


def test_joules_are_those_of_one_inference_whatever_the_batch(tmp_path: Path) -> None:
    """The document counts each item of a batch, as its throughput does."""
    told = energy(interval(0.1, 0.01), "measured:counter")
    run = evidence(tmp_path, metered(0, "onnxruntime", 8e6, batch=8, energy=told))
    found = procure([run], prices(), Demand(200.0, None, 0.8), TODAY)
    (one,) = found.quotes
    assert one.power.per_inference_j == interval(0.1, 0.01)


def test_nothing_is_priced_in_silence(tmp_path: Path) -> None:
    """Every row of a run is either a quote or listed with a reason and, where one helps, a fix."""
    run = evidence(
        tmp_path,
        metered(0, "good", 5e6),
        metered(1, "unmetered", 5e6, energy=NO_RAPL),
        metered(2, "unchecked", 5e6, parity=Parity("not_checked")),
        cell(3, "unranked", 5e6, None),
        cell(4, "crashed", reason="signal 11"),
        metered(5, "brief", 5e6, n=100),
    )
    found = procure([run], prices(), DEMAND, TODAY)
    assert [one.row.name for one in found.quotes] == ["good"]
    reasons = {one.name.rpartition(" ")[2]: one.reason for one in found.refusals}
    assert set(reasons) == {"unmetered", "unchecked", "unranked", "crashed", "brief"}
    assert "energy is unavailable: there is no RAPL here" in reasons["unmetered"]
    assert "declared_load_w" in next(o.fix for o in found.refusals if "unmetered" in o.name)


def test_declared_watts_price_what_no_meter_told_and_are_labelled() -> None:
    """At 100 a second, 20 W are 0.2 J an inference."""
    unmetered = row(100.0, width=0.0, energy=UNMETERED)
    assert not ask(unmetered).quotes
    found = quote(unmetered, option(declared_load_w=20.0, declared_idle_w=5.0))
    assert found.power.label == "declared"
    assert found.cost_per_year.value == pytest.approx(793.26)
    assert any(
        "declared in the price file" in one
        for one in doubts(ask(unmetered, paid=prices(option(declared_load_w=20.0))))
    )
    metered_one = quote(row(100.0, width=0.0), option(declared_load_w=2000.0))
    assert metered_one.power.label == "measured:counter"  # what was measured is never overruled
    assert metered_one.cost_per_year.value == pytest.approx(793.26)


def test_energy_in_the_price_needs_no_meter() -> None:
    rented = option("cloud", hourly_cost_per_unit=0.1, energy_included=True)
    unmetered = row(100.0)
    none = replace(unmetered.energy, per_inference_j=None, load_w=None, label="unavailable:x")
    found = quote(replace(unmetered, energy=none), rented)
    assert found.power.label == "in the price"
    assert found.per_joule is None
    assert found.cost_per_year.low == pytest.approx(3 * 876)


def test_unknown_idle_power_is_not_taken_for_nothing() -> None:
    """It lies between nothing and the power under load, and the estimate is the latter."""
    known, unknown = quote(row(100.0, width=0.0)), quote(row(100.0, width=0.0, idle_w=None))
    assert unknown.power.idle_w == Interval(20.0, 0.0, 20.0)
    assert unknown.cost_per_year.low < known.cost_per_year.value < unknown.cost_per_year.value
    assert unknown.cost_per_year.value == unknown.cost_per_year.high
    assert any("while it waits" in one for one in doubts(ask(row(100.0, idle_w=None))))


def test_overlapping_costs_are_a_tie_and_others_are_not() -> None:
    one, near, far = row(100.0, 0.05), row(101.0, 0.05), row(20.0, 0.01)
    named = [replace(r, name=n) for r, n in ((one, "one"), (near, "near"), (far, "far"))]
    found = ask(*named)
    assert {q.row.name: q.verdict for q in found.quotes} == {"one": TIE, "near": TIE, "far": DEARER}
    apart = ask(named[0], named[2])
    assert [q.verdict for q in apart.quotes] == [CHEAPEST, DEARER]
    assert [q.on_latency_front for q in apart.quotes] == [True, False]


def test_a_row_may_be_bought_and_rented_and_the_two_meet() -> None:
    rented = option("cloud", hourly_cost_per_unit=0.1, billing="under_load", energy_included=True)
    found = ask(row(100.0, width=0.0), paid=prices(option(), rented))
    assert {one.option.name for one in found.quotes} == {"edge-box", "cloud"}
    assert found.meeting is not None
    told = found.meeting.break_even.inferences_per_year
    assert told is not None
    bought, cloud = found.meeting.bought.costs, found.meeting.rented.costs
    assert bought.at(told.value).value == pytest.approx(cloud.at(told.value).value)
    assert found.meeting.break_even.below == 1


def test_a_label_prices_a_run_by_that_option_alone() -> None:
    labelled = replace(row(100.0), label="other")
    paid = prices(option(), option("other", match_host_id=None, capex_per_unit=1.0))
    assert [one.option.name for one in ask(labelled, paid=paid).quotes] == ["other"]
    with pytest.raises(UnknownNameError, match="othr"):
        ask(replace(row(100.0), label="othr"), paid=paid)


def test_a_host_that_no_option_is_of_is_told_the_line_to_write() -> None:
    found = ask(replace(row(100.0), host_id="feedbeef0000"))
    assert not found.quotes
    assert 'match_host_id = "feedbeef0000"' in found.refusals[0].fix


def test_runs_of_different_models_are_not_compared() -> None:
    with pytest.raises(UsageError, match="different models"):
        procure([of(row()), of(row(), model_sha256="cd" * 32)], prices(), DEMAND, TODAY)
    with pytest.raises(UsageError, match="no run"):
        procure([], prices(), DEMAND, TODAY)


def test_what_sets_runs_apart_is_said(tmp_path: Path) -> None:
    other = host("feedbeef0000") | {"versions": {"onnxruntime": "1.20.0"}, "governor": "powersave"}
    here = host() | {"governor": "performance"}
    both = [
        evidence(tmp_path, metered(0, "onnxruntime", 5e6), run_id="a", host=here),
        evidence(
            tmp_path,
            metered(0, "onnxruntime", 5e6, boundary="device"),
            run_id="b",
            host=other,
            interrupted=True,
        ),
    ]
    paid = prices(option(match_host_id=None, match_device_model="ACME*"))
    said = " ".join(doubts(procure(both, paid, DEMAND, TODAY)))
    for part in (
        "not interleaved",
        "timing boundary",
        "version of onnxruntime: 1.20.0, 1.32.0",
        "in governor: performance, powersave",
        "itself cautions: interrupted",
    ):
        assert part in said


def test_doubts_about_rows_and_prices_are_said() -> None:
    narrow = row(100.0, threads=2, cores=16, cautions=("few_rounds",))
    paid = prices(dated=TODAY - timedelta(days=400))
    said = " ".join(doubts(ask(narrow, paid=paid)))
    for part in ("400 days old", "used 2 of 16 cores", "few_rounds", "those of the package alone"):
        assert part in said


def test_cores_are_used_by_all_streams_together() -> None:
    """Two streams of one thread keep two cores at work."""
    served = parse_scenario("server:50,streams=2")
    own = option(declared_load_w=20.0)
    for cores, said in ((2, False), (4, True)):
        one = row(100.0, scenario=served, threads=1, cores=cores, energy=UNMETERED)
        text = " ".join(doubts(ask(one, paid=prices(own))))
        assert ("used 2 of 4 cores; a device is counted as 2 inferences at a time" in text) is said
        assert "used 1 of" not in text


def test_a_server_row_is_priced_at_its_rate() -> None:
    """Nothing proves that it could do more, so its declared watts are those of all its time."""
    served = parse_scenario("server:50,max_batch=8")
    server = row(100.0, width=0.0, scenario=served, throughput_per_s=None, energy=UNMETERED)
    own = option(declared_load_w=20.0, declared_idle_w=5.0)
    found = quote(server, own, Demand(200.0, SLO, 0.8))
    assert found.fleet.evidence == "measured"
    assert found.units.value == 4
    assert found.power.busy_s.value == pytest.approx(0.02)
    assert found.power.per_inference_j is not None
    assert found.power.per_inference_j.value == pytest.approx(0.4)


def test_the_largest_rate_that_a_search_found_is_what_a_device_takes(tmp_path: Path) -> None:
    """It is in the row's account; the scenario of the request has none. Each row has its own."""
    rows = [
        metered(
            number,
            name,
            5e6,
            scenario="server",
            energy=None,
            load={"search": {"slo": "p99=100ms", "holds_per_s": holds, "stopped": "tolerance"}},
        )
        for number, (name, holds) in enumerate((("fast", 60.512345), ("slow", 40.0)))
    ]
    run = evidence(tmp_path, *rows)
    paid = prices(option(declared_load_w=20.0))
    fast, slow = procure([run], paid, Demand(200.0, SLO, 0.8), TODAY).quotes
    assert (fast.fleet.devices.value, slow.fleet.devices.value) == (4, 5)
    assert fast.row_name == "fast, server:60.512"
    assert slow.power.busy_s.value == pytest.approx(1 / 40)


def test_a_search_that_found_no_rate_has_no_price(tmp_path: Path) -> None:
    load = {"search": {"slo": "p99=100ms", "holds_per_s": None, "stopped": "budget"}}
    why = "no rate was found that keeps to p99=100ms (budget)"
    run = evidence(
        tmp_path,
        cell(0, "odd", status=Status.OK, scenario="server", parity=PROVEN, load=load, reason=why),
    )
    (refused,) = procure([run], prices(), DEMAND, TODAY).refusals
    assert refused.reason == f"it is not ranked in its own run: {why}"


def test_a_device_that_may_be_faster_may_wait_for_longer() -> None:
    """One device at either end; as fast as it may be, it is busy least, and draws its idle power.

    Half a year at 10 a second: 157.68 million inferences of 0.22 J, busy for 1/110 s each.
    """
    one = row(100.0, width=0.1, idle_w=15.0)
    found = quote(one, option(capex_per_unit=0.0), Demand(10.0, None, 0.8))
    assert found.fleet.devices.high == 1
    waiting_s = 31_536_000 - 157.68e6 / 110
    joules = 0.22 * 157.68e6 + 16.5 * waiting_s
    assert found.cost_per_year.high == pytest.approx(joules / 3.6e6 * 1.5 * 0.3)


measured = st.builds(
    row, st.floats(40, 500), st.floats(0, 0.05), tail=st.floats(1.1, 3), timed=st.just(5000)
)
loads = st.floats(1, 5000)
RISING = {
    "capex_per_unit": st.floats(0, 1e5),
    "energy_price_per_kwh": st.floats(0, 5),
    "pue": st.floats(1, 3),
    "spares_share": st.floats(0, 1),
}


@pytest.mark.parametrize("key", sorted(RISING))
@given(data=st.data(), one=measured, rate=loads)
@settings(max_examples=25, deadline=None)
def test_the_whole_interval_rises_with_a_price(
    key: str, data: st.DataObject, one: Row, rate: float
) -> None:
    low, high = sorted([data.draw(RISING[key]), data.draw(RISING[key])])
    demand = Demand(rate, None, 0.8)

    def cost(value: float) -> Interval:
        own: dict[str, Any] = {key: value}
        return quote(one, option(**own), demand).cost_per_million

    cheap, dear = cost(low), cost(high)
    slack = 1 + 1e-9
    assert cheap.low <= dear.low * slack
    assert cheap.value <= dear.value * slack
    assert cheap.high <= dear.high * slack


@given(measured, loads)
@settings(max_examples=40, deadline=None)
def test_intervals_hold_their_values(one: Row, rate: float) -> None:
    found = quote(one, demand=Demand(rate, SLO if rate > 50 else None, 0.8))
    for told in (found.cost_per_year, found.cost_per_million, found.per_joule, found.per_kwh):
        assert told is not None
        assert 0 < told.low <= told.value <= told.high
    assert found.units.low <= found.units.value <= found.units.high


@given(measured, loads, st.floats(-1, 1), st.floats(-1, 1))
@settings(max_examples=40, deadline=None)
def test_the_interval_holds_the_cost_of_whatever_is_true(
    one: Row, rate: float, speed: float, joules: float
) -> None:
    """A device as fast and as thrifty as the row's intervals allow costs what they say."""
    demand = Demand(rate, None, 0.8)
    told = quote(one, demand=demand).cost_per_year

    def at(interval: Interval, place: float) -> Interval:
        side = interval.high if place > 0 else interval.low
        value = interval.value + abs(place) * (side - interval.value)
        return Interval(value, value, value)

    assert one.throughput_per_s is not None
    assert one.energy.per_inference_j is not None
    assert one.energy.idle_w is not None
    true = replace(
        one,
        throughput_per_s=at(one.throughput_per_s, speed),
        energy=replace(
            one.energy,
            per_inference_j=at(one.energy.per_inference_j, joules),
            idle_w=at(one.energy.idle_w, joules),
        ),
    )
    cost = quote(true, demand=demand).cost_per_year.value
    assert told.low * (1 - 1e-9) <= cost <= told.high * (1 + 1e-9)


@given(measured, loads, st.integers(2, 10))
@settings(max_examples=40, deadline=None)
def test_more_load_never_costs_less_in_a_year(one: Row, rate: float, factor: int) -> None:
    once = quote(one, demand=Demand(rate, None, 0.8)).cost_per_year
    many = quote(one, demand=Demand(factor * rate, None, 0.8)).cost_per_year
    assert once.value <= many.value * (1 + 1e-9)
    assert many.value <= factor * once.value * (1 + 1e-9)
