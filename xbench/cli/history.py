"""`xbench history`: what was measured here before, listed and filtered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from xbench.cli import options
from xbench.cli.output import Outputs, in_colour, terminal_width
from xbench.units import parse_ints

SHOWN = 50

EXAMPLES = """\b
Examples:
  xbench history
  xbench history --model mobilenet --backend openvino,pytorch --since 7d
  xbench history --status crashed,timeout,oom_host
  xbench history --host 68ea5e --batch 8 --csv cells.csv
  xbench history --status unfinished,damaged      # runs that have no rows
  xbench history --check                          # read every file again

\b
Run folders are the truth: what is listed is read from an index beside them
(xbench-runs/.index.sqlite), which follows them by itself and can be deleted.
A file that is not what was written is moved into RUN/quarantine with the
reason, and what was found is said at the end.

\b
Exit status: 0 something is listed; 1 nothing is, or --check found damage;
2 wrong usage.
"""

Model = Annotated[str, Option(metavar="NAMES", help="Parts of names, or the start of a SHA-256.")]
Backend = Annotated[
    str, Option(metavar="NAMES", help="By commas; pytorch is its variants too, * is anything.")
]
Host = Annotated[
    str, Option(metavar="NAMES", help="Starts of host ids, or parts of the CPU's name.")
]
Device = Annotated[str, Option(metavar="NAMES", help="Such as cuda:0, or a part of its model.")]
Status = Annotated[
    str,
    Option(
        metavar="NAMES",
        help="Of cells: ok, crashed, timeout and others; or of runs: finished, interrupted, "
        "unfinished, running, damaged.",
    ),
]
Precision = Annotated[str, Option(metavar="NAMES", help="Such as fp32,int8.")]
Scenario = Annotated[str, Option(metavar="NAMES", help="Such as offline; server is every rate.")]
Batch = Annotated[str, Option(metavar="SIZES", help="Such as 1,8.")]
Moment = Annotated[
    str, Option(metavar="WHEN", help="A day such as 2026-01-31, or how long ago, such as 7d.")
]
Run = Annotated[str, Option(metavar="NAMES", help="Names of runs; * is anything.")]
Limit = Annotated[int, Option(metavar="N", min=0, help="Most cells to show; 0 is all.")]
Store = Annotated[Path, Option(metavar="FOLDER", help="Where the run folders are.")]
Check = Annotated[
    bool, Option("--check", help="Read every file again, and compare it with its hash.")
]


def history(
    model: Model = "",
    backend: Backend = "",
    host: Host = "",
    device: Device = "",
    status: Status = "",
    precision: Precision = "",
    scenario: Scenario = "",
    batch: Batch = "",
    since: Moment = "",
    until: Moment = "",
    run: Run = "",
    limit: Limit = SHOWN,
    store: Store = Path("xbench-runs"),
    check: Check = False,
    json: options.Json = "",
    csv: options.Csv = "",
) -> None:
    """List what was measured before, newest first, as asked for.

    Everything that options name must hold of a cell; of the words of one option, any.
    """
    outputs = Outputs(json=json, csv=csv)
    outputs.check()
    from xbench.archive.history import look, to_json
    from xbench.archive.index import Index
    from xbench.archive.query import Query, parse_moment
    from xbench.report import history as report
    from xbench.report.document import to_text

    query = Query(
        model=model,
        backend=backend,
        host=host,
        device=device,
        status=status,
        precision=precision,
        scenario=scenario,
        batch=parse_ints(batch) if batch else (),
        since=parse_moment(since) if since else "",
        until=parse_moment(until) if until else "",
        run=run,
        limit=limit,
    )
    found = look(Index.open(store, rebuild=check, deep=check), query)
    stream = outputs.stream
    text = report.render(found, width=terminal_width(stream), colour=in_colour(stream))
    documents = {"json": lambda: to_text(to_json(found)), "csv": lambda: report.csv(found)}
    written = {name: documents[name]() for name in outputs.targets}
    nothing = not (found.cells or found.runs)
    raise typer.Exit(outputs.deliver(text, written, int(nothing or (check and found.damaged))))
