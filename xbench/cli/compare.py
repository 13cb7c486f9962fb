"""`xbench compare`: from the options to the table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from xbench.cli.output import CSV_HELP, JSON_HELP, MARKDOWN_HELP, NO_PROGRESS_HELP, Outputs
from xbench.errors import UsageError
from xbench.plan import Spec
from xbench.units import (
    format_s,
    parse_duration_s,
    parse_ints,
    parse_shape,
    parse_share,
)

DEFAULT = Spec(model="")
QUICK: Mapping[str, Any] = {"launches": 2, "time_budget_s": 22.0, "precision_target": 0.05}
PRECISIONS = ("fp32",)

EXAMPLES = """\b
Examples:
  xbench compare mobilenet_v2
  xbench compare model.onnx --backends onnxruntime,pytorch:compile --threads 2
  xbench compare model.onnx --shape tokens=1x128 --batch 1,8 --csv rows.csv
  xbench compare model.onnx --json - | jq .comparisons
  xbench compare --resume xbench-runs/20260101-120000-model

\b
Exit status: 0 every row ok; 1 some row not; 2 wrong usage or unreadable model;
130 interrupted (what was measured is kept).
"""


def compare(
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help="An .onnx file, or a name from `xbench models`.",
            show_default=False,
        ),
    ] = "",
    backends: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Names by commas, as in `xbench backends`; the first is the baseline. "
            "`all`: every backend; `all+`: every variant too.",
        ),
    ] = "all",
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu or cuda:0.")] = DEFAULT.device,
    batch: Annotated[
        str,
        typer.Option(
            metavar="SIZES", help="Batch sizes by commas. Default: the model's own, or 1."
        ),
    ] = "",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHAPE", help="Shape of an input, NAME=1x3x224x224; once for each input."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="For one inference. Default: one a physical core."),
    ] = None,
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="Only fp32 so far.")
    ] = DEFAULT.precision,
    launches: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help=f"Most processes to start a row. Default: {DEFAULT.launches}."
        ),
    ] = None,
    precision_target: Annotated[
        str,
        typer.Option(
            metavar="SHARE",
            help="Stop when every ratio is known to within this. "
            f"Default: {DEFAULT.precision_target:.0%}.",
        ),
    ] = "",
    time_budget: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Time to measure, such as 90s or 5min. "
            f"Default: {format_s(DEFAULT.time_budget_s)}.",
        ),
    ] = "",
    timeout: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help=f"Time for a backend to load a model. Default: {format_s(DEFAULT.timeout_s)}.",
        ),
    ] = "",
    seed: Annotated[
        int, typer.Option(metavar="N", help="For inputs, weights and order.")
    ] = DEFAULT.seed,
    inputs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An .npz with your inputs. Default: seeded ones."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"A first look: {QUICK['launches']} launches, {format_s(QUICK['time_budget_s'])}, "
            f"to within {QUICK['precision_target']:.0%}.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="A new folder for the run. Default: one in xbench-runs."
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Finish the run in this folder; takes no MODEL."),
    ] = None,
    json: Annotated[str, typer.Option(metavar="FILE", help=JSON_HELP)] = "",
    csv: Annotated[str, typer.Option(metavar="FILE", help=CSV_HELP)] = "",
    markdown: Annotated[str, typer.Option(metavar="FILE", help=MARKDOWN_HELP)] = "",
    no_progress: Annotated[
        bool, typer.Option("--no-progress", "-q", "--quiet", help=NO_PROGRESS_HELP)
    ] = False,
) -> None:
    """Measure a model on each backend: one table, one verdict."""
    outputs = Outputs(json=json, csv=csv, markdown=markdown)
    asked = {
        "model": model,
        "backends": _names(backends),
        "device": device,
        "batches": parse_ints(batch) if batch else (),
        "shapes": _shapes(shape or []),
        "threads": threads,
        "precision": _precision(precision),
        "seed": seed,
        "inputs": str(inputs) if inputs else None,
        "quick": quick,
        **(QUICK if quick else {}),
    }
    given = {
        "launches": launches,
        "precision_target": parse_share(precision_target) if precision_target else None,
        "time_budget_s": parse_duration_s(time_budget) if time_budget else None,
        "timeout_s": parse_duration_s(timeout) if timeout else None,
    }
    spec = Spec(**asked | {name: value for name, value in given.items() if value is not None})
    _check_resume(spec, out, resume)
    raise typer.Exit(_compare(spec, out, resume, outputs, quiet=no_progress))


def _compare(
    spec: Spec, out: Path | None, resume: Path | None, outputs: Outputs, *, quiet: bool
) -> int:
    """Run the comparison, show it and return the exit status."""
    outputs.check()
    from xbench.cli.progress import watched
    from xbench.comparison import run  # heavy: after the arguments are known good

    with watched(quiet=quiet) as progress:
        found = run(spec, out=out, resume=resume, progress=progress)
    return outputs.show(found)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise UsageError("--backends names none", "`xbench backends` lists them all")
    return names


def _shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, lengths in map(parse_shape, texts):
        if name in shapes:
            raise UsageError(f"--shape names input {name!r} twice", "Give each input one shape")
        shapes[name] = lengths
    return shapes


def _precision(text: str) -> str:
    if text not in PRECISIONS:
        fix = f"Use --precision {PRECISIONS[0]}; the others are not measured yet"
        raise UsageError(f"precision {text!r} cannot be measured by this version", fix)
    return text


def _check_resume(spec: Spec, out: Path | None, resume: Path | None) -> None:
    """Refuse what a resumed run would ignore: it goes on with what it was asked at first."""
    if resume is None and not spec.model:
        fix = "Give an .onnx file, or a name from `xbench models`"
        raise UsageError("there is no model to compare on", fix)
    if resume is not None and (spec != DEFAULT or out):
        fix = "Leave out MODEL and the other options, or start a new comparison"
        raise UsageError("--resume goes on with what the run was asked at first", fix)
