"""`xbench size`: which small devices hold a load, with what, and how many of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from xbench.cli import options
from xbench.cli.compare import names, shapes
from xbench.cli.options import DEFAULT, QUICK
from xbench.cli.output import Outputs, in_colour, terminal_width, write_file
from xbench.cli.procure import Limit, MostLoad, Rate, parse_rate
from xbench.errors import UsageError
from xbench.plan import Spec
from xbench.units import format_s, parse_duration_s, parse_share

EXAMPLES = """\b
Examples:
  xbench size mobilenet_v2 --slo p99=50ms --rate 30
  xbench size model.onnx --slo p99=50ms --rate 30 --profiles rpi5,n100 --quick
  xbench size model.onnx --slo p95=1s --rate 2 --profiles ./board.toml
  xbench size model.onnx --slo p99=50ms --rate 30 --json - | jq .profiles

\b
No device is at hand. Its answer is one of:
  does not fit      sure: the least that it can take, or its memory, says so
  fits, modelled    by a range, scaled from this host's speed to the device's
  may fit           it depends on where in that range the device lies
  misses, modelled  even at the low end of that range
  fits here, capped a profile without a speed of its own: this host's cores
  unknown           with the reason, and what would tell it

\b
Exit status: 0 some profile fits or may fit; 1 none is known to; 2 wrong usage
or unreadable model; 130 interrupted (what was measured is kept).
"""

TIME_S = 45.0  # of each set of caps: `xbench.sizing.answer.TEMPLATE` has it too

Profiles = Annotated[
    str,
    Option(
        metavar="NAMES",
        help="By commas, as in `xbench profiles`, or TOML files; `all` is every one.",
    ),
]
TimeBudget = Annotated[
    str,
    Option(
        metavar="TIME",
        help="For all backends under one set of caps, of which this host has few; the fastest "
        f"then have what their percentile takes. Default: {format_s(TIME_S)}.",
    ),
]
Precision = Annotated[
    str,
    Option(metavar="NAME", help="What the model's file is converted to: fp32, fp16, bf16, int8."),
]
Quick = Annotated[
    bool,
    Option(
        "--quick",
        help=f"A first look: {QUICK['launches']} launches and {format_s(QUICK['time_budget_s'])} "
        "for all backends under one set of caps; nothing is measured again under a nearer cap, "
        "or as a server.",
    ),
]


def size(
    model: options.RequiredModel,
    slo: Limit,
    rate: Rate,
    profiles: Profiles = "all",
    backends: options.Backends = "all",
    max_load: MostLoad = "80%",
    precision: Precision = DEFAULT.precision,
    shape: options.Shapes = None,
    inputs: options.Inputs = None,
    trust: options.Trust = False,
    seed: options.Seed = DEFAULT.seed,
    time_budget: TimeBudget = "",
    quick: Quick = False,
    out: options.Out = None,
    json: options.Json = "",
    markdown: options.Markdown = "",
    no_progress: options.NoProgress = False,
) -> None:
    """Show which small devices hold a load, with what, and how many.

    Each set of caps is measured once on this host; what a device's own figures rule out is said,
    and its speed is modelled as a range. No number is said to be measured that was not.
    """
    rate_per_s, most_load = parse_rate(rate), parse_share(max_load)
    asked: dict[str, Any] = {
        "model": model,
        "backends": names(backends),
        "precision": precision,
        "shapes": shapes(shape or []),
        "inputs": str(inputs) if inputs else None,
        "trust": trust,
        "seed": seed,
    }
    spec = Spec(**asked)
    spec.check()
    if len(spec.precisions) > 1:
        raise UsageError("a sizing is of one precision", "Run it once for each")
    outputs = Outputs(json=json, markdown=markdown)
    outputs.check()
    from xbench.cli.progress import watched
    from xbench.load.slo import parse_slo
    from xbench.procurement.fleet import Demand
    from xbench.report import sizing as report
    from xbench.report.document import to_text
    from xbench.sizing import answer
    from xbench.sizing.document import to_json
    from xbench.sizing.groups import wanted

    demand = Demand(rate_per_s, parse_slo(slo), most_load)
    with watched(quiet=no_progress) as progress:
        found = answer.size(
            replace(answer.TEMPLATE, **asked, **effort(quick, time_budget)),
            demand,
            wanted(_listed(profiles)),
            out=out,
            progress=progress,
        )
    stream = outputs.stream
    text = report.render(found, width=terminal_width(stream), colour=in_colour(stream))
    documents = {
        "json": lambda: to_text(to_json(found)),
        "markdown": lambda: report.markdown(found),
    }
    if (kept := Path(found.folder)).is_dir():
        write_file(kept / "sizing.json", documents["json"]())
    written = {name: documents[name]() for name in outputs.targets}
    raise typer.Exit(outputs.deliver(text, written, found.exit_status))


def effort(quick: bool, time_budget: str) -> dict[str, Any]:
    """Return how long a set of caps is measured; the machine's limits are always found."""
    given = {"time_budget_s": parse_duration_s(time_budget)} if time_budget else {}
    return {**(QUICK if quick else {}), "quick": quick, "roofline": True, **given}


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
