"""Reading a finished run: what was written, or an error that says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.xbench.archive.stores import cut, damage, flip, keep, unsealed
from tests.xbench.report.runs import typical
from xbench.archive.reading import DamagedFileError, read_document
from xbench.errors import UsageError
from xbench.report import document
from xbench.result import SCHEMA


def test_a_folder_its_result_and_a_document_of_json_say_the_same(tmp_path: Path) -> None:
    folder = keep(tmp_path)
    (tmp_path / "own.json").write_text(document.render(typical()))
    rows = read_document(folder)["results"]
    assert rows == read_document(folder / "result.json")["results"]
    assert rows == read_document(tmp_path / "own.json")["results"]
    assert [row["backend"] for row in rows][:2] == ["onnxruntime", "openvino"]


def test_a_folder_from_before_there_were_hashes_is_read(tmp_path: Path) -> None:
    folder = keep(tmp_path)
    unsealed(folder / "result.json")
    assert len(read_document(folder)["results"]) == 7


@pytest.mark.parametrize("change", [flip, cut, lambda data: data[:-1], lambda data: b""])
def test_a_damaged_result_is_never_read(tmp_path: Path, change: Any) -> None:
    folder = keep(tmp_path)
    damage(folder / "result.json", change)
    with pytest.raises(DamagedFileError, match="--resume"):
        read_document(folder)


def test_a_copy_of_a_result_is_held_against_its_hash_too(tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    copy.write_bytes(flip((keep(tmp_path) / "result.json").read_bytes()))
    with pytest.raises(DamagedFileError, match="again"):
        read_document(copy)


def test_a_run_without_a_result_is_finished_by_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no result yet.*--resume"):
        read_document(keep(tmp_path, concluded=False))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([], "no schema"),
        ({}, "no schema"),
        ({"schema": True}, "no schema"),
        ({"schema": "1"}, "no schema"),
        ({"schema": SCHEMA + 1}, "newer xbench"),
        (
            {"schema": 1, "run_id": "a", "model": {}, "host": {}, "spec": {}, "results": [3]},
            "results",
        ),
        ({"schema": 1, "run_id": 3, "model": {}, "host": {}, "spec": {}, "results": []}, "run_id"),
        ({"schema": 1, "run_id": "a", "host": {}, "spec": {}, "results": []}, "model missing"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, told: Any, said: str) -> None:
    file = tmp_path / "some.json"
    file.write_text(json.dumps(told))
    with pytest.raises(UsageError, match=said):
        read_document(file)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[" * 100_000, '{"schema": 1, "a": NaN}'])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "some.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"some\.json"):
        read_document(file)


def test_a_path_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_document(tmp_path / "nothing")
    with pytest.raises(UsageError, match="cannot read"):
        read_document(tmp_path)  # a folder of something else
