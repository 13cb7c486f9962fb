"""`xbench publish`: finished runs handed on to MLflow, TensorBoard and services for CI."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from typer import Argument, Option

from xbench.errors import UsageError
from xbench.publishing.targets import TRACKING_VARIABLE, Destination, Target, parse_destination

if TYPE_CHECKING:
    from xbench.publishing.rows import Published

EXAMPLES = """\b
Examples:
  xbench publish RUN --to mlflow --tracking-uri sqlite:///mlflow.db
  xbench publish RUN RUN --to mlflow --tracking-uri http://mlflow:5000 \\
    --experiment edge-boxes
  xbench publish RUN --to tensorboard --out logs
  xbench publish RUN --to github-action-benchmark --out bench
  xbench publish RUN --to bencher --out bmf.json
  xbench publish RUN --to mlperf-system --out system.json

\b
What each target is given (docs/publish.md has all of it):
  mlflow                   a run, one nested in it for each row, the report
  tensorboard              HParams, scalars, and the rounds as a time course
  github-action-benchmark  a file for each of its tools, named like the tool
  bencher                  Bencher Metric Format, with lower and upper values
  mlperf-system            the fields of a system's description; no result

\b
`mlflow ui` shows a database: it comes with `pip install mlflow`, best in an
environment of its own (docs/publish.md says why).

\b
A row that is not ok, disagrees with the reference, or whose caps did not hold
has no speed there: it is left out and counted, or stands with its status.
A run that is published again stands there once.

\b
Exit status: 0 published; 1 no row has a speed to tell; 2 wrong usage, an
unreadable run, or a target that does not take it.
"""

Runs = Annotated[
    list[str],
    Argument(
        metavar="RUN...",
        help="Run folders of `xbench compare`, or documents of its --json.",
    ),
]
To = Annotated[str, Option(metavar="TARGET", help=f"One of {', '.join(Target)}.")]
Out = Annotated[
    str,
    Option(metavar="PLACE", help="The file to write, or - for stdout; a folder for two of them."),
]
TrackingUri = Annotated[
    str,
    Option(
        metavar="URI",
        envvar=TRACKING_VARIABLE,
        help="MLflow's: sqlite:///FILE or a server's address.",
    ),
]
Experiment = Annotated[str, Option(metavar="NAME", help="MLflow's. Default: xbench.")]


def publish(
    runs: Runs, to: To, out: Out = "", tracking_uri: TrackingUri = "", experiment: Experiment = ""
) -> None:
    """Hand runs on to MLflow, TensorBoard or a service for CI.

    Each is given what it knows how to show, in its own form, and nothing is sent anywhere but to
    the place that is named here.
    """
    destination = parse_destination(to, out, tracking_uri, experiment)
    from xbench.publishing.rows import read_published

    found = [read_published(Path(one)) for one in dict.fromkeys(runs)]
    deliver = {
        Target.MLFLOW: _to_mlflow,
        Target.TENSORBOARD: _to_tensorboard,
        Target.GITHUB: _to_github,
        Target.BENCHER: _to_bencher,
        Target.MLPERF: _to_mlperf,
    }
    raise typer.Exit(deliver[destination.target](found, destination))


def _to_mlflow(runs: Sequence[Published], to: Destination) -> int:
    from xbench.publishing import mlflow

    sent = mlflow.publish(runs, to.place, to.experiment or mlflow.EXPERIMENT)
    shown = mlflow.without_secret(to.place)
    where = [f"{'new' if one.new else 'there already'}, run {one.mlflow_run}" for one in sent]
    database = to.place.startswith(mlflow.SQLITE)
    return _tell(runs, where, f"mlflow ui --backend-store-uri {shown}" if database else shown)


def _to_tensorboard(runs: Sequence[Published], to: Destination) -> int:
    from xbench.publishing import tensorboard

    folders = tensorboard.publish(runs, Path(to.place))
    return _tell(runs, [f"in {one}" for one in folders], f"tensorboard --logdir {to.place}")


def _to_github(runs: Sequence[Published], to: Destination) -> int:
    from xbench.publishing import github

    documents = github.documents(runs)
    folder = Path(to.place)
    files = {
        str(folder / f"{tool}.json"): entries for tool, entries in documents.items() if entries
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "Choose another place with --out"
        raise UsageError(f"cannot make {folder}: {error.strerror}", fix) from error
    return _written(runs, files)


def _to_bencher(runs: Sequence[Published], to: Destination) -> int:
    from xbench.publishing import bencher

    document = bencher.document(runs)
    return _written(runs, {to.place: document} if document else {})


def _to_mlperf(runs: Sequence[Published], to: Destination) -> int:
    from xbench.publishing import mlperf

    if len(runs) > 1:
        raise UsageError("a system is described from one run", "Publish each run by itself")
    _written(runs, {to.place: mlperf.document(runs[0])})
    return 0


def _written(runs: Sequence[Published], files: Mapping[str, object]) -> int:
    """Write JSON documents to files, and tell of it; nothing is written where nothing is told."""
    import json

    from xbench.cli.output import STDOUT, write_file

    for place, document in files.items():
        text = json.dumps(document, indent=2, allow_nan=False) + "\n"
        try:
            sys.stdout.write(text) if place == STDOUT else write_file(Path(place), text)
        except OSError as error:
            fix = "Choose another place with --out"
            raise UsageError(f"cannot write {place}: {error.strerror}", fix) from error
    where = "on stdout" if STDOUT in files else f"in {', '.join(files)}"
    where = where if files else "so nothing was written"
    return _tell(runs, [where] * len(runs), stream=sys.stderr if STDOUT in files else sys.stdout)


def _tell(
    runs: Sequence[Published], where: Sequence[str], hint: str = "", stream: TextIO | None = None
) -> int:
    """Say what was done, and return the exit status."""
    from xbench.publishing.words import told_text

    (stream or sys.stdout).write(told_text(runs, where, hint))
    return 0 if any(run.told for run in runs) else 1
