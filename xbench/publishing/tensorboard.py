"""Runs as TensorBoard reads them: a session of its HParams page for each row, and scalars.

::

    FOLDER/RUN-DIGEST/ROW/       the row's settings and measures, as a session
    FOLDER/RUN-DIGEST/rounds/ROW/  the time course: a step is a round

TensorBoard's own records and messages, without TensorFlow: `RecordWriter` and the messages of its
HParams plug-in need neither it nor PyTorch. Each file has a fixed name and is written by rename, so
that a run which is published again stands there once.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from xbench.errors import UsageError
from xbench.keeping import write_atomically
from xbench.publishing import needs
from xbench.publishing.measures import NS_IN_MS, Measure
from xbench.publishing.names import DIGEST, slug
from xbench.publishing.rows import Published, Row
from xbench.samples import Epoch
from xbench.store import SAMPLES, read_samples

EVENTS = "events.out.tfevents.0.xbench"
EXTRA = "tensorboard"
ROUNDS = "rounds"
Point = tuple[str, float, int]  # tag, value, step


def publish(runs: Sequence[Published], folder: Path) -> tuple[Path, ...]:
    """Write the runs below ``folder``, and return each one's folder there.

    Raises:
        UsageError: If tensorboard is not installed, or the folder cannot be written to.
    """
    needs.load("tensorboard.summary.writer.record_writer", EXTRA)
    try:
        return tuple(_publish(run, folder) for run in runs)
    except OSError as error:
        what = f"cannot write to {folder}: {error.strerror}"
        raise UsageError(what, "Choose another place with --out") from error


def folder_of(run: Published) -> str:
    """Return the name of a run's folder: two runs never share one, a run always has the same."""
    return f"{slug(run.run_id)}-{run.key[:DIGEST]}"


def row_folder_of(row: Row) -> str:
    """Return the name of a row's folder within its run's."""
    return f"{row.id:02}-{slug(row.label)}"


def _publish(run: Published, folder: Path) -> Path:
    own, at_s = folder / folder_of(run), _began_s(run)
    written = set()
    for row in run.rows:
        path = own / row_folder_of(row) / EVENTS
        _write(path, _session(run, row, at_s), at_s)
        written.add(path)
    for row, points in _time_courses(run):
        path = own / ROUNDS / row_folder_of(row) / EVENTS
        _write(path, (_scalar(*point) for point in points), at_s)
        written.add(path)
    for path in own.rglob(EVENTS):
        if path not in written:  # of a row that an earlier version wrote
            path.unlink()
    return own


def _session(run: Published, row: Row, at_s: float) -> Iterator[Any]:
    """Yield a row's settings, its measures and how it ended, as events."""
    from tensorboard.plugins.hparams import summary_v2

    settings = {name: told for name, told in row.settings.items() if told is not None}
    told = {"run": run.run_id, "status": row.status, **row.facts}
    told |= {"no_speed": row.no_speed} if row.no_speed else {}
    yield _event(summary_v2.hparams_pb({**settings, **told}, start_time_secs=at_s))
    for measure in (*row.speed, *row.agreement):
        yield from (_scalar(*point) for point in _points(measure))
    yield _ended(row, at_s)


def _ended(row: Row, at_s: float) -> Any:
    """Return how a row ended. TensorBoard's own function for it loads TensorFlow."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_SUCCESS if row.no_speed is None else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=at_s)
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    found = summary_pb2.Summary()
    found.value.add(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return _event(found)


def _points(measure: Measure) -> Iterator[Point]:
    ends = {"": measure.value, "_low": measure.low, "_high": measure.high}
    yield from (
        (f"{measure.name}{end}", value, 0) for end, value in ends.items() if value is not None
    )


def _time_courses(run: Published) -> Iterator[tuple[Row, list[Point]]]:
    """Yield the rows with a speed to tell and how it went, a point a round.

    A document has no samples, and a server's windows are no rounds: they may differ in rate.
    """
    if not (run.path / SAMPLES).is_file():
        return
    epochs = read_samples(run.path).epochs
    steps = {key: step for step, key in enumerate(sorted({(e.launch, e.round) for e in epochs}))}
    for row in run.told:
        own = [epoch for epoch in epochs if epoch.cell == row.id and epoch.served is None]
        points = [
            point for epoch in own for point in _round(epoch, steps[epoch.launch, epoch.round])
        ]
        if points:
            yield row, points


def _round(epoch: Epoch, step: int) -> Iterator[Point]:
    yield "round_latency_p50_ms", median(epoch.latencies_ns) / NS_IN_MS, step
    if epoch.canary_ns:
        yield "round_canary_ms", max(epoch.canary_ns) / NS_IN_MS, step
    if epoch.others_cpus is not None:
        yield "round_others_cpus", epoch.others_cpus, step


def _scalar(tag: str, value: float, step: int) -> Any:
    from tensorboard.compat.proto import summary_pb2

    data = summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars")
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=data, data_class=summary_pb2.DATA_CLASS_SCALAR
    )
    found = summary_pb2.Summary()
    found.value.add(tag=tag, simple_value=value, metadata=metadata)
    return _event(found, step)


def _event(summary: Any, step: int = 0) -> Any:
    from tensorboard.compat.proto import event_pb2

    return event_pb2.Event(summary=summary, step=step)


def _write(path: Path, events: Iterable[Any], at_s: float) -> None:
    """Write a file of events; a reader never sees a part of it."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    data = io.BytesIO()
    records = RecordWriter(data)
    version = event_pb2.Event(file_version="brain.Event:2")
    for event in (version, *events):
        event.wall_time = at_s
        records.write(event.SerializeToString(deterministic=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part")  # TensorBoard reads every file with `tfevents` in its name
    write_atomically(part, data.getvalue())
    part.replace(path)


def _began_s(run: Published) -> float:
    """Return when a run began, in seconds of Unix time, or else when its result was written."""
    try:
        began = datetime.fromisoformat(str(run.document.get("began")))
    except ValueError:
        return run.file.stat().st_mtime
    return began.timestamp()
