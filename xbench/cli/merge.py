"""`xbench merge`: runs of other machines, from bundles, into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from xbench.report.text import clean, sentence

EXAMPLES = """\b
Examples:
  xbench merge edge-box.zip cloud.zip
  xbench merge *.zip --into all-runs
  xbench history --store all-runs

\b
Every file is compared with its hash before its run appears. A run that is
there already is left alone; another one of the same name gets a number.

\b
Exit status: 0 every run is there now; 1 some could not be taken over; 2 wrong
usage, or a file that is no bundle.
"""

Bundles = Annotated[
    list[Path],
    Argument(metavar="BUNDLE...", help="Files of `xbench bundle`.", show_default=False),
]
Into = Annotated[Path, Option(metavar="FOLDER", help="Where the runs go; made if need be.")]


def merge(bundles: Bundles, into: Into = Path("xbench-runs")) -> None:
    """Take runs out of bundles, of any machine, into one store."""
    from xbench.archive.merge import Outcome
    from xbench.archive.merge import merge as take

    counts = dict.fromkeys(Outcome, 0)
    for one in take(bundles, into):
        counts[one.outcome] += 1
        if one.outcome is Outcome.RENAMED and one.folder is not None:
            print(f"{clean(one.name)} is {clean(one.folder)} here: another run has its name.")
        if one.outcome is Outcome.REFUSED:
            print(f"{clean(one.bundle)}: {clean(one.name)} was refused: {sentence(one.reason)}")
    new = counts[Outcome.ADDED] + counts[Outcome.RENAMED]
    parts = [f"{new} run{'s' * (new != 1)} added to {clean(into)}"]
    parts += [f"{counts[Outcome.THERE]} already there"] if counts[Outcome.THERE] else []
    parts += [f"{counts[Outcome.REFUSED]} refused"] if counts[Outcome.REFUSED] else []
    print(f"{', '.join(parts)}.")
    raise typer.Exit(1 if counts[Outcome.REFUSED] else 0)
