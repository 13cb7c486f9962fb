"""`xbench procure`: how many devices a load takes, what they cost, and which to buy."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from xbench.cli import options
from xbench.cli.output import Outputs, in_colour, terminal_width
from xbench.errors import UsageError
from xbench.units import NUMBER, parse_share

MOST_PER_S, LEAST_PER_S = 1e9, 1e-6

EXAMPLES = """\b
Examples:
  xbench procure xbench-runs/A xbench-runs/B --prices prices.toml \\
    --rate 200 --slo p99=50ms
  xbench procure A=edge-box A=cloud --prices prices.toml --rate 30 --json -

\b
A price file, prices.toml (docs/prices-example.toml has every key, explained):
  currency = "EUR"
  date = 2026-01-31                # the day of these prices
  utilisation_share = 0.4          # of the year, the load is there
  [defaults]
  energy_price_per_kwh = 0.25
  pue = 1.3
  [options.edge-box]
  match_host_id = "0123456789ab"   # "host_id" in a run's result.json
  capex_per_unit = 900.0
  life_years = 4
  [options.cloud]
  match_device_model = "*A100*"    # as `xbench devices` names it
  hourly_cost_per_unit = 2.10
  energy_included = true

\b
RUN=NAME prices a whole run by the option of that name, whatever it matches.
A row that is not ranked, whose outputs do not agree, or whose energy nobody
measured has no price: declared_load_w in its option declares its watts.

\b
Exit status: 0 a row has a price; 1 none has; 2 wrong usage or a wrong file.
"""

Runs = Annotated[
    list[str],
    Argument(
        metavar="RUN...",
        help="Run folders of `xbench compare`, or documents of its --json, all of one model; "
        "RUN=NAME names the option of the price file.",
    ),
]
PriceFile = Annotated[Path, Option(metavar="FILE", help="Your prices, in TOML: see below.")]
Rate = Annotated[str, Option(metavar="N", help="Inferences a second while the load is there.")]
Limit = Annotated[
    str,
    Option(
        metavar="LIMIT",
        help="What latency must keep, from a request's arrival to its answer, such as p99=50ms.",
    ),
]
MostLoad = Annotated[
    str, Option(metavar="SHARE", help="Most of its throughput that a device is asked for.")
]


def procure(
    runs: Runs,
    prices: PriceFile,
    rate: Rate,
    slo: Limit = "",
    max_load: MostLoad = "80%",
    json: options.Json = "",
    markdown: options.Markdown = "",
) -> None:
    """Show how many devices a load takes, and which cost least.

    Rows of measured runs are put together with the prices of a file: devices, cost per million
    inferences, inferences per joule, break-even, and who is beaten by nobody. Intervals are
    carried through, and where they overlap it is a tie.
    """
    rate_per_s, most_load = parse_rate(rate), parse_share(max_load)
    outputs = Outputs(json=json, markdown=markdown)
    outputs.check()
    from xbench.load.slo import parse_slo
    from xbench.procurement.answer import procure as answer
    from xbench.procurement.document import to_json
    from xbench.procurement.evidence import read_evidence
    from xbench.procurement.fleet import Demand
    from xbench.procurement.prices import read_prices
    from xbench.report import procurement as report
    from xbench.report.document import to_text

    demand = Demand(rate_per_s, parse_slo(slo) if slo else None, most_load)
    today = date.today()  # where the user is: prices of today are not of the future
    paid = read_prices(prices, today)
    found = answer([read_evidence(*split(one)) for one in runs], paid, demand, today)
    stream = outputs.stream
    text = report.render(found, width=terminal_width(stream), colour=in_colour(stream))
    documents = {
        "json": lambda: to_text(to_json(found)),
        "markdown": lambda: report.markdown(found),
    }
    written = {name: documents[name]() for name in outputs.targets}
    raise typer.Exit(outputs.deliver(text, written, 0 if found.quotes else 1))


def parse_rate(text: str) -> float:
    """Return inferences a second, from ``200`` or ``200/s``.

    Raises:
        UsageError: If it is no such number.
    """
    number = text.strip().removesuffix("/s").rstrip()
    rate_per_s = float(number) if re.fullmatch(NUMBER, number) else 0.0
    if not LEAST_PER_S <= rate_per_s <= MOST_PER_S:
        fix = "Write inferences a second, such as 200"
        raise UsageError(f"{text[:40]!r} is not a rate", fix)
    return rate_per_s


def split(text: str) -> tuple[Path, str | None]:
    """Return a run's path and its option, from ``RUN=NAME``; a path that is there has no name."""
    if Path(text).exists():
        return Path(text), None
    path, equals, name = text.rpartition("=")  # the last: a path may hold one too
    return (Path(path), name) if equals and path and name else (Path(text), None)
