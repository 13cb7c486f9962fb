"""`xbench compare`: from the options to the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from xbench.cli import options
from xbench.cli.options import DEFAULT, QUICK, SEARCH_BUDGET_S
from xbench.cli.output import Outputs
from xbench.errors import UsageError
from xbench.load.scenario import parse_scenario
from xbench.plan import Spec
from xbench.units import parse_duration_s, parse_ints, parse_shape, parse_share

EXAMPLES = """\b
Examples:
  xbench compare mobilenet_v2
  xbench compare model.onnx --backends onnxruntime,pytorch:compile --threads 2
  xbench compare model.onnx --shape tokens=1x128 --batch 1,8 --csv rows.csv
  xbench compare model.onnx --json - | jq .comparisons
  xbench compare model.keras --backends keras,tensorflow,litert:int8
  xbench compare resnet50 --precision fp32,bf16,int8 --backends openvino
  xbench compare resnet50 --device cpu,cuda:0 --backends all --boundary host
  xbench compare mobilenet_v2 --profile rpi4b --threads 2
  xbench compare mobilenet_v2 --scenario server:30 --slo p99=50ms
  xbench compare mobilenet_v2 --scenario server --slo p99=50ms
  xbench compare my_package:make_model --backends pytorch,onnxruntime
  xbench compare --resume xbench-runs/20260101-120000-model

\b
Exit status: 0 every row ok; 1 some row not; 2 wrong usage or unreadable model;
130 interrupted (what was measured is kept).
"""


def compare(
    model: options.Model = "",
    backends: options.Backends = "all",
    device: options.Devices = DEFAULT.device,
    batch: options.Batch = "",
    shape: options.Shapes = None,
    threads: options.Threads = None,
    profile: options.Profile = None,
    precision: options.Precision = DEFAULT.precision,
    scenario: options.Scenario = DEFAULT.scenario,
    slo: options.SloLimit = "",
    boundary: options.Boundary = DEFAULT.boundary,
    launches: options.Launches = None,
    precision_target: options.PrecisionTarget = "",
    time_budget: options.TimeBudget = "",
    timeout: options.Timeout = "",
    seed: options.Seed = DEFAULT.seed,
    inputs: options.Inputs = None,
    calibration: options.Calibration = None,
    trust: options.Trust = False,
    energy: options.Energy = None,
    roofline: options.Roofline = None,
    quick: options.Quick = False,
    out: options.Out = None,
    resume: options.Resume = None,
    json: options.Json = "",
    csv: options.Csv = "",
    markdown: options.Markdown = "",
    no_progress: options.NoProgress = False,
) -> None:
    """Measure a model on each backend: one table, one verdict."""
    effort = _effort(quick, launches, precision_target, time_budget, energy, roofline)
    if parse_scenario(scenario).searches and not (time_budget or quick):
        effort["time_budget_s"] = SEARCH_BUDGET_S
    spec = Spec(
        model=model,
        backends=names(backends),
        device=device,
        batches=parse_ints(batch) if batch else (),
        shapes=shapes(shape or []),
        threads=threads,
        profile=profile,
        precision=precision,
        scenario=scenario,
        slo=slo or None,
        boundary=boundary,
        timeout_s=parse_duration_s(timeout) if timeout else DEFAULT.timeout_s,
        seed=seed,
        inputs=str(inputs) if inputs else None,
        calibration=str(calibration) if calibration else None,
        trust=trust,
        **effort,
    )
    outputs = Outputs(json=json, csv=csv, markdown=markdown)
    raise typer.Exit(_compare(spec, out, resume, outputs, quiet=no_progress))


def _effort(
    quick: bool,
    launches: int | None,
    precision_target: str,
    time_budget: str,
    energy: bool | None,
    roofline: bool | None,
) -> dict[str, Any]:
    """Return how long to measure: what was asked for goes before what ``--quick`` means."""
    asked = {
        "launches": launches,
        "precision_target": parse_share(precision_target) if precision_target else None,
        "time_budget_s": parse_duration_s(time_budget) if time_budget else None,
        "energy": energy,
        "roofline": roofline,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return {"quick": quick, "roofline": True, **(QUICK if quick else {}), **given}


def _compare(
    spec: Spec, out: Path | None, resume: Path | None, outputs: Outputs, *, quiet: bool
) -> int:
    """Run the comparison, show it and return the exit status."""
    spec.check()
    _check_resume(spec, out, resume)
    outputs.check()
    from xbench.cli.progress import watched
    from xbench.comparison import run  # heavy: after the arguments are known good

    with watched(quiet=quiet) as progress:
        found = run(spec, out=out, resume=resume, progress=progress)
    return outputs.show(found)


def names(text: str) -> tuple[str, ...]:
    """Return the names of a list by commas, of which there must be one."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise UsageError("--backends names none", "`xbench backends` lists them all")
    return found


def shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """Return each input's shape by its name; an input may have one."""
    found: dict[str, tuple[int, ...]] = {}
    for name, lengths in map(parse_shape, texts):
        if name in found:
            raise UsageError(f"--shape names input {name!r} twice", "Give each input one shape")
        found[name] = lengths
    return found


def _check_resume(spec: Spec, out: Path | None, resume: Path | None) -> None:
    """Refuse what a resumed run would ignore: it goes on with what it was asked at first."""
    if resume is None and not spec.model:
        fix = "Give a model file, or a name from `xbench models`"
        raise UsageError("there is no model to compare on", fix)
    if resume is not None and (spec != DEFAULT or out):
        fix = "Leave out MODEL and the other options, or start a new comparison"
        raise UsageError("--resume goes on with what the run was asked at first", fix)
