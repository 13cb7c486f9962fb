"""What is said of a procurement, before anyone draws it: a table, sentences, assumptions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, isfinite

from xbench.load.slo import WORDS
from xbench.procurement.answer import CHEAPEST, TIE, Meeting, Procurement
from xbench.procurement.breakeven import Outcome
from xbench.procurement.costs import SECONDS_PER_YEAR
from xbench.procurement.fleet import CAPPED, MEASURED, MODELLED, Count
from xbench.procurement.pareto import lower
from xbench.procurement.prices import UNDER_LOAD, Option
from xbench.procurement.quotes import Quote
from xbench.report.numbers import decimals, fixed, latency_text, rounded
from xbench.report.text import clean, listed
from xbench.report.view import ABSENT
from xbench.result import Interval
from xbench.units import format_share

HOW = {
    MEASURED: "as a server, at that rate for each device",
    MODELLED: "as M/G/1 from the row's own latency: Poisson arrivals, split evenly at"
    " random, one queue a device, first come first served",
    CAPPED: "no --slo was given: only the load of a device is limited, and the latency shown is"
    " that of a device without other requests",
}
_MONEY_DIGITS = 3  # with its bounds a fourth would not fit beside the other columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A quote, each cell as it is read."""

    option: str
    row: str
    devices: str
    evidence: str
    cost: str
    energy: str
    per_joule: str
    latency: str
    verdict: str
    fronts: str


def header(found: Procurement) -> tuple[str, ...]:
    """Return the headers of the table."""
    return (
        "option",
        "devices",
        f"{found.prices.currency} per million",
        "inf/J",
        WORDS[found.demand.percentile],
        "verdict",
    )


def lines(found: Procurement) -> tuple[Line, ...]:
    """Return the table, the lowest cost first."""
    return tuple(_line(quote, found.quotes[0]) for quote in found.quotes)


def yearly_header(found: Procurement) -> tuple[str, ...]:
    """Return the headers of the table of a year: inferences a kWh are at the site's meter."""
    currency = found.prices.currency
    return ("in a year", "units", f"{currency} an hour", f"{currency} a year", "inf/kWh")


def yearly(found: Procurement) -> tuple[tuple[str, ...], ...]:
    """Return the table of a year, in the order of the other."""
    return tuple(
        (
            clean(quote.name),
            count_text(quote.units),
            money_text(quote.cost_per_hour),
            money_text(quote.cost_per_year),
            _grouped(rounded(quote.per_kwh)) if quote.per_kwh else ABSENT,
        )
        for quote in found.quotes
    )


def money_text(cost: Interval) -> str:
    """Return an amount with its bounds, such as ``0.412 [0.401, 0.424]``."""
    places = decimals(cost, _MONEY_DIGITS)
    value, low, high = (_grouped(fixed(x, places)) for x in (cost.value, cost.low, cost.high))
    return value if value == low == high else f"{value} [{low}, {high}]"


def count_text(count: Count) -> str:
    """Return a whole number, with its bounds where it has any."""
    if count.low == count.high:
        return f"{count.value:,}"
    return f"{count.value:,} [{count.low:,}, {count.high:,}]"


def sentences(found: Procurement) -> tuple[str, ...]:
    """Return who wins, who ties, who is on the fronts and where two meet; each a sentence."""
    if not found.quotes:
        return ("No row has a price; below is why.",)
    return (
        _winner(found),
        *_fronts(found),
        *([_meeting(found, found.meeting)] if found.meeting else []),
    )


def assumptions(found: Procurement) -> Iterator[tuple[str, str]]:
    """Yield what the numbers rest on, each with a label."""
    prices, demand = found.prices, found.demand
    yield (
        "prices",
        f"{clean(prices.path)}, of {prices.dated}, in {prices.currency}; nothing else is known",
    )
    limit = f", {demand.slo}" if demand.slo else ""
    yield (
        "load",
        f"{demand.rate_per_s:g} inferences a second{limit}; there for"
        f" {format_share(prices.utilisation_share)} of the year, which makes"
        f" {found.inferences_per_year / 1e6:,.4g} million a year",
    )
    yield "devices", f"whole; each is loaded to {format_share(demand.most_load)} at most"
    for evidence in dict.fromkeys(quote.fleet.evidence for quote in found.quotes):
        yield evidence, HOW[evidence]
    for option in dict.fromkeys(quote.option for quote in found.quotes):
        yield clean(option.name), _priced(option, prices.currency)
    yield (
        "intervals",
        "from the row's own, all at their worst end at once: nothing is taken as independent"
        " (throughput, joules and watts hold with 95 % each, a bound of a percentile with 99 %)",
    )
    for one in found.evidence:
        models = dict.fromkeys(row.device_model or row.device for row in one.rows)
        yield "run", f"{clean(one.path)}: {clean(', '.join(models))}, host {clean(one.host_id)}"


def _line(quote: Quote, best: Quote) -> Line:
    known = [(quote.on_latency_front, "latency"), (quote.on_loss_front, "accuracy")]
    names = [name for on_front, name in known if on_front]
    latency_s = quote.fleet.latency_s
    return Line(
        option=clean(quote.option.name),
        row=clean(quote.row_name),
        devices=count_text(quote.fleet.devices),
        evidence=quote.fleet.evidence,
        cost=money_text(quote.cost_per_million),
        energy=clean(quote.power.label),
        per_joule=rounded(quote.per_joule) if quote.per_joule else ABSENT,
        latency=_latency(latency_s) if latency_s else ABSENT,
        verdict=_verdict(quote, best),
        fronts=f"front: {', '.join(names)}" if names else "",
    )


def _latency(latency_s: Interval) -> str:
    if not isfinite(latency_s.value):
        return "unbounded"
    high_s = latency_s.high if isfinite(latency_s.high) else 2 * latency_s.value
    return latency_text(Interval(*(1e9 * x for x in (latency_s.value, latency_s.low, high_s))))


def _verdict(quote: Quote, best: Quote) -> str:
    if quote.verdict in (CHEAPEST, TIE):
        return quote.verdict
    more = _more(quote, best)
    return f"≥{more}" if more else quote.verdict


def _more(quote: Quote, best: Quote) -> str:
    """Return by how much one costs more at least, rounded down: ``12% more`` or ``3.4 times``.

    Between the nearest ends of the intervals; empty where that is under a tenth of a per cent, or
    nothing to measure by.
    """
    if not best.cost_per_million.high:
        return ""
    ratio = quote.cost_per_million.low / best.cost_per_million.high
    if ratio >= 2:
        return f"{floor(10 * ratio) / 10:,g} times"
    percent = floor(1000 * (ratio - 1)) / 10
    return f"{floor(percent) if percent >= 1 else percent:g}% more" if percent else ""


def _winner(found: Procurement) -> str:
    best, *others = found.quotes
    currency = found.prices.currency
    costs = f"{money_text(best.cost_per_million)} {currency} per million inferences"
    name = clean(best.name)
    if best.verdict == TIE:
        tied = [one for one in found.quotes if one.verdict == TIE]
        names = listed([clean(one.name) for one in tied])
        return f"{names} are a tie in cost: their intervals overlap.{_faster(tied, found)}"
    if not others:
        return f"{name} is the only one with a price: {costs}."
    more = _more(others[0], best)
    least = f"costs at least {more}{' as much' if more.endswith('times') else ''}"
    return (
        f"{name} costs least: {costs}, {count_text(best.fleet.devices)}"
        f" device{'' if best.fleet.devices.high == 1 else 's'}; the next, {clean(others[0].name)},"
        f" {least if more else 'costs hardly more'}."
    )


def _faster(tied: list[Quote], found: Procurement) -> str:
    """Return which of those that tie is known to answer first, or that it is not known."""
    word = WORDS[found.demand.percentile]
    known = [(one, one.fleet.latency_s) for one in tied if one.fleet.latency_s]
    for one, latency_s in known:
        others = [other for other_one, other in known if other_one is not one]
        if len(known) == len(tied) and all(lower(latency_s, other) for other in others):
            return f" Of these {clean(one.name)} has the lowest {word}."
    return f" None of these is known to have the lowest {word} either."


def _fronts(found: Procurement) -> Iterator[str]:
    """Yield who is beaten by nobody in cost together with latency, and with accuracy."""
    word = WORDS[found.demand.percentile]
    if len(found.quotes) < 2:
        return
    for what, members in (
        (word, [one for one in found.quotes if one.on_latency_front]),
        ("loss of accuracy", [one for one in found.quotes if one.on_loss_front]),
    ):
        if members:
            names = listed([clean(one.name) for one in members])
            verb = "is" if len(members) == 1 else "are"
            yield f"In cost and {what} together, {names} {verb} beaten by nobody."


def _meeting(found: Procurement, meeting: Meeting) -> str:
    pair = (clean(meeting.bought.name), clean(meeting.rented.name))
    told = meeting.break_even
    if told.inferences_per_year is None or told.below is None:
        if told.outcome is Outcome.UNDECIDED:
            return f"Which of {pair[0]} and {pair[1]} costs less is not decided at any volume."
        less = 0 if told.outcome is Outcome.FIRST else 1
        return f"{pair[less]} costs less than {pair[1 - less]} at every yearly volume of this load."
    volume = told.inferences_per_year
    millions = [x / 1e6 for x in (volume.value, volume.low, volume.high)]
    high = f"{millions[2]:,.4g}" if isfinite(millions[2]) else "none"
    share = volume.value / (found.demand.rate_per_s * SECONDS_PER_YEAR)
    return (
        f"Break-even at {millions[0]:,.4g} million inferences a year [{millions[1]:,.4g}, {high}],"
        f" or this load for {format_share(share)} of the year: below it {pair[told.below]} costs"
        f" less, above it {pair[1 - told.below]}."
    )


def _priced(option: Option, currency: str) -> str:
    devices = f"{option.devices_per_unit} device{'' if option.devices_per_unit == 1 else 's'}"
    parts = []
    if option.bought:
        parts.append(f"{option.capex_per_unit:,.6g} {currency} a unit of {devices}")
        left = f", {format_share(option.residual_share)} left" if option.residual_share else ""
        rate = option.discount_rate_per_year
        how = f"capital recovery at {format_share(rate)} a year" if rate else "straight-line"
        parts.append(f"over {option.life_years:g} years{left} ({how})")
    else:
        hours = "under load" if option.billing == UNDER_LOAD else "always"
        parts.append(f"{option.hourly_cost_per_unit:,.6g} {currency} an hour and unit of {devices}")
        parts.append(f"paid {hours}")
    if option.energy_included:
        parts.append("energy in the price")
    else:
        parts.append(f"{option.energy_price_per_kwh:g} {currency} a kWh, PUE {option.pue:g}")
    parts.append(f"{format_share(option.spares_share)} spares, switched off")
    if option.overhead_per_device_month:
        parts.append(f"{option.overhead_per_device_month:g} {currency} a device and month on top")
    if option.declared_load_w is not None:
        idle = option.declared_idle_w
        waits = f", {idle:g} W waiting" if idle is not None else ""
        parts.append(f"declared {option.declared_load_w:g} W under load{waits}")
    if option.declared_other_w:
        parts.append(f"{option.declared_other_w:g} W declared beside it")
    return ", ".join(parts)


def _grouped(number: str) -> str:
    """Return a number with its thousands set apart."""
    whole, point, rest = number.partition(".")
    return f"{int(whole):,}{point}{rest}" if whole.lstrip("-").isdigit() else number
