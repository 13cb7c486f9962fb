"""What one option costs with one row, or why it has no price.

A quote is worked out at the row's values and at both ends, where all its intervals lie at their
worst (or best) at once: that assumes no independence, and is never too narrow. As one quantity may
enter twice, with opposite effect, it may be a little too wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from xbench.procurement.breakeven import Costs
from xbench.procurement.costs import (
    HOURS_PER_YEAR,
    JOULES_PER_KWH,
    Use,
    cost_per_million,
    cost_per_year,
    device_joules_per_year,
    units_for,
)
from xbench.procurement.evidence import UNAVAILABLE, Row
from xbench.procurement.fleet import Count, Demand, Fleet, Unfit, fleet
from xbench.procurement.power import Power, inverse, power_of, scaled
from xbench.procurement.prices import Option, Prices
from xbench.result import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """An option with a row: how many, and at what cost. Money is in the prices' currency.

    Attributes:
        row_name: What tells the row from others.
        units: Whole units, with spares.
        costs: Yearly cost by yearly volume.
        per_joule: Inferences of a busy device; None where the energy is in the price.
        per_kwh: Inferences at the site's meter: with devices that wait, and PUE.
        verdict: Of `xbench.procurement.answer`: against the one of lowest cost.
        on_latency_front: Whether nothing beats it in cost and latency; None without a latency.
        on_loss_front: Whether nothing beats it in cost and loss; None where no loss is told.
    """

    option: Option
    row: Row
    row_name: str
    fleet: Fleet
    power: Power
    units: Count
    costs: Costs
    cost_per_year: Interval
    cost_per_hour: Interval
    cost_per_million: Interval
    per_joule: Interval | None
    per_kwh: Interval | None
    verdict: str = ""
    on_latency_front: bool | None = None
    on_loss_front: bool | None = None

    @property
    def name(self) -> str:
        """Return what tells the quote from others."""
        return f"{self.option.name}: {self.row_name}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that no price was put on, why, and what helps."""

    name: str
    reason: str
    fix: str


def offers(
    row: Row, row_name: str, prices: Prices, demand: Demand, inferences_per_year: float
) -> list[Quote | Refusal]:
    """Return a quote or a refusal for each option that a row is priced by; at least one."""
    if row.problem:
        return [Refusal(row_name, *row.problem)]
    options = [option for option in prices.options if _applies(option, row)]
    if not options:
        device = row.device_model or row.device
        fix = f'Write match_host_id = "{row.host_id}" in an option, or name one: RUN=OPTION'
        why = f"no option of {prices.path} is of its host or of its device, {device!r}"
        return [Refusal(row_name, why, fix)]
    found = fleet(row, demand)
    if isinstance(found, Unfit):
        return [Refusal(row_name, found.reason, found.fix)]
    return [_offer(row, row_name, option, found, demand, inferences_per_year) for option in options]


def _applies(option: Option, row: Row) -> bool:
    """Return whether a row is priced by an option: a label on the command line decides alone."""
    if row.label is not None:
        return option.name == row.label
    return option.matches(row.host_id, row.device_model)


def _offer(
    row: Row, row_name: str, option: Option, found: Fleet, demand: Demand, volume: float
) -> Quote | Refusal:
    power = power_of(row, option)
    if power is None:
        why = row.energy.label.removeprefix(UNAVAILABLE)
        fix = f"Meter it, or write declared_load_w in [options.{option.name}]"
        return Refusal(f"{option.name}: {row_name}", f"its energy is unavailable: {why}", fix)
    uses = _uses(found.devices, power)
    costs = Costs(*(partial(cost_per_year, option, use, demand.rate_per_s) for use in uses))
    yearly = costs.at(volume)
    per_joule, per_kwh = _efficiency(power, option, uses, volume)
    return Quote(
        option=option,
        row=row,
        row_name=row_name,
        fleet=found,
        power=power,
        units=Count(*(units_for(option, use.devices) for use in uses)),
        costs=costs,
        cost_per_year=yearly,
        cost_per_hour=scaled(yearly, 1 / HOURS_PER_YEAR),
        cost_per_million=scaled(yearly, cost_per_million(1.0, volume)),
        per_joule=per_joule,
        per_kwh=per_kwh,
    )


def _uses(devices: Count, power: Power) -> tuple[Use, Use, Use]:
    """Return what serving takes at the value, at the lowest end and at the highest.

    A device that is busy for longer waits for less of the year: the lowest cost is at the longest.
    """
    joules = power.per_inference_j
    idle_w, busy_s = power.idle_w, power.busy_s
    return (
        Use(devices.value, joules.value if joules else None, idle_w.value, busy_s.value),
        Use(devices.low, joules.low if joules else None, idle_w.low, busy_s.high),
        Use(devices.high, joules.high if joules else None, idle_w.high, busy_s.low),
    )


def _efficiency(
    power: Power, option: Option, uses: tuple[Use, ...], volume: float
) -> tuple[Interval | None, Interval | None]:
    """Return inferences a joule of a busy device, and a kWh of the whole site."""
    if power.per_inference_j is None:
        return None, None
    joules = Interval(*(option.pue * device_joules_per_year(option, use, volume) for use in uses))
    return inverse(power.per_inference_j), scaled(inverse(joules), volume * JOULES_PER_KWH)
