"""`xbench export`: a known architecture, or your own, as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xbench.cli.output import NO_PROGRESS_HELP


def export(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A name from `xbench models`, or module:factory; the factory returns a "
            "torch.nn.Module and its example inputs.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The .onnx file to write.")
    ],
    no_progress: Annotated[
        bool, typer.Option("--no-progress", "-q", "--quiet", help=NO_PROGRESS_HELP)
    ] = False,
) -> None:
    """Build a model with seeded weights and write it as ONNX."""
    from xbench.catalog import export as export_model
    from xbench.cli.progress import watched

    with watched(quiet=no_progress) as progress:
        written = export_model(target, out, progress)
    print(written)
