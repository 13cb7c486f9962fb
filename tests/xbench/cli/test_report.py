"""`xbench report`: what it reads, what it writes, and how it refuses."""

from __future__ import annotations

import csv
import json
import os
import threading
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.xbench.report.html.made import generated
from tests.xbench.report.runs import typical
from xbench.cli import report as command
from xbench.cli.main import app
from xbench.report import document, markdown
from xbench.report.recall import run_of


def report(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a run folder with generated rows."""
    made, samples = generated(6, 2, rounds=10)
    path = tmp_path / "run"
    path.mkdir()
    (path / "result.json").write_text(json.dumps(made))
    lines = (json.dumps({"order": [0], "epochs": [asdict(epoch)]}) for epoch in samples.epochs)
    (path / "samples.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "result-of-json.json"
    path.write_text(document.render(typical()))
    return path


def test_a_folder_has_the_charts_of_its_samples_and_a_document_has_not(
    folder: Path, file: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    assert report(folder, "-o", page).exit_code == 0
    assert "<h3>Distribution of latency</h3>" in page.read_text()
    assert report(file, "-o", page).exit_code == 0
    assert "The samples of this run are not at hand" in page.read_text()


def test_without_a_file_it_prints_what_the_comparison_printed(file: Path) -> None:
    result = report(file)
    assert result.exit_code == 0
    assert "openvino" in result.stdout
    assert "is 1.17 to 1.21 times as fast" in " ".join(result.stdout.split())


def test_markdown_csv_and_json_are_those_of_the_comparison(file: Path, tmp_path: Path) -> None:
    assert report(file, "--format", "markdown").stdout == markdown.render(typical())
    told = json.loads(file.read_text())
    assert json.loads(report(file, "--format", "json").stdout) == told
    rows = tmp_path / "rows.csv"
    assert report(file, file, "-o", rows).exit_code == 0
    read = list(csv.DictReader(StringIO(rows.read_text())))
    assert len(read) == 2 * len(run_of(told).results)
    assert len(json.loads(report(file, file, "--format", "json").stdout)) == 2


def test_a_chart_is_written_as_a_picture(folder: Path, tmp_path: Path) -> None:
    one, every = tmp_path / "one.svg", tmp_path / "every.png"
    assert report(folder, "--chart", "memory", "-o", one).exit_code == 0
    assert one.read_text().startswith("<svg")
    assert report(folder, "-o", every).exit_code == 0
    assert every.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing",), "cannot read"),
        (("FILE", "-o", "report.doc"), "what is report.doc to be written as?"),
        (("FILE", "-o", "nowhere/report.html"), "the folder nowhere does not exist"),
        (("FILE", "--chart", "memory", "-o", "x.html"), "--chart draws one chart"),
        (("FILE", "--chart", "pie", "-o", "x.svg"), "there is no chart 'pie'"),
        (("FILE", "--chart", "tradeoff", "-o", "x.svg"), "All rows have one batch size"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_way_out(
    arguments: tuple[str, ...], said: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    result = report(*(str(file) if one == "FILE" else one for one in arguments))
    assert result.exit_code == 2 or result.exception
    assert said in f"{result.output}{result.exception}"
    assert not list(file.parent.glob("x.*"))


def test_without_altair_it_says_how_to_get_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    assert "pip install 'xbench[report]'" in f"{report(file, '-o', 'x.html').exception}"
    assert report(file, "--format", "markdown").exit_code == 0


def test_a_picture_goes_through_a_pipe_and_leaves_it_there(folder: Path, tmp_path: Path) -> None:
    """As it leaves a device, which a rename would replace."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()), daemon=True)
    reader.start()
    result = report(folder, "--format", "png", "--chart", "ranking", "-o", pipe)
    assert (result.exit_code, pipe.is_fifo()) == (0, True)
    reader.join(timeout=30)
    assert heard[0].startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["run", "run/result.json"])
def test_a_run_that_was_moved_is_finished_where_it_is(folder: Path, name: str) -> None:
    """Its document names the folder of the machine that measured it, or of another run."""
    result = folder / "result.json"
    told = json.loads(result.read_text())
    result.write_text(json.dumps(told | {"interrupted": True, "folder": "/home/alice/runs/A"}))
    text = report(folder.parent / name).stdout
    assert "/home/alice" not in text
    assert f"--resume {folder}" in text.replace("\n", " ")


def test_a_full_disk_costs_the_file_and_says_so(file: Path) -> None:
    result = report(file, "--format", "csv", "-o", "/dev/full")
    assert result.exit_code == 1
    assert "cannot write /dev/full" in result.output
