"""`xbench roofline`: what this machine reaches at the most, and what that means for a model."""

from __future__ import annotations

from typing import Annotated

import typer

from xbench.cli import options
from xbench.cli.compare import names, shapes
from xbench.cli.options import DEFAULT
from xbench.cli.output import Outputs, in_colour, terminal_width
from xbench.errors import UsageError
from xbench.plan import Spec
from xbench.units import parse_ints

Precisions = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help="Whose FLOP/s to find, by commas. NumPy knows fp32 in seconds; of fp16, bf16 and int8 "
        "each installed backend is asked while ten seconds last.",
    ),
]
Askable = Annotated[
    str,
    typer.Option(metavar="NAMES", help="Whom to ask besides NumPy, by commas; `none` asks nobody."),
]
NOBODY = "none"

EXAMPLES = """\b
Examples:
  xbench roofline
  xbench roofline resnet50 --threads 1
  xbench roofline model.onnx --batch 8 --precision fp32,bf16,int8
  xbench roofline --json - | jq .ceilings.bandwidth.per_s

\b
A limit is the best of several tries of the best tool at hand; spread is how
far its middle try lay below. Above the ridge, in FLOP a byte, FLOP/s bind.

\b
Exit status: 0 every limit was found; 1 some limit was not; 2 wrong usage or
unreadable model; 130 interrupted.
"""


def roofline(
    model: options.Model = "",
    threads: options.Threads = None,
    device: options.Device = DEFAULT.device,
    precision: Precisions = DEFAULT.precision,
    backends: Askable = "all",
    batch: options.OneBatch = "",
    shape: options.Shapes = None,
    json: options.Json = "",
    no_progress: options.NoProgress = False,
) -> None:
    """Find what this machine reaches at the most, in seconds.

    That is its FLOP/s and its memory bandwidth, measured under the caps that a row has. With a
    MODEL it tells the least latency that these allow, and which of the two binds it.
    """
    spec = Spec(model=model, precision=precision)
    spec.check()
    sizes = parse_ints(batch) if batch else ()
    if len(sizes) > 1:
        raise UsageError("a floor is told of one batch size", "Run it once for each")
    wanted = names(backends)
    lengths = shapes(shape or [])
    if (sizes or lengths) and not model:
        raise UsageError("--batch and --shape are of a model", "Give one before them")
    outputs = Outputs(json=json)
    outputs.check()
    from xbench.cli.progress import watched
    from xbench.report.document import to_text
    from xbench.report.outlook import render
    from xbench.roofline import outlook  # heavy: once the arguments are known good

    with watched(quiet=no_progress) as progress:
        found = outlook.outlook(
            model or None,
            threads=threads,
            device=device,
            precisions=spec.precisions,
            backends=() if wanted == (NOBODY,) else wanted,
            batch=sizes[0] if sizes else None,
            shapes=lengths,
            progress=progress,
        )
    stream = outputs.stream
    text = render(found, width=terminal_width(stream), colour=in_colour(stream))
    documents = {name: to_text(found.to_json()) for name in outputs.targets}
    raise typer.Exit(outputs.deliver(text, documents, found.exit_status))
