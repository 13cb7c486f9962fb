"""`xbench inspect`: what a model file holds and costs, and which backends take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from xbench.cli import options
from xbench.cli.compare import names, shapes
from xbench.cli.options import DEFAULT
from xbench.cli.output import Outputs, in_colour, terminal_width
from xbench.errors import UsageError
from xbench.units import parse_duration_s, parse_ints

if TYPE_CHECKING:
    from xbench.inspection import Inspection

NO_BACKEND = "none"

EXAMPLES = """\b
Examples:
  xbench inspect mobilenet_v2
  xbench inspect model.onnx --backends none
  xbench inspect model.onnx --shape tokens=1x128 --backends pytorch,openvino
  xbench inspect model.onnx --json - | jq '.nodes[] | select(.flops > 1e8)'
  xbench inspect model.onnx --json - | jq '.backends[].node'

\b
FLOP are two for each multiply-add of what contracts (convolutions, matrix
products, recurrent cells, attention); bytes are inputs, weights and outputs
of each node. What depends on data is ?, and null in the JSON; never 0.

\b
Exit status: 0 every backend takes the model; 1 some backend does not;
2 wrong usage or unreadable model; 130 interrupted.
"""


def inspect(
    model: options.RequiredModel,
    backends: options.Asked = "all",
    device: options.Device = DEFAULT.device,
    batch: options.OneBatch = "",
    shape: options.Shapes = None,
    inputs: options.ExampleInputs = None,
    trust: options.Trust = False,
    timeout: options.Timeout = "",
    json: options.Json = "",
    no_progress: options.NoProgress = False,
) -> None:
    """Show what a model holds, costs, and which backends take it.

    It lists inputs and outputs, operators and their versions, parameters, operations and bytes
    of one inference, and for a backend that cannot run the model the node that stops it. Each
    backend is asked in a process of its own; nothing is measured.
    """
    wanted = names(backends)
    sizes = parse_ints(batch) if batch else ()
    if len(sizes) > 1:
        raise UsageError("a model is inspected at one batch size", "Run it once for each")
    lengths = shapes(shape or [])
    timeout_s = parse_duration_s(timeout) if timeout else DEFAULT.timeout_s
    outputs = Outputs(json=json)
    outputs.check()
    from xbench.cli.progress import watched
    from xbench.inspection import inspect as run_inspection  # heavy: once the arguments are good
    from xbench.source import Terms

    with watched(quiet=no_progress) as progress:
        found = run_inspection(
            model,
            () if wanted == (NO_BACKEND,) else wanted,
            device=device,
            batch=sizes[0] if sizes else None,
            shapes=lengths,
            timeout_s=timeout_s,
            terms=Terms(trusted=trust, shapes=lengths, inputs=inputs),
            progress=progress,
        )
    raise typer.Exit(_show(found, outputs))


def _show(found: Inspection, outputs: Outputs) -> int:
    """Print the findings, write the document and return the exit status."""
    from xbench.report.document import to_text
    from xbench.report.inspection import render

    stream = outputs.stream
    text = render(found, width=terminal_width(stream), colour=in_colour(stream))
    documents = {name: to_text(found.to_json()) for name in outputs.targets}
    return outputs.deliver(text, documents, found.exit_status)
