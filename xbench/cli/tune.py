"""`xbench tune`: the best configuration under limits, without trying everything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from xbench.cli import options
from xbench.cli.compare import names, shapes
from xbench.cli.output import Outputs, in_colour, terminal_width
from xbench.errors import UsageError
from xbench.plan import PRECISIONS, Spec
from xbench.units import format_s, parse_bytes, parse_duration_s, parse_ints

if TYPE_CHECKING:
    from xbench.tuning.goal import Goal as Wanted
    from xbench.tuning.request import Request

BUDGET_S = 180.0
GOALS = ("throughput", "latency")

EXAMPLES = """\b
Examples:
  xbench tune mobilenet_v2
  xbench tune mobilenet_v2 --slo p99=20ms --memory 500MB
  xbench tune model.onnx --backends onnxruntime,openvino --batch 1,2,4,8
  xbench tune model.onnx --goal latency --threads 1,2,4
  xbench tune lstm_tagger --profile rpi4b --threads 1,2 --json -

\b
Exit status: 0 there is a winner; 1 none keeps all limits; 2 wrong usage or
unreadable model; 130 interrupted (the best so far is shown).
"""

Backends = Annotated[
    str,
    Option(
        metavar="NAMES",
        help="Names by commas, as in `xbench backends`; `all` is every backend, `all+` every "
        "variant too.",
    ),
]
Precision = Annotated[
    str,
    Option(
        metavar="NAME",
        help=f"One of {', '.join(PRECISIONS)}. At fp16, bf16 and int8 the model's file is "
        "converted, once.",
    ),
]
Goal = Annotated[
    str,
    Option(metavar="NAME", help="throughput (inferences a second) or latency (p50 of one)."),
]
Limit = Annotated[
    str,
    Option(
        metavar="LIMIT",
        help="What the latency of one inference, of its whole batch, must keep, such as p99=20ms.",
    ),
]
Memory = Annotated[
    str, Option(metavar="SIZE", help="The most that a worker may hold, such as 2GB.")
]
Threads = Annotated[
    str,
    Option(metavar="LIST", help="Of one inference, such as 1,2. Default: powers of two, all CPUs."),
]
Batches = Annotated[
    str, Option(metavar="LIST", help="Such as 1,2,4. Default: 1 to 32, if the model's is open.")
]
Streams = Annotated[
    str, Option(metavar="LIST", help="Inferences at once, such as 1,2, each with its threads.")
]
Time = Annotated[
    str,
    Option(metavar="TIME", help=f"To search in, such as 3min. Default: {format_s(BUDGET_S)}."),
]


def tune(
    model: options.RequiredModel,
    backends: Backends = "all",
    slo: Limit = "",
    memory: Memory = "",
    goal: Goal = "throughput",
    threads: Threads = "",
    batch: Batches = "",
    streams: Streams = "",
    device: options.Device = "cpu",
    shape: options.Shapes = None,
    profile: options.Profile = None,
    precision: Precision = "fp32",
    time_budget: Time = "",
    timeout: options.Timeout = "",
    seed: options.Seed = 0,
    inputs: options.Inputs = None,
    calibration: options.Calibration = None,
    trust: options.Trust = False,
    out: options.Out = None,
    json: options.Json = "",
    no_progress: options.NoProgress = False,
) -> None:
    """Find the best backend, threads and batch under limits.

    Every configuration gets a short look at most; those that surely lose, break a limit or cannot
    reach the best are dropped, and full effort is spent on the few that are left. Equals are told
    as a tie, of which the one with the fewest threads and the smallest batch is chosen.
    """
    spec = Spec(
        model=model,
        backends=names(backends),
        device=device,
        batches=parse_ints(batch) if batch else (),
        shapes=shapes(shape or []),
        profile=profile,
        precision=precision,
        timeout_s=parse_duration_s(timeout) if timeout else options.DEFAULT.timeout_s,
        seed=seed,
        inputs=str(inputs) if inputs else None,
        calibration=str(calibration) if calibration else None,
        trust=trust,
    )
    own, at_once = (parse_ints(text) if text else () for text in (threads, streams))
    budget_s = parse_duration_s(time_budget) if time_budget else BUDGET_S
    outputs = Outputs(json=json)
    outputs.check()
    wanted = _goal(goal, slo, memory)
    from xbench.tuning.request import Request
    from xbench.tuning.search import Effort

    effort = Effort(time_budget_s=budget_s)
    request = Request(spec=spec, goal=wanted, threads=own, streams=at_once, effort=effort)
    raise typer.Exit(_search(request, out, outputs, quiet=no_progress))


def _goal(goal: str, slo: str, memory: str) -> Wanted:
    """Return what is searched for."""
    if goal not in GOALS:
        raise UsageError(f"there is no goal {goal[:40]!r}", f"There are {' and '.join(GOALS)}")
    memory_bytes = parse_bytes(memory) if memory else None
    from xbench.load.slo import parse_slo
    from xbench.tuning.goal import Aim
    from xbench.tuning.goal import Goal as Wanted

    return Wanted(Aim(goal), parse_slo(slo) if slo else None, memory_bytes)


def _search(request: Request, out: Path | None, outputs: Outputs, *, quiet: bool) -> int:
    """Run the search, show it and return the exit status."""
    from xbench.cli.progress import watched
    from xbench.report import tuning as report
    from xbench.report.document import to_text
    from xbench.tuning.document import to_json
    from xbench.tuning.run import tune as search

    with watched(quiet=quiet) as progress:
        found = search(request, out=out, progress=progress)
    stream = outputs.stream
    text = report.render(found, width=terminal_width(stream), colour=in_colour(stream))
    documents = {name: to_text(to_json(found)) for name in outputs.targets}
    return outputs.deliver(text, documents, found.exit_status)
