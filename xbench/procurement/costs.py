"""What a fleet costs in a year. Money is in the price file's currency.

Sources: the capital recovery factor as in Short, Packey and Holt 1995, "A Manual for the Economic
Evaluation of Energy Efficiency and Renewable Energy Technologies", NREL/TP-462-5173, and the
equations of NREL's Annual Technology Baseline; power between idle and busy as in Fan, Weber and
Barroso 2007, "Power Provisioning for a Warehouse-sized Computer"; PUE as in ISO/IEC 30134-2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, expm1, log1p

from xbench.procurement.prices import UNDER_LOAD, Option

HOURS_PER_YEAR = 8_760  # of 365 days
SECONDS_PER_YEAR = 3_600 * HOURS_PER_YEAR
MONTHS_PER_YEAR = 12
JOULES_PER_KWH = 3.6e6
MILLION = 1_000_000
SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Use:
    """What serving takes, at one end of the intervals that it comes from.

    Attributes:
        devices: That serve.
        joules_per_inference: With the device busy; None where the energy is in the hourly price.
        idle_w: Of a device that waits.
        busy_s_per_inference: Seconds of a device that an inference takes.
    """

    devices: int
    joules_per_inference: float | None
    idle_w: float
    busy_s_per_inference: float


def units_for(option: Option, devices: int) -> int:
    """Return the whole units that hold so many devices and their spares, rounded up."""
    spares = ceil(devices * option.spares_share - SLACK)
    return -(-(devices + spares) // option.devices_per_unit)


def capital_per_year(option: Option) -> float:
    """Return the yearly cost of one unit that is bought.

    ``(capex - residual (1+i)^-n) i / (1 - (1+i)^-n)``: the price, less the present value of what
    is left at the end, times the capital recovery factor. At a discount rate of 0 that is
    straight-line depreciation, ``(capex - residual) / n``.
    """
    assert option.capex_per_unit is not None
    years, rate = option.life_years, option.discount_rate_per_year
    growth = years * log1p(rate)
    residual = option.residual_share * option.capex_per_unit
    if growth < SLACK:
        return (option.capex_per_unit - residual) / years
    shrunk = -expm1(-growth)  # 1 - (1+i)^-n, without the loss of digits of small rates
    return (option.capex_per_unit - residual * (1 - shrunk)) * rate / shrunk


def rent_per_year(option: Option, load_share: float) -> float:
    """Return the yearly cost of one unit that is rented.

    Args:
        option: With an hourly price.
        load_share: Share of the year that the load is there.
    """
    assert option.hourly_cost_per_unit is not None
    share = load_share if option.billing == UNDER_LOAD else 1.0
    return option.hourly_cost_per_unit * HOURS_PER_YEAR * share


def device_joules_per_year(option: Option, use: Use, inferences_per_year: float) -> float:
    """Return the energy that the serving devices draw in a year, in joules, before PUE.

    Each inference takes its joules; in the time that is left, a device draws its idle power, and
    at all times what is declared beside the meter. Spares are off.
    """
    if use.joules_per_inference is None:
        return 0.0
    present_s = use.devices * SECONDS_PER_YEAR
    waiting_s = max(0.0, present_s - use.busy_s_per_inference * inferences_per_year)
    own_j = use.joules_per_inference * inferences_per_year + use.idle_w * waiting_s
    return own_j + option.declared_other_w * present_s


def energy_cost_per_year(option: Option, use: Use, inferences_per_year: float) -> float:
    """Return what the fleet's energy costs in a year: joules to kWh, times PUE, times the price."""
    joules = device_joules_per_year(option, use, inferences_per_year)
    return joules / JOULES_PER_KWH * option.pue * option.energy_price_per_kwh


def cost_per_year(option: Option, use: Use, rate_per_s: float, inferences_per_year: float) -> float:
    """Return what a fleet costs in a year.

    Args:
        option: What a unit costs.
        use: What serving takes.
        rate_per_s: Inferences a second while the load is there.
        inferences_per_year: How many there are: the rate times the seconds under load.
    """
    units = units_for(option, use.devices)
    load_share = inferences_per_year / (rate_per_s * SECONDS_PER_YEAR)
    own = capital_per_year(option) if option.bought else rent_per_year(option, load_share)
    overhead = option.overhead_per_device_month * MONTHS_PER_YEAR * option.devices_per_unit
    return units * (own + overhead) + energy_cost_per_year(option, use, inferences_per_year)


def cost_per_million(cost: float, inferences: float) -> float:
    """Return what a million inferences cost, where ``inferences`` cost ``cost``."""
    return cost / inferences * MILLION
