"""MLflow shows what was published: read back through its own client, from a file and a server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.xbench.publishing.published import kept, nasty
from tests.xbench.publishing.servers import free_port, serving
from tests.xbench.report.runs import typical
from xbench.errors import UsageError
from xbench.publishing import mlflow as ours
from xbench.publishing.rows import Published, Row

pytest.importorskip("mlflow", reason="pip install 'xbench[mlflow]'")
# What MLflow and SQLAlchemy warn each other of is not ours to mend.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of an empty database."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a tracking server; under gunicorn it needs no pandas."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--gunicorn-opts", "--threads 4"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with serving(command, port, folder / "log", "/health") as address:
        yield address


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs_in(uri: str, experiment: str, query: str = "") -> list[Any]:
    found = client(uri).get_experiment_by_name(experiment)
    return list(client(uri).search_runs([found.experiment_id], filter_string=query))


def nested_in(uri: str, experiment: str, parent: str) -> dict[str, Any]:
    """Return the runs nested in one, by the name of their row."""
    query = f"tags.`mlflow.parentRunId` = '{parent}'"
    return {one.data.tags["xbench.row"]: one for one in runs_in(uri, experiment, query)}


def check_row(found: Any, row: Row) -> None:
    """Check a run of MLflow against the row that it stands for."""
    for measure in (*row.speed, *row.agreement):
        assert found.data.metrics[measure.name] == pytest.approx(measure.value)
    assert found.data.params["backend"] == row.settings["backend"]
    assert found.data.tags["xbench.status"] == row.status
    if row.no_speed is not None:
        assert found.info.status == "FAILED"
        assert found.data.tags["xbench.no_speed"] == row.no_speed
        assert all(name.startswith("parity_") for name in found.data.metrics)
    else:
        assert found.info.status == "FINISHED"


def test_a_server_shows_the_run_its_rows_and_its_report(
    server: str, real_run: Published, tmp_path: Path
) -> None:
    """A run for the comparison, nested in it one a row; the files come back byte for byte."""
    (sent,) = ours.publish([real_run], server, "real")
    parent = client(server).get_run(sent.mlflow_run)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["xbench.run_id"] == real_run.run_id
    nested = nested_in(server, "real", sent.mlflow_run)
    assert len(nested) == len(real_run.rows) == 4
    for row in real_run.rows:
        check_row(nested[row.name], row)
    kept_file = client(server).download_artifacts(sent.mlflow_run, "result.json", str(tmp_path))
    assert Path(kept_file).read_bytes() == real_run.file.read_bytes()
    report = client(server).download_artifacts(sent.mlflow_run, "report.md", str(tmp_path))
    assert Path(report).read_text().startswith("## xbench")


def test_published_twice_stands_there_once(database: str, tmp_path: Path) -> None:
    """The second time finds the first and writes nothing; another run is written beside it."""
    run = kept(tmp_path, typical())
    first, second = (ours.publish([run], database, "twice")[0] for _ in range(2))
    assert (first.new, second.new) == (True, False)
    assert first.mlflow_run == second.mlflow_run
    assert len(runs_in(database, "twice")) == 1 + len(run.rows)
    (tmp_path / "other").mkdir()
    other = kept(tmp_path / "other", replace(typical(), results=typical().results[:1]))
    assert ours.publish([other], database, "twice")[0].new
    assert len(runs_in(database, "twice")) == 1 + len(run.rows) + 2


def test_what_an_interrupted_try_left_is_replaced(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was half written is no run: the next try removes it, and writes all."""
    run = kept(tmp_path, typical())

    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ours, "render", fail)
        with pytest.raises(UsageError, match="the disk is full"):
            ours.publish([run], database, "torn")
    assert {one.info.status for one in runs_in(database, "torn", "tags.`xbench.key` != ''")} == {
        "FAILED"
    }
    (sent,) = ours.publish([run], database, "torn")
    assert sent.new
    assert len(runs_in(database, "torn")) == 1 + len(run.rows)


def test_hostile_names_are_values_alone(database: str, tmp_path: Path) -> None:
    """Names that mean harm come back as they are cleaned, and make neither key nor file."""
    run = kept(tmp_path, nasty())
    (sent,) = ours.publish([run], database, f"{run.model}:/\\'\"%")
    found = client(database).get_run(sent.mlflow_run)
    artefacts = client(database).list_artifacts(sent.mlflow_run)
    assert sorted(one.path for one in artefacts) == ["report.md", "result.json"]
    assert found.data.tags["xbench.run_id"] == run.run_id[:5000]
    assert "<script>" in found.data.params["model"]
    assert all(key.replace(".", "").replace("_", "").isalnum() for key in found.data.tags)


def test_files_lie_beside_the_database(database: str, tmp_path: Path) -> None:
    """Nothing is written to the folder that one happens to be in."""
    (sent,) = ours.publish([kept(tmp_path, typical())], database, "place")
    place = client(database).get_run(sent.mlflow_run).info.artifact_uri
    beside = Path(database.removeprefix("sqlite:///")).parent.as_uri()
    assert place.startswith(f"{beside}/mlartifacts/")


def test_a_deleted_experiment_is_named_with_what_restores_it(database: str, tmp_path: Path) -> None:
    found = client(database).create_experiment("gone")
    client(database).delete_experiment(found)
    with pytest.raises(UsageError, match="was deleted") as caught:
        ours.publish([kept(tmp_path, typical())], database, "gone")
    assert f"restore -x {found}" in caught.value.fix


def test_a_server_that_is_not_there_ends_soon_in_one_error_without_the_password(
    tmp_path: Path,
) -> None:
    uri = f"http://user:secret-word@127.0.0.1:{free_port()}"
    with pytest.raises(UsageError, match="did not take it") as caught:
        ours.publish([kept(tmp_path, typical())], uri)
    assert "secret-word" not in str(caught.value)


def test_no_usage_data_is_sent(database: str, tmp_path: Path) -> None:
    """MLflow tells its makers of its use unless it is asked not to: it is asked."""
    ours.publish([kept(tmp_path, typical())], database, "quiet")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert json.loads(json.dumps(ours.ENVIRONMENT))["MLFLOW_DISABLE_TELEMETRY"] == "true"
