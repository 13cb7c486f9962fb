"""`xbench verify`: whether what someone published holds on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from xbench.cli import options
from xbench.cli.options import QUICK
from xbench.cli.output import Outputs, in_colour, terminal_width
from xbench.errors import UsageError
from xbench.units import parse_duration_s, parse_share

EXAMPLES = """\b
Examples:
  xbench verify                            # the files that xbench brings
  xbench verify yolo-export-cpu --quick
  xbench verify my-claims.yaml --time-budget 5min --json found.json
  xbench verify my-claims.yaml --only onnx-over-pytorch
  xbench verify my-claims.yaml --list

\b
A file of claims, my-claims.yaml (docs/claims.md has every key):
  schema: 1
  title: ResNet-50 on a desktop
  sources:
    blog:
      title: "Fast inference on CPUs"
      url: https://example.org/fast
      date: 2024-08
      retrieved: 2026-11-26
      hardware: {architecture: x86_64, device: cpu}
      software: {onnxruntime: 1.20.0}
      conditions: [mean of 100 runs, 10 warm-up runs]
  models:
    resnet50:
      published: ResNet-50, trained on ImageNet
      run: resnet50              # a name from `xbench models`, or a file
      rebuilt: [weights]
  claims:
    - id: openvino-over-onnxruntime
      kind: ratio
      baseline: onnxruntime
      candidate: openvino
      figures: {baseline: 32.3 ms, candidate: 31.8 ms}
      tolerance: 25%

\b
held: the whole 95% interval lies within the published figure and its
tolerance; failed: wholly outside; undetermined: neither; not comparable: with
the reason. The same command again reuses what was measured, and goes on where
it was stopped.

\b
Exit status: 0 some claim held, none failed and none is undetermined; 1 not
so; 2 wrong usage or a wrong file; 130 interrupted.
"""

ClaimsPath = Annotated[
    str,
    Argument(metavar="FILE", help="A file of claims, or the name of one that xbench brings."),
]
Only = Annotated[str, Option(metavar="IDS", help="Verify these claims only, by commas.")]
List = Annotated[bool, Option("--list", help="Show the claims of the file, and measure nothing.")]
TimeBudget = Annotated[
    str, Option(metavar="TIME", help="To measure each comparison in, such as 90s or 5min.")
]
PrecisionTarget = Annotated[
    str,
    Option(
        metavar="SHARE",
        help="Stop when every ratio is known to within this. Default: a tenth of the smallest "
        "tolerance, from 1% to 5%.",
    ),
]
Out = Annotated[
    Path | None,
    Option(
        metavar="FOLDER",
        help="Where the run folders of the comparisons are, and are looked for. Default: "
        "verify-FILE in xbench-runs.",
    ),
]


def verify(
    file: ClaimsPath = "",
    only: Only = "",
    list_: List = False,
    quick: options.Quick = False,
    time_budget: TimeBudget = "",
    precision_target: PrecisionTarget = "",
    launches: options.Launches = None,
    out: Out = None,
    json: options.Json = "",
    markdown: options.Markdown = "",
    no_progress: options.NoProgress = False,
) -> None:
    """Rerun a published table, and say which of its claims hold.

    Each claim (a ratio of speeds, an order, an agreement of outputs) is measured on this machine
    by as few comparisons as there can be, and held against the 95% interval.
    """
    effort = _effort(quick, time_budget, precision_target, launches)
    outputs = Outputs(json=json, markdown=markdown)
    outputs.check()
    if not file or list_:
        raise typer.Exit(_show_list(file, outputs))
    from xbench.claims.document import to_json
    from xbench.claims.shelf import find_claims
    from xbench.claims.verify import verify as run_verification
    from xbench.cli.progress import watched
    from xbench.report import claims as report
    from xbench.report.document import to_text

    claims = find_claims(file)
    ids = [name.strip() for name in only.split(",") if name.strip()]
    folder = out or Path("xbench-runs") / f"verify-{claims.name}"
    with watched(quiet=no_progress) as progress:
        found = run_verification(claims, effort, folder, only=ids, progress=progress)
    stream = outputs.stream
    text = report.render(found, width=terminal_width(stream), colour=in_colour(stream))
    documents = {
        "json": lambda: to_text(to_json(found)),
        "markdown": lambda: report.markdown(found),
    }
    written = {name: documents[name]() for name in outputs.targets}
    raise typer.Exit(outputs.deliver(text, written, found.exit_status))


def _show_list(file: str, outputs: Outputs) -> int:
    """Print the claims of a file, or the files that there are."""
    from xbench.claims.shelf import find_claims, shipped
    from xbench.report.claims import render_file, render_list

    if outputs.targets:
        raise UsageError("a list has no document", "Leave out --json and --markdown, or verify")
    stream = outputs.stream
    width, colour = terminal_width(stream), in_colour(stream)
    if file:
        text = render_file(find_claims(file), width=width, colour=colour)
    else:
        text = render_list(shipped(), width=width, colour=colour)
    return outputs.deliver(text, {}, 0)


def _effort(
    quick: bool, time_budget: str, precision_target: str, launches: int | None
) -> dict[str, Any]:
    """Return how long to measure: what was asked for goes before what ``--quick`` means."""
    asked = {
        "time_budget_s": parse_duration_s(time_budget) if time_budget else None,
        "precision_target": parse_share(precision_target) if precision_target else None,
        "launches": launches,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return {"quick": quick, **(QUICK if quick else {}), **given}
