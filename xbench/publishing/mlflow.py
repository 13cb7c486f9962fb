"""Runs in MLflow: a run for each of ours, and within it one for each row.

A run carries the digest of all it found as a tag, and that it is complete as another: what stands
there already is not written again, and what an interrupted try left is removed (MLflow keeps what
is removed until `mlflow gc`). Keys are ours, and hold nothing that MLflow refuses; what comes from
a run stands in values, shortened to what it takes (``mlflow/utils/validation.py``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from xbench.errors import UsageError
from xbench.publishing import needs
from xbench.publishing.measures import Measure
from xbench.publishing.names import bounded
from xbench.publishing.rows import Published, Row
from xbench.report.markdown import render
from xbench.report.recall import run_of

EXTRA = "mlflow"
EXPERIMENT = "xbench"
KEY, COMPLETE, PARENT = "xbench.key", "xbench.complete", "mlflow.parentRunId"
LONGEST_PARAMETER, LONGEST_TAG, LONGEST_EXPERIMENT = 6000, 5000, 500
LONGEST_NAME = 250
SQLITE = "sqlite:///"

# No usage data leaves the machine, and a server that does not answer is told of within seconds.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
_FINISHED, _FAILED, _KILLED = "FINISHED", "FAILED", "KILLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one run.

    Attributes:
        mlflow_run: Its id in MLflow.
        new: Whether it was written now; False where it was there already.
    """

    run: Published
    mlflow_run: str
    new: bool


def publish(runs: Sequence[Published], uri: str, experiment: str = EXPERIMENT) -> tuple[Sent, ...]:
    """Write the runs to the tracking server or database at ``uri``.

    Raises:
        UsageError: If mlflow is not installed, or refuses.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    mlflow = needs.load("mlflow", EXTRA)
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, uri, bounded(experiment, LONGEST_EXPERIMENT))
        return tuple(_publish(client, experiment_id, run) for run in runs)
    except (mlflow.exceptions.MlflowException, OSError, ImportError) as error:
        what = f"MLflow at {without_secret(uri)} did not take it: {_why(error, uri)}"
        raise UsageError(what, "See that --tracking-uri is right and the server is up") from error


def without_secret(uri: str) -> str:
    """Return a URI without the user and the password in it."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _why(error: Exception, uri: str) -> str:
    secret = urlsplit(uri).netloc.rpartition("@")[0]
    text = str(error).replace(f"{secret}@", "") if secret else str(error)
    return bounded(text, 300)


def _experiment(client: Any, uri: str, name: str) -> str:
    """Return the id of an experiment, which is made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=_artifacts(uri)))
    if found.lifecycle_stage != "active":
        fix = f"Restore it with: mlflow experiments restore -x {found.experiment_id}"
        raise UsageError(f"the experiment {name!r} was deleted", f"{fix}, or name another")
    return str(found.experiment_id)


def _artifacts(uri: str) -> str | None:
    """Return where files go: beside a database, else where the server says."""
    if not uri.startswith(SQLITE):
        return None
    return (Path(uri.removeprefix(SQLITE)).resolve().parent / "mlartifacts").as_uri()


def _publish(client: Any, experiment_id: str, run: Published) -> Sent:
    for found in _earlier(client, experiment_id, run):
        if found.data.tags.get(COMPLETE) == "true":
            return Sent(run=run, mlflow_run=found.info.run_id, new=False)
        _remove(client, experiment_id, found.info.run_id)
    parent = client.create_run(
        experiment_id,
        run_name=bounded(run.run_id, LONGEST_NAME),
        tags={**_cut(_tags(run), LONGEST_TAG), KEY: run.key},
    ).info.run_id
    try:
        _fill(client, experiment_id, parent, run)
    except BaseException:
        client.set_terminated(parent, _FAILED)
        raise
    client.set_tag(parent, COMPLETE, "true")
    client.set_terminated(parent, _KILLED if run.document.get("interrupted") else _FINISHED)
    return Sent(run=run, mlflow_run=parent, new=True)


def _earlier(client: Any, experiment_id: str, run: Published) -> list[Any]:
    """Return what earlier calls made of this run; its key is of digits, and needs no quoting."""
    of_run = f"tags.`{KEY}` = '{run.key}'"
    return list(client.search_runs([experiment_id], filter_string=of_run))


def _remove(client: Any, experiment_id: str, parent: str) -> None:
    """Remove a run of MLflow with those nested in it."""
    nested = f"tags.`{PARENT}` = '{parent}'"
    while found := client.search_runs([experiment_id], filter_string=nested):
        for one in found:
            client.delete_run(one.info.run_id)
    client.delete_run(parent)


def _fill(client: Any, experiment_id: str, parent: str, run: Published) -> None:
    settings = {"model": run.model, "rows": len(run.rows), "rows_without_speed": len(run.left_out)}
    _log(client, parent, settings, ())
    for row in run.rows:
        tags = {**_cut(_row_tags(row), LONGEST_TAG), PARENT: parent}
        name = bounded(row.label, LONGEST_NAME)
        made = client.create_run(experiment_id, run_name=name, tags=tags)
        _log(client, made.info.run_id, row.settings, (*row.speed, *row.agreement))
        client.set_terminated(made.info.run_id, _ended(row))
    client.log_text(parent, run.file.read_text(encoding="utf-8"), "result.json")
    client.log_text(parent, render(run_of(run.document)), "report.md")


def _ended(row: Row) -> str:
    if row.no_speed is None:
        return _FINISHED
    return _KILLED if row.status == "interrupted" else _FAILED


def _log(
    client: Any, run_id: str, settings: Mapping[str, object], measures: Sequence[Measure]
) -> None:
    from mlflow.entities import Metric, Param

    now_ms = int(time.time() * 1000)
    parameters = _cut(settings, LONGEST_PARAMETER).items()
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now_ms, 0) for name, value in _numbers(measures)],
        params=[Param(name, value) for name, value in parameters],
    )


def _numbers(measures: Sequence[Measure]) -> Iterator[tuple[str, float]]:
    for one in measures:
        ends = {"": one.value, "_low": one.low, "_high": one.high}
        yield from ((f"{one.name}{end}", told) for end, told in ends.items() if told is not None)


def _tags(run: Published) -> dict[str, object]:
    document = run.document
    return {
        "xbench.run_id": run.run_id,
        "xbench.host_id": document["host"].get("host_id"),
        "xbench.version": (document["host"].get("versions") or {}).get("xbench"),
        "xbench.model_sha256": document["model"].get("sha256"),
        "xbench.cautions": run.cautions,
        "xbench.left_out": "; ".join(f"{row.label}: {row.no_speed}" for row in run.left_out),
    }


def _row_tags(row: Row) -> dict[str, object]:
    facts = {f"xbench.{name}": text for name, text in row.facts.items()}
    told = {"xbench.row": row.name, "xbench.status": row.status, "xbench.no_speed": row.no_speed}
    return {**facts, **told}


def _cut(told: Mapping[str, object], most: int) -> dict[str, str]:
    """Return what is known, as text that MLflow takes."""
    return {name: bounded(one, most) for name, one in told.items() if one not in (None, "")}
