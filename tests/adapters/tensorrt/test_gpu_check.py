"""`scripts/gpu-check`: what it says without a GPU, and the evidence that it leaves with one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from xbench.testing import models

SCRIPT = Path(__file__).parents[3] / "scripts/gpu-check"
DRIVER = """#!/bin/sh
case "$1" in
--query-gpu=index,uuid,name)
    echo "0, GPU-aaaa1111, NVIDIA Double 80GB"; echo "1, GPU-bbbb2222, NVIDIA Other 16GB" ;;
*) echo "driver said: $*" ;;
esac
exit {status}
"""


def check(
    folder: Path, *arguments: str, driver: str | None, python: str | Path = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Return what the script did where that is the program of NVIDIA's driver, or none is there."""
    programs = folder / "programs"
    programs.mkdir()
    if driver is not None:
        program = programs / "nvidia-smi"
        program.write_text(driver)
        program.chmod(0o755)
    paths = [str(programs), *([] if driver is None else os.environ["PATH"].split(os.pathsep))]
    return subprocess.run(
        [python, SCRIPT, "--out", "evidence", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("driver", [None, DRIVER.replace("{status}", "9")])
def test_without_a_gpu_it_says_so_and_leaves_nothing(tmp_path: Path, driver: str | None) -> None:
    """No program of the driver, or one that finds no GPU."""
    done = check(tmp_path, driver=driver)
    assert done.returncode == 2
    assert "There is no NVIDIA GPU" in done.stdout
    assert not (tmp_path / "evidence").exists()


def test_an_environment_that_cannot_be_made_is_told_apart(tmp_path: Path) -> None:
    """From a folder without wheels nothing can be installed, and the network is not asked."""
    wheels, bare = tmp_path / "wheels", tmp_path / "bare"
    wheels.mkdir()
    venv.create(bare, with_pip=True)
    done = check(
        tmp_path,
        *("--wheels", str(wheels)),
        driver=DRIVER.replace("{status}", "0"),
        python=bare / "bin/python",
    )
    assert done.returncode == 3, done.stdout + done.stderr
    (folder,) = (tmp_path / "evidence").glob("*-nvidia-double-80gb")
    assert json.loads((folder / "evidence.json").read_text())["status"] == 3
    assert "No matching distribution" in (folder / "install-tools.log").read_text()


@pytest.mark.parametrize(
    ("device", "gpu"),
    [
        ("cuda:1", "NVIDIA Other 16GB"),
        ("gpu-BBBB", "NVIDIA Other 16GB"),
        ("all", "NVIDIA Double 80GB, NVIDIA Other 16GB"),
        ("MIG-1", "NVIDIA Double 80GB, NVIDIA Other 16GB"),
    ],
)
def test_the_evidence_is_of_the_gpu_that_was_asked_for(
    tmp_path: Path, device: str, gpu: str
) -> None:
    """A machine may have several kinds."""
    nothing = ("--tests", "none", "--models", "none", "--python", sys.executable)
    driver = DRIVER.replace("{status}", "0")
    done = check(tmp_path, "--device", device, *nothing, driver=driver)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "evidence").glob("*/evidence.json")
    assert json.loads(file.read_text())["gpu"] == gpu


def test_what_was_asked_and_answered_is_kept(tmp_path: Path) -> None:
    """Where the driver's program answers and nothing can run, both failures are told apart."""
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has a GPU: run scripts/gpu-check itself")
    models.perceptron().write(tmp_path).path.rename(tmp_path / "mine.onnx")
    only = "tests/adapters/tensorrt/test_hardware.py"
    done = check(
        tmp_path,
        *("--python", sys.executable, "--tests", only, "--models", "mine.onnx"),
        *("--precisions", "fp32", "--backends", "onnxruntime", "--batch", "4"),
        driver=DRIVER.replace("{status}", "0"),
    )
    assert done.returncode == 4 | 8, done.stdout + done.stderr
    (folder,) = (tmp_path / "evidence").iterdir()
    assert folder.name.endswith("-nvidia-double-80gb")
    evidence = json.loads((folder / "evidence.json").read_text())
    assert evidence["gpu"] == "NVIDIA Double 80GB"
    assert evidence["status"] == done.returncode
    assert evidence["tests"]["skipped"] == evidence["tests"]["tests"] > 0
    steps = {step["name"]: step for step in evidence["steps"]}
    assert list(steps) == [
        *("nvidia-smi", "before", "versions", "devices", "tests"),
        *("compare-mine", "after"),
    ]
    assert steps["compare-mine"]["status"] != 0
    assert steps["tests"]["status"] == 0
    assert "driver said: -q" in (folder / "nvidia-smi.log").read_text()
    assert "cuda:0 cannot be used here" in (folder / "compare-mine.log").read_text()
    assert "compare-mine ended with status" in done.stdout
