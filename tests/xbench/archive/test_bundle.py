"""Bundles: the same runs, the same bytes; unpacked whole, safely, and once."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.xbench.archive.stores import NAMES, damage, flip, keep, run_with
from tests.xbench.report.runs import cell
from xbench import seal
from xbench.archive.bundle import bundle
from xbench.archive.findings import Kind
from xbench.archive.index import Index
from xbench.archive.merge import Outcome, merge
from xbench.errors import UsageError

HERE = Path(__file__).parent
MERGER = """
import sys
from pathlib import Path
from xbench.archive.merge import merge
for one in merge([Path(sys.argv[1])], Path(sys.argv[2])):
    print(one.outcome.value)
"""


def files(folder: Path) -> dict[str, bytes]:
    """Return what is in a run folder, without its lock and what waits in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def outcomes(bundles: list[Path], root: Path) -> list[tuple[str, Outcome]]:
    return [(one.name, one.outcome) for one in merge(bundles, root)]


def rewritten(path: Path, changes: dict[str, bytes | None], extra: Any = ()) -> Path:
    """Return a copy of a bundle with members changed, left out (None) or added."""
    target = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = changes.get(info.filename, old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
        for name, data in extra:
            new.writestr(name, data)
    return target


def forged(path: Path, files: dict[str, bytes], name: str = "run") -> Path:
    """Write a bundle by hand, whose manifest agrees with what is in it."""
    from hashlib import sha256

    told = {f: {"bytes": len(d), "sha256": sha256(d).hexdigest()} for f, d in files.items()}
    document = {"xbench_bundle": 1, "runs": [{"name": name, "files": told}]}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", seal.sealed_text(document))
        for file, data in files.items():
            archive.writestr(f"{name}/{file}", data)
    return path


def test_runs_of_several_hosts_come_together(tmp_path: Path) -> None:
    bundles = []
    for number, host in enumerate(("aa", "bb")):
        store = tmp_path / host
        for name in NAMES[number * 2 : number * 2 + 2]:
            keep(store, name, run_with(cell(0, "a", 5e6, 1), host={"host_id": host * 6}))
        bundles.append(bundle([store], tmp_path / f"{host}.zip").path)
    root = tmp_path / "all"
    assert outcomes(bundles, root) == [(name, Outcome.ADDED) for name in NAMES[:4]]
    index = Index.open(root, rebuild=True, deep=True)
    assert {run.host_id for run in index.runs()} == {"a" * 12, "b" * 12}
    assert index.findings == ()
    for name in NAMES[:2]:
        assert files(root / name) == files(tmp_path / "aa" / name)
    assert [path.name for path in root.glob(".*")] == [".index.sqlite"]


def test_the_same_runs_make_the_same_bytes(tmp_path: Path) -> None:
    folders = [keep(tmp_path / "store", name) for name in NAMES[:3]]
    first = bundle(folders, tmp_path / "one.zip")
    second = bundle([*reversed(folders), folders[0]], tmp_path / "two.zip")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert [run.name for run in first.runs] == NAMES[:3]


def test_what_is_only_of_its_machine_stays(tmp_path: Path) -> None:
    folder = keep(tmp_path)
    (folder / "outputs" / "0-0-0.npz").write_bytes(b"waiting")
    (folder / "quarantine").mkdir()
    (folder / "quarantine" / "x").write_bytes(b"damaged")
    (folder / "link").symlink_to("/etc/passwd")
    written = bundle([folder], tmp_path / "one.zip")
    assert sorted(written.runs[0].files) == [
        "feeds-0.npz",
        "logs/0.log",
        "result.json",
        "run.json",
        "samples.jsonl",
    ]


def test_a_run_that_is_there_is_left_alone(tmp_path: Path) -> None:
    folder = keep(tmp_path / "store")
    one = bundle([folder], tmp_path / "one.zip").path
    root = tmp_path / "all"
    assert outcomes([one, one], root) == [(NAMES[0], Outcome.ADDED), (NAMES[0], Outcome.THERE)]
    assert outcomes([one], tmp_path / "store") == [(NAMES[0], Outcome.THERE)]


def test_another_run_of_the_same_name_gets_a_number(tmp_path: Path) -> None:
    """By content: merged again, each is known."""
    bundles = []
    for host in ("aa", "bb", "cc"):
        folder = keep(tmp_path / host, "run", run_with(cell(0, host, 5e6, 1)))
        bundles.append(bundle([folder], tmp_path / f"{host}.zip").path)
    root = tmp_path / "all"
    assert [one.folder and one.folder.name for one in merge(bundles, root)] == [
        "run",
        "run-2",
        "run-3",
    ]
    assert outcomes(bundles[::-1], root) == [("run", Outcome.THERE)] * 3
    assert {e.backend for e in Index.open(root).cells()} == {"aa", "bb", "cc"}


def test_runs_of_one_name_in_one_bundle_are_kept_apart(tmp_path: Path) -> None:
    folders = [keep(tmp_path / h, "run", run_with(cell(0, h, 5e6, 1))) for h in ("aa", "bb")]
    written = bundle(folders, tmp_path / "one.zip")
    assert [run.name for run in written.runs] == ["run", "run-2"]
    assert (
        written.path.read_bytes() == bundle(folders[::-1], tmp_path / "two.zip").path.read_bytes()
    )
    merge([written.path], tmp_path / "all")
    assert {e.backend for e in Index.open(tmp_path / "all").cells()} == {"aa", "bb"}


def test_two_merges_at_once_leave_one_copy(tmp_path: Path) -> None:
    for name in NAMES[:4]:
        keep(tmp_path / "store", name)
    one = bundle([tmp_path / "store"], tmp_path / "one.zip").path
    root = tmp_path / "all"
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", MERGER, str(one), str(root)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE.parents[2],
        )
        for _ in range(3)
    ]
    told = [word for rival in rivals for word in rival.communicate()[0].splitlines()]
    assert sorted(told) == ["added"] * 4 + ["already there"] * 8
    assert sorted(path.name for path in root.iterdir()) == NAMES[:4]


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    """Either the bundle is refused, or the run; what is merged is what was bundled."""
    folder = keep(tmp_path / "store")
    data = bundle([folder], tmp_path / "one.zip").path.read_bytes()
    draw = random.Random(0)
    for turn in range(60):
        at = draw.randrange(len(data))
        changed = tmp_path / "changed.zip"
        changed.write_bytes(data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :])
        root = tmp_path / f"all-{turn}"
        try:
            (one,) = merge([changed], root)
        except UsageError:
            continue
        if one.folder is not None:  # a bit that means nothing, such as of a date
            assert files(one.folder) == files(folder)
        else:
            assert list(root.iterdir()) == []


def test_a_bundle_cut_short_is_refused(tmp_path: Path) -> None:
    data = bundle([keep(tmp_path)], tmp_path / "one.zip").path.read_bytes()
    for end in (0, 1, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.zip").write_bytes(data[:end])
        with pytest.raises(UsageError, match=r"cut\.zip"):
            merge([tmp_path / "cut.zip"], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_damaged_run_costs_no_other(tmp_path: Path) -> None:
    for name in NAMES[:3]:
        keep(tmp_path / "store", name)
    one = bundle([tmp_path / "store"], tmp_path / "one.zip").path
    changed = rewritten(one, {f"{NAMES[1]}/samples.jsonl": b"other", f"{NAMES[2]}/run.json": None})
    found = merge([changed], tmp_path / "all")
    assert [one.outcome for one in found] == [Outcome.ADDED, Outcome.REFUSED, Outcome.REFUSED]
    assert "samples.jsonl" in found[1].reason
    assert "run.json" in found[2].reason
    assert [path.name for path in (tmp_path / "all").iterdir()] == [NAMES[0]]


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "/etc/evil",
        "logs/../../evil",
        "..",
        ".",
        "",
        "a/b",
        "logs/a/b",
        "logs/",
        ".lock",
        ".index.sqlite",
        "quarantine/x",
        "outputs/x",
        "c:evil",
        "a\\..\\evil",
        "a\x00b",
        "a\nb",
        "x" * 300,
    ],
)
def test_no_path_leads_out_of_its_run(tmp_path: Path, path: str) -> None:
    """A name that could lead elsewhere, or hide, refuses the whole bundle before it is unpacked."""
    evil = forged(tmp_path / "evil.zip", {"run.json": b"{}", path: b"evil"})
    with pytest.raises(UsageError, match="may not be in a bundle"):
        merge([evil], tmp_path / "in" / "all")
    named = forged(tmp_path / "named.zip", {"run.json": b"{}"}, name=path or ".")
    with pytest.raises(UsageError, match=r"may not be in a bundle|no name of a run"):
        merge([named], tmp_path / "in" / "all")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["evil.zip", "named.zip"]


def test_members_that_the_manifest_does_not_name_are_never_unpacked(tmp_path: Path) -> None:
    one = bundle([keep(tmp_path / "store")], tmp_path / "one.zip").path
    changed = rewritten(one, {}, [("../evil", b"x"), (f"{NAMES[0]}/extra", b"x")])
    (merged,) = merge([changed], tmp_path / "all")
    assert merged.folder is not None
    assert "extra" not in files(merged.folder)
    assert not (tmp_path / "evil").exists()


def test_no_more_is_written_than_the_manifest_says(tmp_path: Path) -> None:
    """However much a member grows when it is unpacked."""
    one = bundle([keep(tmp_path / "store")], tmp_path / "one.zip").path
    bomb = rewritten(one, {f"{NAMES[0]}/run.json": b"0" * 10**7})
    (merged,) = merge([bomb], tmp_path / "all")
    assert merged.outcome is Outcome.REFUSED
    assert "longer" in merged.reason


@pytest.mark.parametrize("told", [b"[]", b"{}", b"x", b'{"xbench_bundle": 1}'])
def test_what_is_no_bundle_is_refused(tmp_path: Path, told: bytes) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", told)
    with pytest.raises(UsageError, match=r"other\.zip"):
        merge([path], tmp_path / "all")


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for name, data in (("text.zip", b"text"), ("empty.zip", empty.getvalue())):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match=name):
            merge([tmp_path / name], tmp_path / "all")
    with pytest.raises(UsageError, match="cannot read"):
        merge([tmp_path / "nothing.zip"], tmp_path / "all")
    with pytest.raises(UsageError, match="holds none"):
        bundle([tmp_path], tmp_path / "out.zip")


def test_a_bundle_of_a_newer_xbench_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", seal.sealed_text({"xbench_bundle": 2, "runs": []}))
    with pytest.raises(UsageError, match="newer xbench"):
        merge([path], tmp_path / "all")


def test_damage_goes_along_and_is_told_at_both_ends(tmp_path: Path) -> None:
    """A run is not made good by being carried."""
    folder = keep(tmp_path / "store")
    damage(folder / "samples.jsonl", flip)
    written = bundle([folder], tmp_path / "one.zip")
    assert [one.kind for one in written.findings] == [Kind.DAMAGED]
    merge([written.path], tmp_path / "all")
    assert [one.kind for one in Index.open(tmp_path / "all").findings] == [Kind.DAMAGED]


def test_a_run_that_cannot_be_packed_is_told(tmp_path: Path) -> None:
    """Its name is no text, as when it was unpacked by a program that takes names for bytes."""
    keep(tmp_path / "store")
    (tmp_path / "store" / os.fsdecode(b"odd\xff")).mkdir()
    (tmp_path / "store" / os.fsdecode(b"odd\xff") / "result.json").write_text("{}")
    written = bundle([tmp_path / "store"], tmp_path / "one.zip")
    assert len(written.runs) == 1
    assert [one.kind for one in written.findings] == [Kind.UNREADABLE]


def test_what_a_killed_merge_left_is_cleared_away(tmp_path: Path) -> None:
    import os

    left = tmp_path / "all" / ".merge-1-abc"
    left.mkdir(parents=True)
    (left / "run.json").write_text(json.dumps({}))
    os.utime(left, (0, 0))
    one = bundle([keep(tmp_path / "store")], tmp_path / "one.zip").path
    merge([one], tmp_path / "all")
    assert [path.name for path in (tmp_path / "all").iterdir()] == [NAMES[0]]
