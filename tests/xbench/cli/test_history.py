"""`xbench history`, `bundle` and `merge`: what they print, write and leave with."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.xbench.archive.stores import NAMES, damage, flip, keep, run_with
from tests.xbench.report.runs import HOSTILE, cell, typical
from xbench.archive.history import look
from xbench.archive.index import Index
from xbench.archive.query import Query
from xbench.cli import main
from xbench.report import history
from xbench.result import Status


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a store of two runs, in the folder that commands look for."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "xbench-runs"
    keep(root, NAMES[0], began="2026-01-01T12:00:00Z")
    other = run_with(
        cell(0, "openvino", 3e6, 1, batch=8, scenario="server:30"),
        cell(1, "litert", batch=8, status=Status.CRASHED, reason="signal 11"),
        host={"host_id": "ff00ff00ff00", "devices": [{"name": "cpu", "model": "Cortex-A76"}]},
        model={"name": "resnet50", "sha256": "ee" * 32},
    )
    keep(root, NAMES[1], other, began="2026-01-02T12:00:00Z")
    return root


def called(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str
) -> tuple[int, str]:
    """Return the exit status of a command, and what it printed."""
    monkeypatch.setattr(sys, "argv", ["xbench", *args])
    with pytest.raises(SystemExit) as left:
        main.main()
    told = capsys.readouterr()
    return int(left.value.code or 0), told.out + told.err


def test_cells_are_listed_under_their_runs_newest_first(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, text = called(capsys, monkeypatch, "history")
    assert status == 0
    lines = text.splitlines()
    assert lines[1] == "resnet50 on Cortex-A76 (ff00ff00ff00), 2026-01-02 12:00 UTC"
    assert lines[2].strip() == f"xbench-runs/{NAMES[1]}"
    assert lines[4].split()[:5] == ["1", "openvino", "cpu,", "batch", "8,"]
    assert lines[4].split()[-4:] == ["3.000", "ms", "333", "ok"]
    assert "server:30" in text
    assert "crashed" in text
    assert text.index("resnet50") < text.index("toy on A CPU")
    assert "9 cells, 2 runs and" not in text  # one host has no id here
    assert "9 cells and 2 runs in xbench-runs." in text
    assert max(map(len, lines)) <= 80


def test_filters_and_limits_say_how_much_there_is(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, text = called(capsys, monkeypatch, "history", "--model", "toy", "--limit", "2")
    assert status == 0
    assert "resnet50" not in text
    assert "2 of 7 cells and 1 run in xbench-runs. --limit 0 shows all." in text
    status, text = called(capsys, monkeypatch, "history", "--batch", "8", "--since", "2025-01-01")
    assert "2 cells and 1 run" in text
    status, text = called(capsys, monkeypatch, "history", "--model", "nothing")
    assert status == 1
    assert "0 cells and 0 runs" in text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--status", "broken"], "no status"),
        (["--since", "whenever"], "no moment"),
        (["--batch", "0"], "whole numbers"),
        (["--store", "nowhere"], "no store"),
    ],
)
def test_wrong_usage_says_what_to_write(
    store: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    said: str,
) -> None:
    status, text = called(capsys, monkeypatch, "history", *args)
    assert status == 2
    assert said in text


def test_documents_hold_what_the_table_does(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["xbench", "history", "--json", "-", "--csv", "cells.csv"])
    with pytest.raises(SystemExit):
        main.main()
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["matching"], len(told["runs"])) == (1, 9, 2)
    assert told["cells"][0]["p50_ns"] == {"value": 3e6, "low": 3e6 * 0.996, "high": 3e6 * 1.004}
    assert told["cells"][0]["folder"] == f"xbench-runs/{NAMES[1]}"
    rows = list(csv.DictReader(io.StringIO(Path("cells.csv").read_text())))
    assert len(rows) == 9
    assert float(rows[0]["p50_ns"]) == 3e6
    assert rows[1]["p50_ns"] == ""  # crashed: not measured


def test_damage_is_told_and_a_check_fails_for_it(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert called(capsys, monkeypatch, "history", "--check")[0] == 0
    damage(store / NAMES[0] / "result.json", flip)
    status, text = called(capsys, monkeypatch, "history")
    assert status == 0
    assert "Found" in text
    assert "set aside as" in text.replace("\n", " ")
    assert "No result that can be trusted; 3 lines of samples are kept." in text
    assert called(capsys, monkeypatch, "history", "--check")[0] == 1


def test_names_from_outside_do_no_harm(tmp_path: Path) -> None:
    """Terminal sequences, right-to-left marks and a megabyte are shown as short, plain text."""
    for number, name in enumerate((HOSTILE, "<script>alert(1)</script>", "x" * 2**20)):
        run = run_with(
            cell(0, name, 3e6, 1, device=name),
            host={"host_id": name, "devices": [{"name": "cpu", "model": name}]},
            model={"name": name, "sha256": name},
        )
        keep(tmp_path, NAMES[number], run)
    found = look(Index.open(tmp_path), Query())
    text = history.render(found)
    assert found.findings == ()
    assert len(text) < 5000
    assert not {"\x1b", "\u202e", "\x07", "\r"} & set(text)
    assert "\u202e" not in history.csv(found)


def test_a_bundle_carries_runs_to_another_store(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, text = called(capsys, monkeypatch, "bundle", "xbench-runs", "-o", "all.zip")
    assert (status, text.startswith("all.zip: 2 runs, 10 files, ")) == (0, True)
    status, text = called(capsys, monkeypatch, "merge", "all.zip", "--into", "other")
    assert (status, text) == (0, "2 runs added to other.\n")
    status, text = called(capsys, monkeypatch, "merge", "all.zip", "all.zip", "--into", "other")
    assert (status, text) == (0, "0 runs added to other, 4 already there.\n")
    assert "9 cells" in called(capsys, monkeypatch, "history", "--store", "other")[1]
    assert called(capsys, monkeypatch, "merge", "nothing.zip")[0] == 2
    assert called(capsys, monkeypatch, "bundle", "nothing", "-o", "x.zip")[0] == 2


def test_another_run_of_the_same_name_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep(tmp_path / "a", "run", typical())
    keep(tmp_path / "b", "run", run_with(cell(0, "x", 1e6, 1)))
    called(capsys, monkeypatch, "bundle", "b", "-o", "b.zip")
    status, text = called(capsys, monkeypatch, "merge", "b.zip", "--into", "a")
    assert status == 0
    assert "run is a/run-2 here" in text


def test_the_commands_load_no_numpy_before_they_are_called() -> None:
    program = "import sys, xbench.cli.main; print(sorted({'numpy', 'sqlite3'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
