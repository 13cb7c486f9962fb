"""What a reader has to know beside the numbers: doubts about rows, and about comparing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xbench.load.scenario import CONSTANT, Kind
from xbench.procurement.answer import Procurement
from xbench.procurement.evidence import Evidence
from xbench.procurement.fleet import MEASURED
from xbench.procurement.power import DECLARED, UNKNOWN_IDLE
from xbench.procurement.quotes import Quote

OLD_DAYS = 365


def doubts(found: Procurement) -> tuple[str, ...]:
    """Return a sentence for each doubt: of all first, then of quotes, which share theirs."""
    priced = {quote.row.run for quote in found.quotes}
    runs = [one for one in found.evidence if one.run in priced]
    shared: dict[str, list[str]] = {}
    for quote in found.quotes:
        for text in _of(quote):
            shared.setdefault(text, []).append(quote.name)
    own = (f"{'; '.join(names)}: {text}" for text, names in shared.items())
    return (*_prices(found), *_across(runs, found.quotes), *own)


def _prices(found: Procurement) -> Iterator[str]:
    age_days = (found.today - found.prices.dated).days
    if age_days > OLD_DAYS:
        yield f"the prices are {age_days} days old"


def _across(runs: Iterable[Evidence], quotes: Iterable[Quote]) -> Iterator[str]:
    """Yield in what the runs differ that ought to be alike."""
    runs = list(runs)
    if len({one.run for one in runs}) > 1:
        yield (
            "rows of different runs were not interleaved: only their intervals compare them,"
            " and what disturbed one run is in its rows alone"
        )
    if len({quote.row.boundary for quote in quotes}) > 1:
        yield "rows differ in their timing boundary: `host` has the copies in it, others do not"
    if len({one.shapes for one in runs}) > 1:
        yield "runs differ in the shapes of their inputs"
    for name in sorted({name for one in runs for name in one.conditions}):
        told = sorted({one.conditions[name] for one in runs if name in one.conditions})
        if len(told) > 1:
            yield f"runs differ in {name}: {', '.join(told)}"
    for one in runs:
        if one.cautions:
            yield f"{one.path}: the run itself cautions: {', '.join(one.cautions)}"


def _of(quote: Quote) -> Iterator[str]:
    """Yield the doubts about one quote."""
    row, power = quote.row, quote.power
    if power.label == DECLARED:
        yield "its watts were declared in the price file, not measured"
    if power.idle == UNKNOWN_IDLE:
        yield (
            "nobody told what it draws while it waits: taken as under load, and from"
            " nothing to that in the interval"
        )
    if (
        row.energy.per_inference_j
        and power.label == row.energy.label
        and row.energy.scope != "platform"
    ):
        yield (
            f"its joules are those of the {row.energy.scope} alone;"
            " what else the machine draws is in declared_other_w, or in no price"
        )
    streams = row.scenario.streams
    if row.threads and row.cores and (used := row.threads * streams) < row.cores:
        at_once = "one inference" if streams == 1 else f"{streams} inferences"
        yield (
            f"used {used} of {row.cores} cores; a device is counted as {at_once}"
            " at a time, the rest of it is paid and idle"
        )
    if quote.fleet.evidence == MEASURED and row.scenario.arrivals == CONSTANT:
        yield "its requests came at constant intervals; real ones come in bursts"
    if row.scenario.kind is Kind.SUSTAINED:
        yield "sustained: its latency is that of the whole time, cold or hot"
    if row.cautions:
        yield f"its own run cautions: {', '.join(row.cautions)}"
