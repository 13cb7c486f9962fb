"""`xbench inspect`: what its options ask for, what it writes, and how it ends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from tests.xbench.cli.test_main import one_line, xbench
from tests.xbench.conftest import model_of
from tests.xbench.graphs import BOOL, FLOAT, node, save
from tests.xbench.report.test_inspection import ANSWERS, KNOWN, inspection
from xbench.cli.main import app
from xbench.errors import UsageError
from xbench.source import Terms


class Inspector:
    """Stands where backends would be asked: hears what is wanted, answers with an inspection."""

    def __init__(self) -> None:
        self.found = inspection(KNOWN, ANSWERS[:1])
        self.asked: dict[str, Any] = {}

    def inspect(self, model: str, backends: tuple[str, ...], **others: Any) -> Any:
        others.pop("progress").note("asking")
        self.asked = {"model": model, "backends": backends, **others}
        return self.found


@pytest.fixture
def inspector(monkeypatch: pytest.MonkeyPatch) -> Inspector:
    import xbench.inspection

    own = Inspector()
    monkeypatch.setattr(xbench.inspection, "inspect", own.inspect)
    return own


def inspect(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["inspect", *arguments])


def test_plain_defaults_ask_every_backend_at_the_models_own_shapes(inspector: Inspector) -> None:
    assert inspect("resnet50").exit_code == 0
    assert inspector.asked == {
        "model": "resnet50",
        "backends": ("all",),
        "batch": None,
        "shapes": {},
        "device": "cpu",
        "timeout_s": 300.0,
        "terms": Terms(),
    }


def test_every_option_arrives(inspector: Inspector) -> None:
    line = "m.onnx --backends pytorch,openvino --batch 8 --shape ids=8x16 --timeout 9s"
    line += " --device cuda:0 --trust"
    assert inspect(*line.split()).exit_code == 0
    assert inspector.asked == {
        "model": "m.onnx",
        "backends": ("pytorch", "openvino"),
        "batch": 8,
        "shapes": {"ids": (8, 16)},
        "device": "cuda:0",
        "timeout_s": 9.0,
        "terms": Terms(trusted=True, shapes={"ids": (8, 16)}),
    }
    assert inspect("m.onnx", "--backends", "none").exit_code == 0
    assert inspector.asked["backends"] == ()


def test_a_backend_that_does_not_take_the_model_makes_the_status_1(inspector: Inspector) -> None:
    inspector.found = replace(inspector.found, backends=ANSWERS)
    done = inspect("m")
    assert done.exit_code == 1
    assert "com.microsoft::Gelu" in done.stdout


def test_the_document_has_stdout_to_itself(inspector: Inspector) -> None:
    done = inspect("m", "--json", "-", "-q")
    assert json.loads(done.stdout) == json.loads(json.dumps(inspector.found.to_json()))
    assert "MatMul" in done.stderr


def test_the_document_goes_to_its_file(inspector: Inspector, tmp_path: Path) -> None:
    done = inspect("m", "--json", str(tmp_path / "found.json"))
    assert json.loads((tmp_path / "found.json").read_text())["schema"] == 1
    assert "MatMul" in done.stdout
    assert "asking" in done.stderr


def test_nothing_is_asked_for_a_document_that_cannot_be_written(inspector: Inspector) -> None:
    assert isinstance(inspect("m", "--json", "nowhere/x.json").exception, UsageError)
    assert inspector.asked == {}


# As a shell sees it


def test_help_teaches_every_option_and_what_is_counted() -> None:
    done = xbench("inspect", "--help")
    assert done.returncode == 0
    for option in ("backends", "batch", "shape", "timeout", "json", "no-progress"):
        assert f"--{option}" in done.stdout
    for word in ("Examples:", "FLOP", "bytes", "Exit status: 0", "130 interrupted"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_loads_nothing_heavy() -> None:
    look = (
        "import atexit, sys\n"
        "heavy = {'numpy', 'onnx', 'scipy', 'torch', 'rich', 'openvino', 'onnxruntime'}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))"
    )
    assert xbench("inspect", "--help", before=look).stdout.endswith("LOADED []\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["m", "--batch", "0"], "whole numbers above zero"),
        (["m", "--batch", "1,8"], "one batch size"),
        (["m", "--shape", "x"], "not a shape"),
        (["m", "--shape", "x=1", "--shape", "x=2"], "twice"),
        (["m", "--timeout", "soon"], "not a duration"),
        (["m", "--backends", ","], "names none"),
        (["m.onnx", "--backends", "none"], "no such file"),
        (["m.onnx", "--backends", "onnxruntme"], "Did you mean 'onnxruntime'?"),
        (["resnet5"], "Did you mean 'resnet50'?"),
    ],
)
def test_wrong_usage_is_one_line_and_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = xbench("inspect", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert one_line(done.stderr).startswith("error: ")
    assert said in done.stderr


def test_a_file_that_is_no_model_is_2(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x00not a model\xff" * 100)
    done = xbench("inspect", "m.onnx", "-q", cwd=tmp_path)
    assert done.returncode == 2
    assert "m.onnx" in one_line(done.stderr)


def test_lengths_that_stay_open_are_2_with_the_option_that_helps(tmp_path: Path) -> None:
    save(
        tmp_path,
        [node("Relu", ["ids"], ["y"])],
        {"ids": (FLOAT, ["batch", "sequence"])},
        {"y": (FLOAT, ["batch", "sequence"])},
    )
    done = xbench("inspect", "model.onnx", "-q", cwd=tmp_path)
    assert done.returncode == 2
    assert "--shape ids=1x128" in one_line(done.stderr)


def test_a_real_model_is_shown_whole_and_a_backend_without_an_operator_is_1(
    tmp_path: Path,
) -> None:
    """OpenVINO has no rule for an operator that nobody defines; without backends it is 0."""
    save(
        tmp_path,
        [
            node("Compress", ["x", "c"], ["some"], name="pick", axis=0),
            node("MatMul", ["some", "w"], ["y"], name="product"),
        ],
        {"x": (FLOAT, ["batch", 4]), "c": (BOOL, ["batch"])},
        {"y": (FLOAT, ["some", 2])},
        {"w": np.ones((4, 2), np.float32)},
    )
    done = xbench("inspect", "model.onnx", "--batch", "8", "--backends", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(cell_len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    for line in ("output  y  float32  ?x2", "lengths        batch = 8"):
        assert line in done.stdout

    onnx.save(model_of("Nonsense", "some.domain"), tmp_path / "odd.onnx")
    done = xbench("inspect", "odd.onnx", "--backends", "openvino", "--json", "-", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    [answer] = json.loads(done.stdout)["backends"]
    assert answer["status"] == "unsupported"
    assert answer["node"]["name"] == "only"
    assert answer["node"]["operator"] == "some.domain::Nonsense"
    assert "some.domain::Nonsense" in done.stderr


def test_the_program_lists_the_command_with_its_whole_summary() -> None:
    listed = xbench("--help").stdout.partition("Commands:")[2]
    assert "  inspect " in listed
    assert "..." not in listed
