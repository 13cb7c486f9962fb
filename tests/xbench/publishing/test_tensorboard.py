"""TensorBoard shows what was published: read back from its files and from its own server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import pytest

from tests.xbench.publishing.published import kept, nasty
from tests.xbench.publishing.servers import eventually, free_port, read_json, serving
from tests.xbench.report.runs import typical
from xbench.errors import UsageError
from xbench.publishing import tensorboard
from xbench.publishing.rows import Published
from xbench.store import read_samples

pytest.importorskip("tensorboard", reason="pip install 'xbench[tensorboard]'")

# TensorBoard loads TensorFlow where it finds it, unless this module of its own exists.
NO_TENSORFLOW = "tensorboard.compat.notf"
SERVER = f"""
import sys, types
sys.modules[{NO_TENSORFLOW!r}] = types.ModuleType("notf")
from tensorboard.main import run_main
run_main()
"""
STATUSES = ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"]


@pytest.fixture(scope="module")
def logs(real_run: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the real run and a hostile one were published to, twice."""
    folder = tmp_path_factory.mktemp("logs")
    hostile = kept(tmp_path_factory.mktemp("hostile"), nasty())
    for _ in range(2):
        tensorboard.publish([real_run, hostile], folder)
    return folder


@pytest.fixture(scope="module")
def server(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a TensorBoard over that folder."""
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    options = ["--logdir", str(logs), "--host", "127.0.0.1", "--port", str(port)]
    with serving([sys.executable, "-c", SERVER, *options], port, log) as address:
        yield address


def scalars(folder: Path) -> dict[str, list[Any]]:
    """Return every scalar of a folder by its tag, as TensorBoard itself reads them."""
    sys.modules.setdefault(NO_TENSORFLOW, ModuleType("notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    tags = found.Tags()
    return {tag: found.Scalars(tag) for tag in tags["scalars"]} | {
        tag: found.Tensors(tag) for tag in tags["tensors"]
    }


def test_the_server_shows_every_row_as_a_session(server: str, real_run: Published) -> None:
    """The HParams page has a session for each row, with its settings and how it ended."""
    request = {"startIndex": 0, "sliceSize": 100, "allowedStatuses": STATUSES, "colParams": []}
    address = f"{server}/data/plugin/hparams/session_groups"

    def look() -> Any:
        groups = read_json(address, request=json.dumps(request)).get("sessionGroups", [])
        own = {one["hparams"]["backend"]: one for one in groups if _of(one, real_run)}
        return own if len(own) == 4 else None

    groups = eventually(look)
    for row in real_run.rows:
        group = groups[row.settings["backend"]]
        (session,) = group["sessions"]
        told = {one["name"]["tag"]: one["value"] for one in session.get("metricValues", [])}
        if row.no_speed is None:
            p50 = row.measure("latency_p50_ms")
            assert p50 is not None
            assert session["status"] == "STATUS_SUCCESS"
            assert told["latency_p50_ms"] == pytest.approx(p50.value, rel=1e-6)
        else:
            assert session["status"] == "STATUS_FAILURE"
            assert group["hparams"]["no_speed"] == row.no_speed
            assert not any(name.startswith(("latency", "throughput")) for name in told)


def _of(group: Any, run: Published) -> bool:
    return bool(group["hparams"]["run"] == run.run_id)


def test_the_server_shows_the_rounds_as_a_time_course(server: str, real_run: Published) -> None:
    """A step is a round, its value the median of that round's timed inferences."""
    tags = eventually(lambda: read_json(f"{server}/data/plugin/scalars/tags"))
    samples = read_samples(real_run.path)
    for row in real_run.told:
        name = f"{tensorboard.folder_of(real_run)}/rounds/{tensorboard.row_folder_of(row)}"
        assert "round_latency_p50_ms" in tags[name]
        told = read_json(
            f"{server}/data/plugin/scalars/scalars", run=name, tag="round_latency_p50_ms"
        )
        own = [epoch for epoch in samples.epochs if epoch.cell == row.id]
        expected = [median(epoch.latencies_ns) / 1e6 for epoch in own]
        assert [value for _, _, value in told] == pytest.approx(expected, rel=1e-6)
        steps = [step for _, step, _ in told]
        assert steps == sorted(set(steps))


def test_published_twice_stands_there_once(logs: Path, real_run: Published) -> None:
    """The second time replaces the files of the first: no point is there twice."""
    own = logs / tensorboard.folder_of(real_run)
    files = [path for path in own.rglob("*") if path.is_file()]
    assert len(files) == len(real_run.rows) + len(real_run.told)
    for points in scalars(own / tensorboard.row_folder_of(real_run.rows[0])).values():
        assert len(points) == 1


def test_a_row_without_a_speed_has_no_scalar_of_it(logs: Path, real_run: Published) -> None:
    for row in real_run.left_out:
        tags = scalars(logs / tensorboard.folder_of(real_run) / tensorboard.row_folder_of(row))
        assert not any(tag.startswith(("latency", "throughput", "speed", "round")) for tag in tags)


def test_hostile_names_stay_in_the_folder(logs: Path) -> None:
    """No name leads out of the folder, or makes one that a shell or a browser stumbles over."""
    for path in logs.rglob("*"):
        assert path.resolve().is_relative_to(logs.resolve())
        assert all(part.isprintable() and not set(part) & set("<>'\"; ") for part in path.parts)
    assert len(list(logs.iterdir())) == 2


def test_two_runs_of_one_name_stand_side_by_side(tmp_path: Path) -> None:
    """Runs that were written to folders of one name, or by two hosts, have one id."""
    run = typical()
    other = replace(run, results=run.results[:3])
    for name, one in (("a", run), ("b", other)):
        (tmp_path / name).mkdir()
        tensorboard.publish([kept(tmp_path / name, one)], tmp_path / "logs")
    assert len(list((tmp_path / "logs").iterdir())) == 2


def test_a_folder_that_cannot_be_written_ends_in_one_error(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(UsageError, match="cannot write"):
        tensorboard.publish([kept(tmp_path, typical())], tmp_path / "logs")


def test_publishing_loads_neither_tensorflow_nor_torch(tmp_path: Path) -> None:
    """TensorBoard's records need neither, though it takes TensorFlow where it is installed."""
    kept(tmp_path, typical())
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from xbench.publishing.rows import read_published\n"
        "from xbench.publishing import tensorboard\n"
        f"tensorboard.publish([read_published(Path({str(tmp_path / 'result.json')!r}))], "
        f"Path({str(tmp_path / 'logs')!r}))\n"
        "print(sorted({'tensorflow', 'torch', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
