"""`xbench publish`: what it asks for, what it writes, what it says, and how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from tests.xbench.cli.test_main import one_line, xbench
from tests.xbench.publishing.published import nasty, write
from tests.xbench.report.runs import cell, run_of, typical
from xbench.cli.main import app
from xbench.errors import UsageError
from xbench.publishing import needs
from xbench.publishing.mlflow import without_secret
from xbench.publishing.targets import Target, parse_destination


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def publish(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["publish", *map(str, arguments)])


def test_a_document_is_written_and_told_of(tmp_path: Path) -> None:
    """The file is there, and the rows that are not in it are named with the reason."""
    done = publish(write(tmp_path, typical()), "--to", "bencher", "--out", tmp_path / "bmf.json")
    assert done.exit_code == 0
    assert len(json.loads((tmp_path / "bmf.json").read_text())) == 5
    assert "5 rows with a speed" in done.stdout
    assert "Without a speed: 2 of 7 rows" in done.stdout
    assert "tensorflow is not installed" in done.stdout
    assert max(map(cell_len, done.stdout.splitlines())) <= 80


def test_stdout_holds_the_document_alone(tmp_path: Path) -> None:
    done = publish(write(tmp_path, typical()), "--to", "mlperf-system", "--out", "-")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["system_name"]
    assert "Without a speed" in done.stderr


def test_the_actions_two_files_have_its_tools_names(tmp_path: Path) -> None:
    done = publish(
        write(tmp_path, typical()), "--to", "github-action-benchmark", "--out", tmp_path / "bench"
    )
    assert done.exit_code == 0
    names = sorted(path.name for path in (tmp_path / "bench").iterdir())
    assert names == ["customBiggerIsBetter.json", "customSmallerIsBetter.json"]


@pytest.mark.parametrize("to", ["bencher", "github-action-benchmark"])
def test_nothing_is_written_where_no_row_has_a_speed(tmp_path: Path, to: str) -> None:
    """An empty list would stand in a chart as a day on which nothing was slow."""
    run = write(tmp_path, run_of((cell(0, "crashed"),)))
    done = publish(run, "--to", to, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "nothing was written" in done.stdout
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written == [run]


def test_hostile_names_print_no_control(tmp_path: Path) -> None:
    done = publish(write(tmp_path, nasty()), "--to", "bencher", "--out", tmp_path / "bmf.json")
    assert done.exit_code == 0
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert max(map(cell_len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "mlfow", "--out", "x"], "Did you mean 'mlflow'"),
        (["--to", "mlflow"], "--tracking-uri"),
        (["--to", "mlflow", "--tracking-uri", "sqlite:///x", "--out", "x"], "--out is not for"),
        (["--to", "bencher"], "--out FILE"),
        (["--to", "tensorboard"], "--out FOLDER"),
        (["--to", "tensorboard", "--out", "-"], "not stdout"),
        (["--to", "bencher", "--out", "x", "--experiment", "e"], "for mlflow alone"),
    ],
)
def test_wrong_usage_says_what_to_do(arguments: list[str], words: str) -> None:
    done = publish("run", *arguments)
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)


def test_a_shell_sees_one_line_and_status_2(tmp_path: Path) -> None:
    done = xbench("publish", str(tmp_path / "none"), "--to", "bencher", "--out", "x.json")
    assert done.returncode == 2
    assert "cannot read" in one_line(done.stderr)


def test_a_file_that_cannot_be_written_ends_in_one_error(tmp_path: Path) -> None:
    place = tmp_path / "no" / "such" / "bmf.json"
    done = publish(write(tmp_path, typical()), "--to", "bencher", "--out", place)
    assert isinstance(done.exception, UsageError)
    assert "cannot write" in str(done.exception)


def test_a_library_that_is_missing_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is loaded for another target, and without it the error has the pip command."""
    for name in ("mlflow", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    run = write(tmp_path, typical())
    for to, place in (
        ("mlflow", ("--tracking-uri", f"sqlite:///{tmp_path}/m.db")),
        ("tensorboard", ("--out", tmp_path / "logs")),
    ):
        done = publish(run, "--to", to, *place)
        assert isinstance(done.exception, UsageError)
        assert f"pip install 'xbench[{to}]'" in str(done.exception)
    assert publish(run, "--to", "bencher", "--out", tmp_path / "b.json").exit_code == 0


def test_a_library_that_is_broken_is_not_called_missing() -> None:
    with pytest.raises(UsageError, match="cannot be loaded"):
        needs.load("xbench.no_such_module", "x")


def test_the_variable_of_mlflow_counts_and_the_option_wins() -> None:
    found = parse_destination("mlflow", "", "http://one", "")
    assert (found.target, found.place) == (Target.MLFLOW, "http://one")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://user:word@host:5000/a", "http://host:5000/a"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////a/mlflow.db", "sqlite:////a/mlflow.db"),
    ],
)
def test_a_password_is_never_shown(uri: str, shown: str) -> None:
    assert without_secret(uri) == shown


def test_help_loads_nothing_heavy() -> None:
    look = (
        "import atexit, sys\n"
        "heavy = {'numpy', 'onnx', 'mlflow', 'tensorboard', 'rich', 'google'}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))"
    )
    assert xbench("publish", "--help", before=look).stdout.endswith("LOADED []\n")
