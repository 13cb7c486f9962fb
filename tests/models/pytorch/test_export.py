"""Any user's factory as an ONNX file, or one line that says why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from xbench.errors import ModelError
from xbench_models.build import main
from xbench_models.pytorch.export import export
from xbench_models.pytorch.recipe import make, normalise

FACTORIES = """
import torch
from torch import nn

class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 3)
    def forward(self, words, scale):
        return {"logits": self.dense(words) * scale}

class Random(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)

class Flat(nn.Module):
    def forward(self, x):
        return x * 0 + 1

def good():
    print("chatter of the factory")
    return Dense(), (torch.randn(1, 4), torch.tensor(2.0))

def by_name():
    return Dense(), {"scale": torch.tensor(2.0), "words": torch.randn(3, 4)}

def module_only():
    return Dense()

def no_module():
    return 5

def no_tensors():
    return Dense(), (1, 2)

def fails():
    raise RuntimeError("no weights today")

def wrong_inputs():
    return Dense(), (torch.randn(2, 9), torch.tensor(2.0))

def random():
    return Random(), (torch.randn(2, 4),)

def flat():
    return Flat(), (torch.randn(2, 4),)

constant = 5
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the user's module in it, where the process is too."""
    (tmp_path / "factories.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "factories", raising=False)
    return tmp_path


def test_a_factory_is_exported_with_an_open_batch(here: Path) -> None:
    """Examples of batch 1 do not fix it; inputs and outputs keep their names."""
    assert main(["factories:good", "--out", "dense.onnx"]) == 0

    session = onnxruntime.InferenceSession("dense.onnx", providers=["CPUExecutionProvider"])
    assert {v.name: v.shape for v in session.get_inputs()} == {"words": ["batch", 4], "scale": []}
    assert [(v.name, v.shape) for v in session.get_outputs()] == [("logits", ["batch", 3])]
    module = make("factories:good", seed=0).module
    words, scale = torch.randn(5, 4), torch.tensor(3.0)
    found = session.run(None, {"words": words.numpy(), "scale": scale.numpy()})[0]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), module(words, scale)["logits"])


def test_inputs_given_by_name_may_come_in_any_order(here: Path) -> None:
    assert main(["factories:by_name", "--out", "dense.onnx"]) == 0


def test_the_exporter_is_silent(here: Path) -> None:
    """Nothing but the factory's own words reaches the terminal."""
    command = [sys.executable, "-m", "xbench_models.build", "factories:good", "--out", "d.onnx"]
    root = Path(__file__).parents[2]
    path = ":".join(str(root / part) for part in (".", "adapters", "models"))
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert (done.stdout, done.stderr) == ("chatter of the factory\n", "framework: pytorch\n")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("factories:module_only", "must return `(module, example_inputs)`"),
        ("factories:no_module", "must return `(module, example_inputs)`"),
        ("factories:no_tensors", "not tensors"),
        ("factories:fails", "RuntimeError: no weights today"),
        ("factories:missing", "no 'missing' in factories"),
        ("factories:constant", "no function"),
        ("nowhere:factory", "ModuleNotFoundError"),
        ("factories:wrong_inputs", "failed on its example inputs"),
        ("factories:random", "disagrees with the module"),
        ("mobilenet_v3", "Did you mean 'mobilenet_v2'?"),
    ],
)
def test_what_cannot_be_exported_gets_one_line(
    here: Path, capfd: pytest.CaptureFixture[str], target: str, said: str
) -> None:
    assert main([target, "--out", "m.onnx"]) == 2
    printed = capfd.readouterr().err.removeprefix("framework: pytorch\n")
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert said in printed


def test_degenerate_outputs_are_warned_of(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["factories:flat", "--out", "m.onnx"]) == 0
    assert "standard deviation of 0" in capfd.readouterr().err


def test_a_module_that_needs_its_batch_is_exported_with_it(tmp_path: Path) -> None:
    """With a warning, at the batch size of the examples."""

    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(1, 4, 2).transpose(1, 2) * 2

    recipe = normalise((Fixed(), (torch.randn(1, 8),)), "fixed")
    made = export(recipe, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, 8]
    assert any("fixed" in warning for warning in made.warnings)


def test_an_axis_that_is_open_in_name_only_is_refused(tmp_path: Path) -> None:
    """The length of an LSTM's sequence is a constant to torch, and the file would lie."""

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            states: Tensor = self.lstm(x)[0]
            return states

    made = (Recurrent(), (torch.randn(2, 6, 4),), {"x": {1: "time"}})
    with pytest.raises(ModelError, match="an axis that should be open is not"):
        export(normalise(made, "recurrent"), tmp_path / "m.onnx")


def test_named_axes_stay_open(tmp_path: Path) -> None:
    module = nn.Conv1d(3, 2, 3)
    recipe = normalise((module, (torch.randn(1, 3, 20),), {"input": {2: "time"}}), "conv")
    session = onnxruntime.InferenceSession(
        export(recipe, tmp_path / "m.onnx").path, providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].shape == ["batch", 3, "time"]
    x = torch.randn(3, 3, 31)
    with torch.no_grad():
        found = torch.from_numpy(session.run(None, {"input": x.numpy()})[0])
        torch.testing.assert_close(found, module(x))
