"""`xbench bundle`: runs in one file, to be carried to another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from xbench.report.text import clean, sentence
from xbench.units import format_bytes

EXAMPLES = """\b
Examples:
  xbench bundle xbench-runs/20260131-091500-resnet50 -o resnet50.zip
  xbench bundle xbench-runs -o edge-box.zip       # every run of this machine
  xbench merge edge-box.zip cloud.zip             # on another one

\b
The file is an ordinary ZIP with the run folders as they are, their logs too,
and a list of hashes that `xbench merge` checks. The same runs make the same
file, byte for byte.
"""

Runs = Annotated[
    list[Path],
    Argument(
        metavar="RUN...", help="Run folders, or folders that they are in.", show_default=False
    ),
]
Target = Annotated[Path, Option("--out", "-o", metavar="FILE", help="The file to write.")]


def bundle(runs: Runs, out: Target) -> None:
    """Put runs into one file that can be carried to another machine."""
    from xbench.archive.bundle import bundle as write

    written = write(runs, out)
    count = len(written.runs)
    files = sum(len(run.files) for run in written.runs)
    print(
        f"{clean(out)}: {count} run{'s' * (count != 1)}, {files} files, "
        f"{format_bytes(written.bytes)}"
    )
    for finding in written.findings:
        print(f"  {clean(finding.folder / finding.file)}  {sentence(finding.what)}")
    if written.findings:
        print("  It went along as it is.")
    raise typer.Exit(0)
