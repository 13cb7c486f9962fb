"""The whole answer: quotes in the order of their cost, who wins, what ties, what was refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from shlex import quote

from xbench.errors import UnknownNameError, UsageError
from xbench.procurement.breakeven import BreakEven, break_even
from xbench.procurement.costs import SECONDS_PER_YEAR
from xbench.procurement.evidence import Evidence, Row
from xbench.procurement.fleet import Demand
from xbench.procurement.pareto import cheapest, front, tied
from xbench.procurement.power import exact
from xbench.procurement.prices import Prices
from xbench.procurement.quotes import Quote, Refusal, offers
from xbench.result import Interval

CHEAPEST, TIE, DEARER = "cheapest", "tie", "dearer"


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where the cheapest option that is bought and the cheapest that is rented cost the same."""

    bought: Quote
    rented: Quote
    break_even: BreakEven


@dataclass(frozen=True, slots=True, kw_only=True)
class Procurement:
    """All that there is to say.

    Attributes:
        today: When it was worked out.
        inferences_per_year: The rate times the seconds of the year under load.
        quotes: In the order of their cost per million inferences.
        refusals: Rows without a price, in the order of the runs.
        meeting: None where nothing is bought, or nothing rented.
    """

    demand: Demand
    prices: Prices
    today: date
    evidence: tuple[Evidence, ...]
    inferences_per_year: float
    quotes: tuple[Quote, ...]
    refusals: tuple[Refusal, ...]
    meeting: Meeting | None


def procure(
    evidence: Sequence[Evidence], prices: Prices, demand: Demand, today: date
) -> Procurement:
    """Return what each row costs for a demand, and why others have no price.

    Raises:
        UsageError: If the runs are not of one model, or name an option that the file lacks.
    """
    _check(evidence, prices)
    volume = demand.rate_per_s * prices.utilisation_share * SECONDS_PER_YEAR
    named = [(row, name) for one in evidence for row, name in _named(one, evidence)]
    found = [one for row, name in named for one in offers(row, name, prices, demand, volume)]
    quotes = [one for one in found if isinstance(one, Quote)]
    judged = _judged(sorted(quotes, key=lambda one: one.cost_per_million.value))
    return Procurement(
        demand=demand,
        prices=prices,
        today=today,
        evidence=tuple(evidence),
        inferences_per_year=volume,
        quotes=judged,
        refusals=tuple(one for one in found if isinstance(one, Refusal)),
        meeting=_meeting(judged, volume / prices.utilisation_share),
    )


def _check(evidence: Sequence[Evidence], prices: Prices) -> None:
    if not evidence:
        raise UsageError("there is no run to price", "Name one: a run folder of `xbench compare`")
    models = {one.model_sha256: f"{one.model} ({one.path})" for one in evidence}
    if len(models) > 1:
        found = " and ".join(list(models.values())[:2])
        raise UsageError(f"the runs are of different models: {found}", "Give runs of one model")
    known = tuple(option.name for option in prices.options)
    for label in sorted({row.label for one in evidence for row in one.rows if row.label}):
        if label not in known:
            raise UnknownNameError("option", label, known, f"grep options {quote(prices.path)}")


def _named(one: Evidence, evidence: Sequence[Evidence]) -> list[tuple[Row, str]]:
    """Return the rows of a run, each with what tells it from all others and no more."""
    rows = [row for other in evidence for row in other.rows]
    differ: list[tuple[bool, Callable[[Row], str]]] = [
        (len({row.batch for row in rows}) > 1, lambda row: f"batch {row.batch}"),
        (len(set(map(_scenario_text, rows))) > 1, _scenario_text),
        ([other.host_id for other in evidence].count(one.host_id) > 1, lambda row: row.run),
    ]
    return [
        (row, ", ".join([row.name, *(told(row) for apart, told in differ if apart)]))
        for row in one.rows
    ]


def _scenario_text(row: Row) -> str:
    """Return how a row was asked; the rate that a search found has more digits than tell."""
    rate_per_s = float(f"{row.scenario.rate_per_s:.5g}")
    return str(replace(row.scenario, rate_per_s=rate_per_s))


def _judged(quotes: Sequence[Quote]) -> tuple[Quote, ...]:
    """Return the quotes with a verdict each, and whether they are on the fronts."""
    costs = [one.cost_per_million for one in quotes]
    best, *ties = cheapest(costs) or (None,)
    verdicts = {best: TIE if ties else CHEAPEST} | dict.fromkeys(ties, TIE)
    latency = _on_front(
        [(cost, one.fleet.latency_s) for cost, one in zip(costs, quotes, strict=True)]
    )
    losses = [None if one.row.loss is None else exact(one.row.loss) for one in quotes]
    loss = _on_front(list(zip(costs, losses, strict=True)))
    return tuple(
        replace(
            one,
            verdict=verdicts.get(place, DEARER),
            on_latency_front=latency[place],
            on_loss_front=loss[place],
        )
        for place, one in enumerate(quotes)
    )


def _on_front(points: Sequence[tuple[Interval, Interval | None]]) -> list[bool | None]:
    """Return for each point whether it is on the front; None for one that lacks a figure."""
    known = [place for place, (_, second) in enumerate(points) if second is not None]
    on_front = front([(points[i][0], points[i][1] or exact(0.0)) for i in known])
    found = dict(zip(known, on_front, strict=True))
    return [found.get(place) for place in range(len(points))]


def _meeting(quotes: Sequence[Quote], most: float) -> Meeting | None:
    """Return where the cheapest bought and the cheapest rented meet; of one row where that ties."""
    bought = next((one for one in quotes if one.option.bought), None)
    rented = [one for one in quotes if not one.option.bought]
    if bought is None or not rented:
        return None
    equals = [one for one in rented if tied(one.cost_per_million, rented[0].cost_per_million)]
    same = [one for one in equals if one.row_name == bought.row_name]
    other = (same or rented)[0]
    return Meeting(bought, other, break_even(bought.costs, other.costs, most))
