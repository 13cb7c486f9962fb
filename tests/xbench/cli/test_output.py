"""Documents: where they go, and that nothing is lost when they cannot."""

from __future__ import annotations

import json
import os
import pty
import threading
from pathlib import Path

import pytest

from tests.xbench.report.runs import cell, run_of, typical
from xbench.cli.output import Outputs, in_colour, terminal_width, write_file
from xbench.errors import UsageError

OK = run_of((cell(0, "a", 1e6, 1),))


def test_the_table_goes_to_stdout_and_documents_to_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = {name: str(tmp_path / f"run.{name}") for name in ("json", "csv", "markdown")}
    assert Outputs(**targets).show(typical()) == 1  # some rows of it are not ok
    out, err = capsys.readouterr()
    assert "openvino is 1.17 to 1.21 times as fast" in out
    assert err == ""
    assert json.loads((tmp_path / "run.json").read_text())["run_id"] == typical().run_id
    assert (tmp_path / "run.csv").read_text().startswith("run_id,model,backend")
    assert (tmp_path / "run.markdown").read_text().startswith("## xbench")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "run.csv",
        "run.json",
        "run.markdown",
    ]


def test_a_document_on_stdout_has_it_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert Outputs(json="-").show(OK) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["results"][0]["backend"] == "a"
    assert "only a has a result" in err


def test_a_failed_write_costs_no_other_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    target = str(tmp_path / "run.csv")
    assert Outputs(json=str(tmp_path / "folder"), csv=target).show(OK) == 1
    out, err = capsys.readouterr()
    assert "only a has a result" in out
    assert err.startswith("error: cannot write")
    assert err.count("\n") == 1
    assert Path(target).exists()


def test_a_full_disk_keeps_the_old_file(capsys: pytest.CaptureFixture[str]) -> None:
    """/dev/full refuses every byte, as a full disk does."""
    assert Outputs(json="/dev/full").show(OK) == 1
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (Outputs(json="-", csv="-"), "two documents"),
        (Outputs(json="a/../x", csv="x"), "two documents"),
        (Outputs(json="nowhere/x.json"), "does not exist"),
        (Outputs(json="."), "is a folder"),
    ],
)
def test_what_cannot_be_written_is_said_before_measuring(outputs: Outputs, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        outputs.check()


@pytest.mark.parametrize("content", ["through", b"through"])
def test_a_link_stays_a_link_and_a_pipe_is_written_to(tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", content)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "through"

    os.mkfifo(tmp_path / "pipe")
    heard: list[str] = []
    read = (tmp_path / "pipe").read_text
    reader = threading.Thread(target=lambda: heard.append(read()), daemon=True)
    reader.start()
    write_file(tmp_path / "pipe", content)
    reader.join(timeout=30)
    assert heard == ["through"]


@pytest.mark.parametrize(
    ("environment", "colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], colour: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        assert in_colour(terminal) is colour
    os.close(master)


def test_a_file_gets_no_colour_and_80_columns(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        assert not in_colour(file)
        assert terminal_width(file) == 80
