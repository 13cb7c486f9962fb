"""The program as a shell sees it: real processes, their output and exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "from xbench.cli.main import main; main()"
ROOT = Path(__file__).parents[3]


def xbench(
    *arguments: str, before: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program; ``before`` is code that its interpreter runs first."""
    paths = [str(ROOT / part) for part in ("", "adapters", "models")]
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{PROGRAM}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "80"},
    )


def one_line(text: str) -> str:
    """Return the only line of an error; a traceback has more."""
    assert text.count("\n") == 1, text
    return text


def test_help_names_every_command_and_fits() -> None:
    done = xbench("--help")
    assert done.returncode == 0
    for name in ("compare", "selftest", "backends", "devices", "models", "export"):
        assert f"\n  {name} " in done.stdout
    assert "..." not in done.stdout.partition("Commands:")[2]  # no summary is cut
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_loads_nothing_heavy() -> None:
    look = (
        "import atexit, sys\n"
        "heavy = {'numpy', 'onnx', 'scipy', 'torch', 'rich', 'openvino', 'onnxruntime'}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))"
    )
    for arguments in (["--help"], ["compare", "--help"]):
        assert xbench(*arguments, before=look).stdout.endswith("LOADED []\n")


def test_every_option_of_the_contract_is_taught() -> None:
    text = xbench("compare", "--help").stdout
    for option in [
        "backends",
        "device",
        "batch",
        "shape",
        "threads",
        "profile",
        "precision",
        "launches",
        "precision-target",
        "boundary",
        "time-budget",
        "timeout",
        "seed",
        "inputs",
        "quick",
        "out",
        "resume",
        "json",
        "csv",
        "markdown",
        "no-progress",
    ]:
        assert f"--{option}" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare"], "no model"),
        (["compare", "m", "--batch", "0"], "whole numbers above zero"),
        (["compare", "m", "--shape", "x"], "not a shape"),
        (["compare", "m", "--shape", "x=1", "--shape", "x=2"], "twice"),
        (["compare", "m", "--precision", "fp9"], "There are fp32, tf32"),
        (["compare", "m", "--boundary", "gpu"], "There are host, device"),
        (["compare", "m", "--time-budget", "soon"], "not a duration"),
        (["compare", "m", "--precision-target", "2"], "not a share"),
        (["compare", "m", "--backends", ","], "names none"),
        (["compare", "m", "--json", "-", "--csv", "-"], "one place"),
        (["compare", "--resume", "r", "--seed", "3"], "Leave out MODEL and the other options"),
    ],
)
def test_wrong_usage_is_one_line_and_2(arguments: list[str], said: str) -> None:
    done = xbench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert one_line(done.stderr).startswith("error: ")
    assert said in done.stderr


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    done = xbench("compare", "m", "--bach", "1")
    assert done.returncode == 2
    assert "--batch" in done.stderr


FAULT = "import xbench.device\ndef fault():\n    raise {}\nxbench.device.list_devices = fault"


def test_a_defect_is_one_line_and_its_traceback_a_file(tmp_path: Path) -> None:
    before = f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
    done = xbench("devices", before=before + FAULT.format("ZeroDivisionError('oops')"))
    assert done.returncode == 70
    assert "this is a defect of xbench: ZeroDivisionError: oops" in one_line(done.stderr)
    [kept] = tmp_path.iterdir()
    assert str(kept) in done.stderr
    assert "Traceback" in kept.read_text()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("KeyboardInterrupt", 130),
        ("__import__('xbench.errors').errors.InterruptedRunError()", 130),
        ("__import__('xbench.errors').errors.ModelError('no such file', 'Name another')", 2),
    ],
)
def test_each_way_of_ending_has_its_status(error: str, status: int) -> None:
    done = xbench("devices", before=FAULT.format(error))
    assert done.returncode == status
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    """As in ``xbench devices | head -0``."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "devices"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(writer)
    assert done.returncode in {1, 141}
    assert done.stderr == ""


def test_devices_lists_the_cpu() -> None:
    done = xbench("devices")
    assert done.returncode == 0
    assert done.stdout.startswith("cpu ")
    assert "cores: " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_an_output_without_the_characters_is_no_error() -> None:
    done = xbench("devices", before="import sys; sys.stdout.reconfigure(encoding='ascii')")
    assert done.returncode == 0


def test_a_closed_stdout_is_no_error() -> None:
    assert xbench("devices", before="import sys; sys.stdout = None").returncode == 0


def test_backends_lists_each_with_what_it_runs_on() -> None:
    done = xbench("backends")
    assert done.returncode == 0
    for name in ("onnxruntime", "openvino", "pytorch", "pytorch:compile"):
        assert name in done.stdout
    assert "cpu" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["nowhere.onnx"], "nowhere.onnx"),
        (["m.onnx", "--backends", "onnxruntme"], "Did you mean 'onnxruntime'?"),
        (["m.onnx", "--device", "cpus"], "Did you mean 'cpu'?"),
        (["--resume", "nowhere"], "nowhere is no run folder"),
    ],
)
def test_what_does_not_exist_is_said_in_one_line(
    arguments: list[str], hint: str, tmp_path: Path
) -> None:
    done = xbench("compare", "-q", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert hint in one_line(done.stderr)
    assert not list(tmp_path.iterdir())  # nothing was begun


def test_a_file_that_is_no_model_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x00not a model\xff" * 100)
    done = xbench("compare", "m.onnx", "-q", cwd=tmp_path)
    assert done.returncode == 2
    assert "m.onnx" in one_line(done.stderr)
