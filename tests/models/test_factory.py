"""Factories of every framework, found, seeded and called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from xbench.errors import ModelError
from xbench_models.factory import call, is_keras

ROOT = Path(__file__).parents[2]
FACTORIES = """
import random
import numpy
import torch

calls = []

def drawn():
    calls.append(1)
    return random.random(), numpy.random.rand(), torch.rand(()).item()

def leaves():
    raise SystemExit(3)

class Holder:
    @staticmethod
    def inner():
        return "inner"
"""
LAZY = """
calls = []

def drawn():
    import torch
    calls.append(1)
    return torch.rand(()).item()
"""
KERAS = """
def model():
    import keras
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])

def with_examples():
    import numpy
    return model(), {"x": numpy.zeros((2, 4), "float32")}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the user's modules in it, from which they can be imported."""
    for name, text in {"made": FACTORIES, "lazily": LAZY, "kerasly": KERAS}.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def apart(folder: Path, code: str) -> str:
    """Return what ``code`` prints in a process of its own, where no framework is loaded."""
    path = ":".join(map(str, (folder, ROOT, ROOT / "adapters", ROOT / "models")))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    )
    return done.stdout.strip()


def test_every_generator_is_seeded(here: Path) -> None:
    """Python's, NumPy's and PyTorch's: the same seed gives the same numbers, another others."""
    first, again, other = (call("made:drawn", seed) for seed in (3, 3, 4))
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))
    torch.manual_seed(3)
    assert first[2] == torch.rand(()).item()
    assert len(sys.modules["made"].calls) == 3


def test_seeds_larger_than_numpys_are_taken(here: Path) -> None:
    assert call("made:drawn", 2**40) == call("made:drawn", 2**40)


def test_a_factory_that_imports_torch_itself_is_seeded_too(here: Path) -> None:
    """It is called once more, with the generator seeded that was not there before."""
    code = (
        "import sys; from xbench_models.factory import call\n"
        "assert 'torch' not in sys.modules\n"
        "first = call('lazily:drawn', 5)\n"
        "import torch, lazily; torch.manual_seed(5)\n"
        "print(first == torch.rand(()).item(), len(lazily.calls))"
    )
    assert apart(here, code) == "True 2"


def test_a_keras_factory_is_known_as_one_and_pays_for_no_torch(here: Path) -> None:
    """Alone or with examples; the same seed gives the same weights, and another others."""
    code = (
        "import sys; from xbench_models.factory import call, is_keras\n"
        "made = [call('kerasly:model', seed) for seed in (1, 1, 2)]\n"
        "import keras; assert keras.backend.backend() == 'tensorflow'\n"
        "assert all(map(is_keras, [*made, call('kerasly:with_examples', 0)]))\n"
        "one, two, three = (model.get_weights()[0] for model in made)\n"
        "print((one == two).all(), (one == three).any(), 'torch' in sys.modules)"
    )
    assert apart(here, code) == "True False False"


def test_what_is_no_keras_model_is_not_taken_for_one() -> None:
    model = torch.nn.Linear(2, 2)
    for made in (model, (model, (torch.ones(2),)), (), 5, None, np.ones(2)):
        assert not is_keras(made)


def test_a_factory_may_lie_in_a_class(here: Path) -> None:
    assert call("made:Holder.inner", 0) == "inner"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere_at_all:factory", "PYTHONPATH"),
        ("made:absent", "there is no 'absent' in made"),
        ("made:calls", "is no function"),
        ("made:leaves", "SystemExit: 3"),
        ("transformers:bertt", "Did you mean 'bert'"),
        ("transformers:pipeline", "there is no model of transformers 'pipeline'"),
    ],
)
def test_what_cannot_be_called_is_said(here: Path, target: str, said: str) -> None:
    from xbench.errors import XbenchError

    with pytest.raises(XbenchError) as raised:
        call(target, 0)
    assert said in str(raised.value)
    assert raised.value.fix
    assert isinstance(raised.value, ModelError) or target.startswith("transformers")
