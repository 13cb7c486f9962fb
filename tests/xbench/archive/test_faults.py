"""Kills, full disks, damage and rivals: what was reported as written is there, and is told."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from tests.xbench.archive.stores import NAMES, cut, damage, epoch, flip, keep, settle
from tests.xbench.test_store import disk_of
from xbench import keeping
from xbench.archive.bundle import bundle
from xbench.archive.entries import DAMAGED, FINISHED, RUNNING, UNFINISHED
from xbench.archive.findings import Kind
from xbench.archive.index import NAME, Index
from xbench.archive.merge import Outcome, merge
from xbench.archive.reading import read_document
from xbench.errors import UsageError
from xbench.store import RunFolder, read_run, read_samples

HERE = Path(__file__).parent
WRITER = """
import sys
from pathlib import Path
from tests.xbench.archive.stores import epoch
from xbench.store import RunFolder
folder = RunFolder.create(Path(sys.argv[1]))
folder.write_json("run.json", {"format": 1})
for number in range(10**6):
    folder.round((0,), (epoch(number),))
    if folder.problem is None:
        print(number, flush=True)
"""
INDEXER = """
import sys
from pathlib import Path
from xbench.archive.index import Index
for _ in range(30):
    Index.open(Path(sys.argv[1]), rebuild=True)
"""


def started(program: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *args],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parents[2],
    )


def kills(work: str, root: Path, *args: str) -> list[tuple[Path, list[str]]]:
    """Return the folder of each child that was killed, and what it had been told was done."""
    done = subprocess.run(
        [sys.executable, str(HERE / "killing.py"), work, str(root), *args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count = int(done.stdout)
    return [(root / str(n), (root / f"{n}.told").read_text().splitlines()) for n in range(count)]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, list[str]]]:
    """Return the folder of each writer that was killed, and what it had been told was written."""
    found = kills("run", tmp_path_factory.mktemp("killed"))
    assert len(found) > 25  # each write has some calls
    return found


def test_a_kill_at_any_call_loses_nothing_that_was_reported(
    killed: list[tuple[Path, list[str]]],
) -> None:
    """What was told to be written is read; what was not is absent or whole, and never half."""
    for folder, told in killed:
        rounds = [f"round {one.round}" for one in read_samples(folder).epochs]
        assert set(told) - {"run.json", "result.json", "again"} <= set(rounds), folder
        assert rounds == [f"round {n}" for n in range(len(rounds))]
        if "run.json" in told:
            assert read_run(folder)["format"] == 1
        if "result.json" in told or (folder / "result.json").exists():
            assert read_document(folder)["kept"]["samples.jsonl"]["bytes"] > 0


def test_a_killed_writer_is_followed_by_another_and_its_folder_is_whole(
    killed: list[tuple[Path, list[str]]],
) -> None:
    """The next writer's first line does not end up behind half of the last one."""
    for folder, told in killed:
        if "run.json" not in told or "result.json" in told:
            continue
        before = len(read_samples(folder).epochs)
        again = RunFolder(folder)
        again.round((0,), (epoch(7),))
        again.round((0,), (epoch(8),))
        assert again.problem is None
        again.close()
        rounds = [one.round for one in read_samples(folder).epochs]
        assert rounds == [*range(before), 7, 8], folder


def test_the_next_command_says_what_a_kill_cut_off_and_says_it_once(
    killed: list[tuple[Path, list[str]]],
) -> None:
    """Its half-written file is set aside; nothing else of the store is touched."""
    root = killed[0][0].parent
    begun = [folder for folder, _ in killed if (folder / "run.json").exists()]
    left = {file for folder in begun for file in folder.glob(".*.json.*")}
    assert left
    for file in left:
        settle(file)
    index = Index.open(root)
    found = {one.folder / one.file for one in index.findings if one.kind is Kind.CUT_OFF}
    assert found == left
    assert {one.kind for one in index.findings} == {Kind.CUT_OFF}
    assert not any(file.exists() for file in left)
    assert len(list(root.glob("*/quarantine/*"))) == 2 * len(left)  # each with its reason
    assert Index.open(root).findings == ()


def test_a_killed_indexer_leaves_the_old_index_or_the_new_one(tmp_path: Path) -> None:
    copies = 30
    found = kills("index", tmp_path / "all", str(tmp_path / "source"), str(copies))
    assert 3 < len(found) < copies
    for folder, _ in found:
        index = Index.open(folder)
        assert index.findings == ()
        assert [run.folder.name for run in index.runs()] == NAMES[1::-1]


def test_a_killed_bundler_leaves_the_old_bundle_or_the_new_one(tmp_path: Path) -> None:
    copies = 30
    found = kills("bundle", tmp_path / "all", str(tmp_path / "source"), str(copies))
    assert 3 < len(found) < copies
    for folder, told in found:
        merged = merge([folder / "runs.zip"], folder / "into")
        assert {one.outcome for one in merged} == {Outcome.ADDED}
        assert len(merged) == (2 if told else len(merged))


def test_a_killed_merge_leaves_whole_runs_and_is_finished_by_the_next(tmp_path: Path) -> None:
    copies = 50
    found = kills("merge", tmp_path / "all", str(tmp_path / "source"), str(copies))
    assert 20 < len(found) < copies
    for folder, told in found:
        index = Index.open(folder, rebuild=True, deep=True)
        assert index.findings == ()
        assert {run.state for run in index.runs()} == {FINISHED}
        names = {run.folder.name for run in index.runs()}
        assert names >= {NAMES[1], *told}
        again = merge([tmp_path / "others.zip"], folder)
        assert {one.outcome for one in again} <= {Outcome.ADDED, Outcome.THERE}
        assert {run.folder.name for run in Index.open(folder).runs()} == set(NAMES[:2])


def test_a_writer_killed_at_any_moment_loses_nothing_that_was_reported(tmp_path: Path) -> None:
    for turn in range(3):
        folder = tmp_path / str(turn)
        writer = started(WRITER, str(folder))
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(20)]
        sleep(0.01 * turn)
        writer.kill()
        told += [int(line) for line in writer.stdout.read().split("\n")[:-1] if line]
        writer.wait()
        writer.stdout.close()
        rounds = [one.round for one in read_samples(folder).epochs]
        assert rounds == list(range(len(rounds)))
        assert len(rounds) >= len(told) >= 20


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    """A second one is refused, while the first lives; the list says that it is running."""
    folder = tmp_path / "run"
    writer = started(WRITER, str(folder))
    assert writer.stdout is not None
    writer.stdout.readline()
    with pytest.raises(UsageError, match="another process"):
        RunFolder(folder)
    with pytest.raises(UsageError, match="being written"):
        bundle([folder], tmp_path / "runs.zip")
    assert [run.state for run in Index.open(tmp_path).runs()] == [RUNNING]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert [run.state for run in Index.open(tmp_path).runs()] == [UNFINISHED]
    RunFolder(folder).close()


def test_where_no_locks_are_known_two_writers_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xbench.store.hold", lambda _: None)
    folder = keep(tmp_path, concluded=False)
    one, other = RunFolder(folder), RunFolder(folder)
    for number in range(10, 20):
        (one if number % 2 else other).round((0,), (epoch(number),))
    rounds = [epoch.round for epoch in read_samples(folder).epochs]
    assert rounds == [0, 1, 2, *range(10, 20)]
    assert Index.open(tmp_path).findings == ()


def test_two_indexers_and_a_writer_end_with_what_is_there(tmp_path: Path) -> None:
    """Whichever wrote last, the next refresh knows all runs, and the file is never half."""
    rivals = [started(INDEXER, str(tmp_path)) for _ in range(2)]
    for name in NAMES:
        keep(tmp_path, name)
    for rival in rivals:
        assert rival.wait() == 0
        assert rival.stdout is not None
        rival.stdout.close()
    index = Index.open(tmp_path)
    assert sorted(run.folder.name for run in index.runs()) == NAMES
    assert index.findings == ()


# A full disk


def test_a_result_that_the_disk_has_no_room_for_leaves_the_samples(tmp_path: Path) -> None:
    """The run says so; it is unfinished then, and no half of a result is read."""
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("run.json", {"format": 1, "model": {}, "host": {}, "spec": {}})
    folder.round((0,), (epoch(0),))
    with disk_of(200):
        folder.conclude({"schema": 1, "results": ["x" * 500]})
    assert "result.json" in (folder.problem or "")
    folder.close()
    assert not (tmp_path / "run" / "result.json").exists()
    (found,) = Index.open(tmp_path).runs()
    assert (found.state, found.lines) == (UNFINISHED, 1)


def test_a_full_disk_in_the_middle_of_a_line_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where even that half cannot be taken back, the line is there once in the end."""
    folder = RunFolder.create(tmp_path / "run")
    write, truncate, full = os.write, os.ftruncate, [True]

    def out_of_room(descriptor: int, data: bytes) -> int:
        if full[0]:
            write(descriptor, bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    def broken(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", out_of_room)
    folder.round((0,), (epoch(0),))
    assert (folder.path / "samples.jsonl").read_bytes() == b""
    assert "No space left" in (folder.problem or "")
    monkeypatch.setattr(os, "ftruncate", broken)
    folder.round((0,), (epoch(1),))
    full[0] = False
    monkeypatch.setattr(os, "ftruncate", truncate)
    folder.round((0,), (epoch(2),))
    assert folder.problem is None
    assert [one.round for one in read_samples(folder.path).epochs] == [0, 1, 2]
    folder.close()
    (folder.path / "run.json").write_text('{"format": 1}')
    assert Index.open(tmp_path).findings == ()


def test_a_full_disk_costs_the_index_and_no_answer(tmp_path: Path) -> None:
    keep(tmp_path)
    with disk_of(1000):
        index = Index.open(tmp_path)
        assert len(index.cells()) == 7
        assert [one.kind for one in index.findings] == [Kind.INDEX]
    assert not (tmp_path / NAME).exists()


def test_a_full_disk_leaves_no_half_of_a_bundle_or_of_a_run(tmp_path: Path) -> None:
    folder = keep(tmp_path / "from")
    target = tmp_path / "runs.zip"
    with disk_of(1000), pytest.raises(UsageError, match="cannot write"):
        bundle([folder], target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["from"]
    bundle([folder], target)
    with disk_of(1000):
        (refused,) = merge([target], tmp_path / "into")
    assert refused.outcome is Outcome.REFUSED
    assert list((tmp_path / "into").iterdir()) == []


# Damage


@pytest.mark.parametrize("change", [flip, cut, lambda _: b""])
def test_a_damaged_result_is_set_aside_with_the_reason(tmp_path: Path, change: Any) -> None:
    """Not a byte is lost; the run has no rows until its result is there again."""
    folder = keep(tmp_path)
    original = (folder / "result.json").read_bytes()
    damage(folder / "result.json", change)
    index = Index.open(tmp_path)
    (run,) = index.runs()
    assert (run.state, run.cells, run.lines) == (DAMAGED, 0, 3)
    assert run.model == "toy"  # from its request
    assert index.cells() == []
    (found,) = index.findings
    assert (found.kind, found.file) == (Kind.SET_ASIDE, "result.json")
    assert "damaged" in found.what
    assert "--resume" in found.fix
    assert not (folder / "result.json").exists()
    (aside,) = (p for p in (folder / "quarantine").iterdir() if p.suffix != ".json")
    assert aside.read_bytes() == change(original)
    told = json.loads(aside.with_name(f"{aside.name}.reason.json").read_text())
    assert told["file"] == "result.json"
    assert "damaged" in told["reason"]
    assert Index.open(tmp_path).findings == (found,)  # it is said until it is mended
    (folder / "result.json").write_bytes(original)
    mended = Index.open(tmp_path)
    assert (mended.findings, mended.runs()[0].state) == ((), FINISHED)


def test_a_damaged_line_is_told_with_its_place_and_the_others_are_read(tmp_path: Path) -> None:
    """The file stays where it is: moving it would take the good lines along."""
    folder = keep(tmp_path)
    damage(folder / "samples.jsonl", flip)
    index = Index.open(tmp_path)
    (found,) = index.findings
    assert (found.kind, found.file) == (Kind.DAMAGED, "samples.jsonl")
    assert "1 of its 3 lines" in found.what
    assert "line 2" in found.what
    assert [one.round for one in read_samples(folder).epochs] == [0, 2]
    assert len(index.cells()) == 7
    assert (folder / "samples.jsonl").exists()


def test_samples_that_were_cut_short_are_told(tmp_path: Path) -> None:
    """Also at the end of a line, and also a file from before lines had hashes."""
    folder = keep(tmp_path)
    damage(folder / "samples.jsonl", lambda data: b"".join(data.splitlines(keepends=True)[:2]))
    (found,) = Index.open(tmp_path).findings
    assert (found.kind, found.file) == (Kind.LOST, "samples.jsonl")
    assert "cut short" in found.what
    (folder / "samples.jsonl").unlink()
    (found,) = Index.open(tmp_path).findings
    assert "not there" in found.what


def test_a_damaged_request_is_set_aside_and_its_result_stands(tmp_path: Path) -> None:
    folder = keep(tmp_path)
    damage(folder / "run.json", flip)
    index = Index.open(tmp_path)
    assert [(one.kind, one.file) for one in index.findings] == [(Kind.SET_ASIDE, "run.json")]
    assert len(index.cells()) == 7
    with pytest.raises(UsageError, match="no run folder"):
        read_run(folder)


def test_inputs_that_were_damaged_are_found_by_a_whole_check(tmp_path: Path) -> None:
    """They may be large: their size is looked at each time, every byte when asked."""
    folder = keep(tmp_path)
    damage(folder / "feeds-0.npz", flip)
    assert Index.open(tmp_path).findings == ()
    index = Index.open(tmp_path, rebuild=True, deep=True)
    assert [(one.kind, one.file) for one in index.findings] == [(Kind.SET_ASIDE, "feeds-0.npz")]


def test_a_file_that_changed_a_moment_ago_is_told_and_not_moved(tmp_path: Path) -> None:
    """It may be a copy that is under way."""
    folder = keep(tmp_path)
    (folder / "result.json").write_bytes(cut((folder / "result.json").read_bytes()))
    (found,) = Index.open(tmp_path).findings
    assert (found.kind, found.file) == (Kind.DAMAGED, "result.json")
    assert (folder / "result.json").exists()
    settle(folder / "result.json")
    assert [one.kind for one in Index.open(tmp_path).findings] == [Kind.SET_ASIDE]


def test_nothing_is_moved_where_a_writer_is(tmp_path: Path) -> None:
    folder = keep(tmp_path)
    damage(folder / "result.json", flip)
    held = keeping.hold(folder)
    assert held is not None
    try:
        assert [one.kind for one in Index.open(tmp_path).findings] == [Kind.DAMAGED]
        assert (folder / "result.json").exists()
    finally:
        os.close(held)


@pytest.mark.parametrize("change", [flip, cut, lambda _: b"", lambda data: b"x" * len(data)])
def test_a_damaged_index_is_made_anew_and_told(tmp_path: Path, change: Any) -> None:
    keep(tmp_path)
    before = Index.open(tmp_path).cells()
    damage(tmp_path / NAME, change)
    index = Index.open(tmp_path)
    assert index.cells() == before
    assert [one.kind for one in index.findings] == [Kind.INDEX]
    assert "made anew" in index.findings[0].what
    assert Index.open(tmp_path).findings == ()
