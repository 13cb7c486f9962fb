"""The formulas of money and energy: by hand, by their definitions, and by what must rise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.procurement.market import option
from xbench.procurement.costs import (
    SECONDS_PER_YEAR,
    Use,
    capital_per_year,
    cost_per_million,
    cost_per_year,
    device_joules_per_year,
    energy_cost_per_year,
    rent_per_year,
    units_for,
)
from xbench.procurement.prices import Option

price = st.floats(0, 1e6)
years = st.floats(0.5, 30)
share = st.floats(0, 1)
uses = st.builds(Use, st.integers(1, 500), st.floats(1e-6, 1e3), st.floats(0, 1e3), st.just(1e-3))
RATE = 100.0


def test_units_are_converted_as_by_hand() -> None:
    """One device, 36 J an inference at 10 a second for half the year, at 0.30 a kWh and PUE 1.5.

    Under load it draws 360 W and is busy all the time, otherwise 40 W; half a year has 4380 hours.
    360 W * 4380 h = 1576.8 kWh and 40 W * 4380 h = 175.2 kWh: 1752 kWh, at the site 2628 kWh,
    788.40. The device costs 900 over 4 years, 225 a year; 5 a month are 60. In all 1073.40, for
    157.68 million inferences: 6.807... a million.
    """
    own = option(overhead_per_device_month=5.0)
    use = Use(devices=1, joules_per_inference=36.0, idle_w=40.0, busy_s_per_inference=0.1)
    inferences = 10 * 4380 * 3600
    assert device_joules_per_year(own, use, inferences) / 3.6e6 == pytest.approx(1752)
    assert energy_cost_per_year(own, use, inferences) == pytest.approx(788.40)
    assert capital_per_year(own) == pytest.approx(225)
    total = cost_per_year(own, use, 10.0, inferences)
    assert total == pytest.approx(1073.40)
    assert cost_per_million(total, inferences) == pytest.approx(1073.40 / 157.68)


def test_every_device_of_a_unit_has_overhead_spares_too() -> None:
    """17 devices and 2 spares are three units of eight: 24 devices at 10 a month are 2880."""
    own = option(
        capex_per_unit=0.0,
        devices_per_unit=8,
        spares_share=0.1,
        overhead_per_device_month=10.0,
        energy_price_per_kwh=0.0,
    )
    use = Use(devices=17, joules_per_inference=1.0, idle_w=1.0, busy_s_per_inference=0.1)
    assert cost_per_year(own, use, RATE, 1e9) == pytest.approx(2880)


def test_an_hour_is_paid_always_or_under_load() -> None:
    own = option(hourly_cost_per_unit=2.0)
    assert rent_per_year(own, 0.25) == pytest.approx(2 * 8760)
    assert rent_per_year(replace(own, billing="under_load"), 0.25) == pytest.approx(2 * 2190)


def test_energy_in_the_price_is_not_paid_twice() -> None:
    own = option(hourly_cost_per_unit=2.0, energy_included=True, declared_other_w=100.0)
    use = Use(devices=3, joules_per_inference=None, idle_w=0.0, busy_s_per_inference=0.1)
    assert energy_cost_per_year(own, use, 1e9) == 0
    assert cost_per_year(own, use, RATE, 1e9) == pytest.approx(3 * 2 * 8760)


@given(st.floats(0, 1e6), st.integers(1, 30), st.floats(0, 0.5), share)
def test_the_annuity_pays_back_exactly_what_was_spent(
    capex: float, life: int, rate: float, left: float
) -> None:
    """Its payments and the residual, each discounted to the day of purchase, sum to the price."""
    own = option(
        capex_per_unit=capex,
        life_years=float(life),
        discount_rate_per_year=rate,
        residual_share=left,
    )
    payment = capital_per_year(own)
    present = sum(payment / (1 + rate) ** year for year in range(1, life + 1))
    assert present + left * capex / (1 + rate) ** life == pytest.approx(capex, rel=1e-9, abs=1e-6)


@given(price, years, share)
def test_without_a_discount_rate_depreciation_is_straight(
    capex: float, life: float, left: float
) -> None:
    own = option(capex_per_unit=capex, life_years=life, residual_share=left)
    straight = (1 - left) * capex / life
    assert capital_per_year(own) == pytest.approx(straight)
    tiny = replace(own, discount_rate_per_year=1e-12)
    assert capital_per_year(tiny) == pytest.approx(straight, rel=1e-6, abs=1e-6)


@given(st.integers(1, 10_000), st.integers(1, 64), share)
def test_units_are_whole_and_no_more_than_needed(devices: int, each: int, spares: float) -> None:
    own = option(devices_per_unit=each, spares_share=spares)
    units = units_for(own, devices)
    assert units * each >= devices * (1 + spares) - 1e-5
    assert (units - 1) * each < devices * (1 + spares) + 1
    assert units_for(own, devices + 1) >= units


def test_a_share_that_divides_evenly_buys_no_extra_spare() -> None:
    """20 devices with 5 % spares are 21, whatever floats make of 20 * 0.05."""
    assert units_for(option(spares_share=0.05), 20) == 21
    assert units_for(option(spares_share=0.1), 30) == 33
    assert units_for(option(), 20) == 20


RISING = {
    "capex_per_unit": price,
    "discount_rate_per_year": share,
    "energy_price_per_kwh": st.floats(0, 10),
    "pue": st.floats(1, 3),
    "spares_share": share,
    "overhead_per_device_month": st.floats(0, 1e3),
    "declared_other_w": st.floats(0, 1e3),
}


@pytest.mark.parametrize("key", sorted(RISING))
@given(data=st.data(), use=uses, volume=st.floats(0, RATE * SECONDS_PER_YEAR))
def test_cost_never_falls_as_a_price_rises(
    key: str, data: st.DataObject, use: Use, volume: float
) -> None:
    low, high = sorted([data.draw(RISING[key]), data.draw(RISING[key])])

    def cost(value: float) -> float:
        own: dict[str, Any] = {key: value}
        return cost_per_year(option(**own), use, RATE, volume)

    assert cost(low) <= cost(high) * (1 + 1e-12)


@given(use=uses, volumes=st.tuples(share, share), rented=st.booleans())
def test_cost_never_falls_as_the_volume_rises(
    use: Use, volumes: tuple[float, float], rented: bool
) -> None:
    """An inference costs at least nothing: what it takes is no less than the device waiting."""
    least_j = use.idle_w * use.busy_s_per_inference
    joules = max(use.joules_per_inference or 0.0, least_j)
    real = replace(use, joules_per_inference=joules)
    own = option(hourly_cost_per_unit=1.0, billing="under_load") if rented else option()
    low, high = (share * RATE * SECONDS_PER_YEAR for share in sorted(volumes))
    low_cost, high_cost = (cost_per_year(own, real, RATE, volume) for volume in (low, high))
    assert low_cost <= high_cost * (1 + 1e-9)


@given(use=uses, factor=st.integers(2, 50))
def test_as_many_times_the_devices_and_inferences_cost_as_many_times(use: Use, factor: int) -> None:
    own: Option = option(overhead_per_device_month=3.0)
    volume = 0.3 * RATE * SECONDS_PER_YEAR
    more = replace(use, devices=factor * use.devices)
    once = cost_per_year(own, use, RATE, volume)
    many = cost_per_year(own, more, factor * RATE, factor * volume)
    assert many == pytest.approx(factor * once)
