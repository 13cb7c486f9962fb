"""The index: it tells what the folders hold, follows them, and answers what is asked."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.archive.stores import NAMES, keep, run_with, unsealed
from tests.xbench.report.runs import cell, interval, run_of, runs, typical
from xbench.archive.entries import FINISHED, INTERRUPTED, UNFINISHED
from xbench.archive.findings import Kind
from xbench.archive.history import look
from xbench.archive.index import NAME, Index
from xbench.archive.query import Query, parse_moment
from xbench.errors import UsageError
from xbench.result import Interval, Run, Status
from xbench.store import REQUEST

EPYC = {"host_id": "aa11bb22cc33", "devices": [{"name": "cpu", "model": "AMD EPYC 9654"}]}
PI = {
    "host_id": "ff00ff00ff00",
    "devices": [{"name": "cpu", "model": "Cortex-A76"}, {"name": "cuda:0", "model": "ACME A1"}],
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of three runs, of two hosts and two models."""
    fp16 = {"requested": "fp16", "effective": "fp16"}
    first = run_with(
        cell(0, "onnxruntime", 5e6, 2, batch=1),
        cell(1, "pytorch:compile", 4e6, 1, batch=8, precision=fp16),
        cell(2, "openvino", status=Status.CRASHED, reason="signal 11"),
        host=EPYC,
    )
    second = run_with(
        cell(0, "pytorch", 9e6, 1, device="cuda:0", scenario="server:30"),
        cell(1, "pytorch#2", 9e6, 1, device="cuda:0"),
        host=PI,
        model={"name": "ResNet-50", "sha256": "ee" * 32},
    )
    keep(tmp_path, NAMES[0], first, began="2026-01-01T12:00:00Z")
    keep(tmp_path, NAMES[1], second, began="2026-01-02T12:00:00Z")
    keep(tmp_path, NAMES[2], began="2026-01-03T12:00:00Z", concluded=False)
    return tmp_path


def test_an_entry_tells_what_the_row_does(store: Path) -> None:
    one = next(e for e in Index.open(store).cells() if e.backend == "pytorch:compile")
    assert (one.run_id, one.folder, one.began) == (
        NAMES[0],
        store / NAMES[0],
        "2026-01-01T12:00:00Z",
    )
    assert (one.host_id, one.host, one.device_model) == (EPYC["host_id"],) + ("AMD EPYC 9654",) * 2
    assert (one.model, one.model_sha256) == ("toy", "ab" * 32)
    assert (one.device, one.batch, one.threads, one.precision) == ("cpu", 8, 2, "fp16")
    assert (one.scenario, one.boundary, one.profile) == ("single-stream", "host", None)
    assert (one.status, one.rank, one.launches) == ("ok", 1, 5)
    assert one.p50_ns == interval(4e6, 0.004)
    assert one.throughput_per_s == interval(250.0)
    row = one.row()
    assert row["latency_ns"]["p50"]["value"] == 4e6
    assert row == next(r for r in one.document()["results"] if r["id"] == one.cell)


@settings(max_examples=15)
@given(runs())
def test_every_run_is_listed_with_all_its_rows(
    tmp_path_factory: pytest.TempPathFactory, run: Run
) -> None:
    """Names of any kind, rows that did not run, and numbers of any size."""
    root = tmp_path_factory.mktemp("store")
    keep(root, NAMES[0], run)
    index = Index.open(root)
    assert index.findings == ()
    found = {e.cell: e for e in index.cells()}
    assert found.keys() == {row.id for row in run.results}
    for row in run.results:
        entry = found[row.id]
        p50 = row.latency_ns.percentiles["p50"] if row.latency_ns else None
        assert (entry.backend, entry.status, entry.p50_ns) == (row.backend, row.status, p50)
    index.close()


def test_the_newest_run_comes_first_and_its_cells_by_rank(store: Path) -> None:
    index = Index.open(store)
    assert [run.folder.name for run in index.runs()] == NAMES[2::-1]
    assert [run.state for run in index.runs()] == [UNFINISHED, FINISHED, FINISHED]
    told = [(e.folder.name, e.batch, e.rank) for e in index.cells()]
    assert told == [
        *[(NAMES[1], 1, 1)] * 2,
        (NAMES[0], 1, 2),
        (NAMES[0], 1, None),
        (NAMES[0], 8, 1),
    ]


@pytest.mark.parametrize(
    ("query", "backends"),
    [
        ({"backend": "pytorch"}, ["pytorch", "pytorch#2", "pytorch:compile"]),
        ({"backend": "PyTorch:*"}, ["pytorch:compile"]),
        ({"backend": "open*, onnx*"}, ["onnxruntime", "openvino"]),
        ({"model": "resnet"}, ["pytorch", "pytorch#2"]),
        ({"model": "abab"}, ["onnxruntime", "openvino", "pytorch:compile"]),
        ({"host": "epyc"}, ["onnxruntime", "openvino", "pytorch:compile"]),
        ({"host": "ff00"}, ["pytorch", "pytorch#2"]),
        ({"device": "cuda:0"}, ["pytorch", "pytorch#2"]),
        ({"device": "acme"}, ["pytorch", "pytorch#2"]),
        ({"status": "crashed"}, ["openvino"]),
        ({"status": "crashed", "backend": "pytorch"}, []),
        ({"precision": "fp16"}, ["pytorch:compile"]),
        ({"scenario": "server"}, ["pytorch"]),
        ({"scenario": "server:30"}, ["pytorch"]),
        ({"batch": (8, 16)}, ["pytorch:compile"]),
        ({"since": "2026-01-02T00:00:00Z"}, ["pytorch", "pytorch#2"]),
        ({"until": "2026-01-02T00:00:00Z"}, ["onnxruntime", "openvino", "pytorch:compile"]),
        ({"run": "20260102*"}, ["pytorch", "pytorch#2"]),
        ({"run": "2026010[2]*"}, []),
        ({"limit": 1}, ["pytorch"]),
        ({"model": "%"}, []),
        ({"model": "'; DROP TABLE cells; --"}, []),
    ],
)
def test_a_query_finds_what_it_asks_for(
    store: Path, query: dict[str, Any], backends: list[str]
) -> None:
    index = Index.open(store)
    asked = Query(**query)
    assert sorted(e.backend for e in index.cells(asked)) == backends
    if not asked.limit:
        assert index.count(asked) == len(backends)


def test_runs_are_asked_for_by_their_rows_or_by_their_state(store: Path) -> None:
    index = Index.open(store)

    def names(**asked: Any) -> list[str]:
        return [run.folder.name for run in index.runs(Query(**asked))]

    assert names(status="crashed") == [NAMES[0]]
    assert names(status="unfinished") == [NAMES[2]]
    assert names(status="running") == []
    assert names(status="unfinished,crashed") == [NAMES[2], NAMES[0]]
    assert names(backend="pytorch") == [NAMES[1], NAMES[0]]
    assert names(model="toy") == [NAMES[2], NAMES[0]]


def test_a_status_that_there_is_not_is_refused(store: Path) -> None:
    with pytest.raises(UsageError, match="no status 'broken'"):
        Index.open(store).cells(Query(status="ok,broken"))


def test_only_what_has_changed_is_read_again(store: Path) -> None:
    assert Index.open(store).read == 3
    index = Index.open(store)
    assert index.read == 0
    keep(store, NAMES[3])
    shutil.rmtree(store / NAMES[1])
    index.refresh()
    assert index.read == 1
    assert [run.folder.name for run in index.runs()] == [NAMES[3], NAMES[2], NAMES[0]]
    assert {e.folder.name for e in index.cells()} == {NAMES[0], NAMES[3]}


def test_a_result_that_is_replaced_is_read_again(store: Path) -> None:
    index = Index.open(store)
    shutil.rmtree(store / NAMES[0])
    keep(store, NAMES[0], run_with(cell(0, "litert", 1e6, 1), host=EPYC))
    index.refresh()
    assert index.read == 1
    (entry,) = (e for e in index.cells() if e.folder.name == NAMES[0])
    assert entry.row()["backend"] == "litert"


def test_an_index_made_anew_says_the_same(store: Path) -> None:
    grown = Index.open(store)
    for name in NAMES[3:6]:
        keep(store, name)
        grown.refresh()
    anew = Index.open(store, rebuild=True)
    assert anew.read == 6
    assert anew.cells() == grown.cells()
    assert anew.runs() == grown.runs()


def test_without_the_file_it_is_made_anew(store: Path) -> None:
    before = Index.open(store).cells()
    (store / NAME).unlink()
    index = Index.open(store)
    assert (index.cells(), index.findings) == (before, ())


def test_a_run_from_before_there_were_hashes_is_listed(tmp_path: Path) -> None:
    """When it began is read from its name, by this machine's clock."""
    folder = keep(tmp_path)
    unsealed(folder / "result.json")
    unsealed(folder / REQUEST)
    index = Index.open(tmp_path)
    (run,) = index.runs()
    assert (run.state, run.cells, index.findings) == (FINISHED, 7, ())
    assert run.began == parse_moment("2026-01-01T12:00:00")


def test_an_interrupted_run_has_its_rows(tmp_path: Path) -> None:
    keep(tmp_path, NAMES[0], replace(typical(), interrupted=True))
    index = Index.open(tmp_path)
    assert [(run.state, run.cells) for run in index.runs()] == [(INTERRUPTED, 7)]


def test_a_folder_of_something_else_is_passed_over(store: Path) -> None:
    (store / "notes").mkdir()
    (store / "notes" / "text.md").write_text("mine")
    (store / ".hidden").mkdir()
    (store / ".hidden" / "result.json").write_text("{}")
    assert len(Index.open(store).runs()) == 3


@pytest.mark.parametrize(
    "told",
    [
        {"schema": 99},
        {"other": "tool"},
        typical().to_json() | {"results": [{"id": 0}]},
        typical().to_json() | {"results": [cell(0, "a", 1e6, 1).to_json() | {"rank": [1]}]},
        typical().to_json() | {"results": [cell(0, "a", 1e6, 1).to_json() | {"rank": "first"}]},
        typical().to_json() | {"results": [cell(0, "a", 1e6, 1).to_json() | {"batch": 2**80}]},
        typical().to_json() | {"host": {"devices": 3}},
    ],
)
def test_a_result_of_another_form_is_told_and_never_moved(store: Path, told: Any) -> None:
    """It may be of a newer xbench, or of somebody else."""
    folder = store / NAMES[5]
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(told))
    index = Index.open(store)
    assert [(one.kind, one.folder) for one in index.findings] == [(Kind.UNREADABLE, folder)]
    assert (folder / "result.json").exists()
    assert len(index.cells()) == 5


def test_a_file_that_cannot_be_looked_at_is_told_and_its_rows_stand(tmp_path: Path) -> None:
    folder = tmp_path / NAMES[0]
    folder.mkdir()
    told = typical().to_json() | {"kept": {"x" * 300: {"bytes": 1, "sha256": ""}}}
    (folder / "result.json").write_text(json.dumps(told))
    index = Index.open(tmp_path)
    assert [(one.kind, one.file) for one in index.findings] == [(Kind.UNREADABLE, "x" * 300)]
    assert len(index.cells()) == 7


def test_a_name_that_is_not_utf_8_is_listed_and_found(store: Path) -> None:
    """A model file may be called so; its run is as good as any other."""
    name = os.fsdecode(b"mod\xff.onnx")
    keep(store, NAMES[3], run_with(cell(0, "acme", 1e6, 1), model={"name": name}))
    index = Index.open(store)
    assert index.findings == ()
    (entry,) = index.cells(Query(model=name))
    assert (entry.folder.name, entry.backend, entry.model) == (NAMES[3], "acme", "mod?.onnx")


def test_a_folder_whose_name_is_not_utf_8_is_told_and_costs_no_other(store: Path) -> None:
    folder = keep(store, os.fsdecode(b"mod\xff"))
    index = Index.open(store)
    assert [(one.kind, one.folder) for one in index.findings] == [(Kind.UNREADABLE, folder)]
    assert len(index.runs()) == 3


@pytest.mark.parametrize("target", ["nothing", ".#notes"])
def test_a_link_to_nothing_within_a_run_costs_nothing(store: Path, target: str) -> None:
    """Editors leave such; a temporary file that goes while a folder is looked at is like it."""
    (store / NAMES[0] / ".#notes").symlink_to(target)
    index = Index.open(store)
    assert (len(index.runs()), index.findings) == (3, ())
    index.refresh()
    assert index.read == 0


def test_a_folder_that_cannot_be_read_is_told_until_it_can(store: Path) -> None:
    loop = store / "loop"
    loop.symlink_to("loop")
    index = Index.open(store)
    assert [(one.kind, one.folder) for one in index.findings] == [(Kind.UNREADABLE, loop)]
    assert len(index.runs()) == 3
    loop.unlink()
    index.refresh()
    assert index.findings == ()


def test_a_limit_of_cells_is_not_used_up_by_runs_without_rows(store: Path) -> None:
    for name in NAMES[3:7]:
        keep(store, name, began=f"{name[:4]}-01-{name[6:8]}T12:00:00Z", concluded=False)
    found = look(Index.open(store), Query(limit=3))
    assert [cell.folder.name for cell in found.cells] == [NAMES[1], NAMES[1], NAMES[0]]
    assert [run.folder.name for run in found.runs] == [*NAMES[6:3:-1], NAMES[1], NAMES[0]]
    newest = look(Index.open(store), Query(limit=2))
    assert [run.folder.name for run in newest.runs] == [NAMES[6], NAMES[5], NAMES[1]]


def test_runs_without_rows_that_are_older_than_what_a_limit_leaves_are_left_out(
    store: Path,
) -> None:
    keep(store, NAMES[3], began="2026-01-04T12:00:00Z")
    found = look(Index.open(store), Query(limit=7))
    assert [run.folder.name for run in found.runs] == [NAMES[3]]
    assert (len(found.cells), found.matching) == (7, 12)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no store"):
        Index.open(tmp_path / "nothing")
    with pytest.raises(UsageError, match="is a run folder"):
        Index.open(keep(tmp_path))


def test_a_row_whose_folder_has_gone_is_an_error_that_says_so(store: Path) -> None:
    entry = Index.open(store).cells()[0]
    shutil.rmtree(entry.folder)
    with pytest.raises(UsageError, match="cannot read"):
        entry.row()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7d", "2026-01-24T09:15:00Z"),
        ("1w", "2026-01-24T09:15:00Z"),
        ("90min", "2026-01-31T07:45:00Z"),
        ("2026-01-30T10:00Z", "2026-01-30T10:00:00Z"),
        ("2026-01-30T10:00+02:00", "2026-01-30T08:00:00Z"),
    ],
)
def test_a_moment_is_a_day_or_how_long_ago(text: str, moment: str) -> None:
    assert parse_moment(text, now_s=1769850900.0) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "-3d", "9" * 400 + "d", "2026-"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no moment"):
        parse_moment(text)


@given(st.floats(1e-9, 1e18), st.integers(0, 2**40))
def test_numbers_come_back_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, value: float, rank: int
) -> None:
    root = tmp_path_factory.mktemp("store")
    wide = Interval(value, value / 3, value * 3)
    keep(root, NAMES[0], run_of((cell(0, "a", value, rank, throughput_per_s=wide),)))
    index = Index.open(root)
    (entry,) = index.cells()
    assert entry.p50_ns is not None
    assert (entry.p50_ns.value, entry.throughput_per_s, entry.rank) == (value, wide, rank)
    index.close()
