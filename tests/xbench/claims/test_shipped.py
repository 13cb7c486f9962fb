"""The files that xbench brings, and the command around them; nothing is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from tests.xbench.claims.made import HERE, text_of
from tests.xbench.cli.test_main import xbench
from xbench.catalog import cards
from xbench.claims.bars import before
from xbench.claims.claim import OF_A_PAIR, ClaimsFile
from xbench.claims.settings import settings_of
from xbench.claims.shelf import find_claims, shipped
from xbench.cli.main import app
from xbench.errors import UnknownNameError, UsageError

NAMES = ["openvino-onnxruntime", "yolo-export-cpu"]


def test_the_shipped_files_are_found_by_name() -> None:
    assert [file.name for file in shipped()] == NAMES
    assert find_claims("yolo-export-cpu").title.startswith("YOLO")
    with pytest.raises(UnknownNameError, match="Did you mean 'yolo-export-cpu'"):
        find_claims("yolo-export")


@pytest.mark.parametrize("file", shipped(), ids=lambda file: file.name)
def test_a_shipped_file_says_where_every_figure_comes_from(file: ClaimsFile) -> None:
    """Each model is one that the zoo makes, each claim has figures, and some can be compared."""
    for subject in file.subjects:
        assert subject.run in cards()
        assert subject.rebuilt, "the zoo has no published weights"
    for claim in file.claims:
        assert claim.figures or claim.note, claim.id
        if claim.kind in OF_A_PAIR:
            assert claim.value
    comparable = [claim for claim in file.claims if before(claim, HERE) is None]
    assert len(comparable) >= 5
    assert len(settings_of(comparable)) <= 3  # minutes, not hours


def test_the_command_lists_them() -> None:
    done = CliRunner().invoke(app, ["verify"])
    assert done.exit_code == 0
    for name in NAMES:
        assert name in done.stdout
    assert max(map(cell_len, done.stdout.splitlines())) <= 80


def test_the_command_shows_the_claims_of_one() -> None:
    done = CliRunner().invoke(app, ["verify", "yolo-export-cpu", "--list"])
    assert done.exit_code == 0
    for part in ("onnx-over-pytorch", "1.84", "Raspberry Pi 5", "github.com"):
        assert part in done.stdout
    assert max(map(cell_len, done.stdout.splitlines())) <= 80


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    """It names file, line and field, and nothing is made or measured."""
    path = tmp_path / "made.yaml"
    path.write_text(text_of("- {id: a, kind: ratio, baseline: pytorch}"))
    done = xbench("verify", str(path), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"made.yaml, line {len(path.read_text().splitlines())}: claims[0]" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["nothing.yaml", "."])
def test_what_is_no_file_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read|is no file"):
        find_claims(str(tmp_path / name))


def test_help_teaches_the_file() -> None:
    done = xbench("verify", "--help")
    assert done.returncode == 0
    for part in ("sources:", "rebuilt:", "tolerance:", "not comparable", "Exit status"):
        assert part in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
