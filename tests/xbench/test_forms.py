"""A model in its own form, by real workers: its framework runs it, the others its export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import xbench
from xbench.adapter import AS_GIVEN
from xbench.cli.main import app
from xbench.result import Run, Status

SHORT: dict[str, Any] = {"launches": 1, "time_budget_s": 3.0}
FACTORY = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(16, 8)

    def forward(self, x, scale):
        return {"scores": torch.relu(self.dense(x)) * scale, "sum": x.sum(1)}

def make():
    return Net(), {"x": torch.randn(2, 16), "scale": torch.tensor(2.0)}
"""


def as_given(run: Run) -> set[str]:
    """Return the backends that ran the model in its own form; each ran, and agrees."""
    for row in run.results:
        assert row.status is Status.OK, (row.backend, row.reason)
        assert row.parity.status == "agrees", row.backend
    return {one.backend for one in run.results if (one.importer or "").startswith(AS_GIVEN)}


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a factory in the current folder, which workers find there too."""
    (tmp_path / "mine.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XBENCH_CACHE", str(tmp_path / "cache"))
    return "mine:make"


def test_a_factorys_module_runs_in_pytorch_and_its_export_elsewhere(
    factory: str, tmp_path: Path
) -> None:
    run = xbench.compare(factory, ("onnxruntime", "pytorch"), batches=(3,), **SHORT)
    assert as_given(run) == {"pytorch"}
    assert run.model["name"] == factory
    assert [one["shape"][0] for one in run.model["inputs"] if one["name"] == "x"] == ["batch"]


def test_another_seed_is_the_same_in_every_worker(factory: str, tmp_path: Path) -> None:
    """The export and the module that a worker makes again have the same weights."""
    assert as_given(xbench.compare(factory, ("onnxruntime", "pytorch"), seed=7, **SHORT))


@pytest.mark.slow
def test_a_keras_model_of_the_zoo_runs_in_keras_and_its_export_elsewhere(tmp_path: Path) -> None:
    """From the file that was kept: the worker calls no factory."""
    backends = ("keras", "tensorflow", "onnxruntime")
    run = xbench.compare("keras_text_transformer", backends, out=tmp_path / "run", **SHORT)
    assert as_given(run) == {"keras"}
    assert (run.results[0].importer or "").endswith("native.keras")


def test_keras_says_of_an_onnx_file_who_runs_it_instead(tiny_model: Path, tmp_path: Path) -> None:
    run = xbench.compare(tiny_model, ("onnxruntime", "keras"), out=tmp_path / "run", **SHORT)
    row = run.results[1]
    assert row.status is Status.UNSUPPORTED
    assert "this is an ONNX file" in (row.reason or "")
    assert "tensorflow" in (row.fix or "")


def test_export_takes_what_compare_takes(
    factory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app(["export", factory, "--out", "mine.onnx", "-q"], standalone_mode=False)
    assert capsys.readouterr().out == "mine.onnx\n"
    model = xbench.compare("mine.onnx", ("onnxruntime",), **SHORT).model
    assert [one["name"] for one in model["outputs"]] == ["scores", "sum"]
    assert "mine" not in sys.modules  # the user's code ran in a process of its own
