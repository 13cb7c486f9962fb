"""`xbench baseline`: the run that later ones of its model and host are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from xbench.cli.diff import STORE, Store
from xbench.errors import UsageError
from xbench.report.text import clean

if TYPE_CHECKING:
    from xbench.difference.baseline import Baseline

EXAMPLES = """\b
Examples:
  xbench baseline set 20260101-120000-resnet50
  xbench baseline show
  xbench diff baseline 20260102-120000-resnet50 --fail-if slower=5%
  xbench baseline clear 20260101-120000-resnet50
  xbench baseline clear --all

\b
There is one for each model (by its hash) on each host: setting another takes
its place. `xbench diff baseline RUN` finds the one of RUN's model and host.
"""

SetRun = Annotated[
    str,
    Argument(metavar="RUN", help="A run folder, a document of --json, or a name in the store."),
]
ClearRun = Annotated[
    str, Argument(metavar="RUN", help="The id of one, as `show` lists it.", show_default=False)
]
All = Annotated[bool, Option("--all", help="Take all of them back.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Set, show or clear what later runs are held against.",
    epilog=EXAMPLES,
)


@app.command("set")
def set_(run: SetRun, store: Store = STORE) -> None:
    """Hold later runs of this model on this host against RUN."""
    from time import time

    from xbench.difference.baseline import set_baseline
    from xbench.difference.stored import opened, read_side
    from xbench.units import utc_text

    made = set_baseline(store, read_side(run, opened(store)), utc_text(time()))
    print(f"Later runs of {clean(made.model)} on this host are held against {clean(made.run)}.")


@app.command()
def show(store: Store = STORE) -> None:
    """List the baselines: run, model, host, and when each was set."""
    from xbench.difference.baseline import SET, read_baselines

    known = read_baselines(store)
    if not known:
        print(f"No baseline is set in {clean(store)}. {SET}.")
    for one in known:
        print(_line(one))


@app.command()
def clear(run: ClearRun = "", every: All = False, store: Store = STORE) -> None:
    """Take back the baseline RUN, or --all."""
    from xbench.difference.baseline import clear_baselines

    if bool(run) == every:
        fix = "`xbench baseline show` lists them"
        raise UsageError("name one run, or --all", fix)
    for one in clear_baselines(store, None if every else run):
        print(f"{clean(one.run)} is no baseline any more.")


def _line(one: Baseline) -> str:
    host = one.host_id or "an unknown host"
    model = f"{clean(one.model)} ({one.model_sha256[:12]})"
    return f"{clean(one.run)}\n    {model} on {clean(host)}, set {clean(one.set_at)}"
