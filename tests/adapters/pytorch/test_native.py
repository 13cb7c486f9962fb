"""Modules that were written in PyTorch, run as they are under the names of their ONNX file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from xbench.adapter import BoundModel, Limits, Native, TensorSpec
from xbench.errors import ModelError, UsageError
from xbench_adapters.pytorch import PyTorchAdapter
from xbench_models.pytorch.export import export
from xbench_models.pytorch.recipe import Recipe
from xbench_models.pytorch.source import recipe

LIMITS = Limits(threads=1)
INDUCTOR = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # in what it imports


class Mixed(nn.Module):
    """Takes whole and real numbers, and gives nested outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, ids: Tensor, scale: Tensor) -> dict[str, Any]:
        hidden = self.drop(self.words(ids)) * scale[:, None, None]
        return {"hidden": hidden, "pooled": [hidden.mean(1), hidden.amax(1)]}


def mixed() -> Any:
    return Mixed(), {"ids": torch.randint(10, (2, 5)), "scale": torch.rand(2)}


def loosens() -> Any:
    torch.set_float32_matmul_precision("medium")
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined] # torch does not declare it
    torch.set_num_threads(2)
    return mixed()


def fails() -> Any:
    raise OSError("no such weights")


def given(form: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the target of the mixed module in one of its forms."""
    torch.manual_seed(4)
    module, examples = mixed()
    if form == "factory":
        return "natives:mixed"
    path = folder / ("m.pt2" if form == "pt2" else "m.pt")
    if form == "pt2":
        batch = torch.export.Dim("batch")
        shapes = {name: {0: batch} for name in examples}
        torch.export.save(
            torch.export.export(module.eval(), (), examples, dynamic_shapes=shapes), path
        )
    else:
        monkeypatch.setattr(Mixed, "__module__", "natives")
        torch.save(module, path)
    return str(path)


@pytest.fixture(autouse=True)
def natives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "natives", sys.modules[__name__])


def bound(found: Recipe, native: Native, folder: Path, batch: int = 3) -> BoundModel:
    """Return the recipe's file, and what it was made from, bound to a batch."""
    path = export(found, folder / "m.onnx").path
    graph = onnx.load(path).graph
    inputs = tuple(
        TensorSpec(
            one.name,
            str(found.inputs[one.name].numpy().dtype),
            (batch, *found.inputs[one.name].shape[1:]),
        )
        for one in graph.input
    )
    outputs = tuple(one.name for one in graph.output)
    return BoundModel(path, inputs, outputs, {"batch": batch}, native=native)


def feeds(batch: int = 3) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    return {
        "scale": draw.random(batch, dtype=np.float32),
        "ids": draw.integers(10, size=(batch, 5)),
    }


@pytest.mark.parametrize("form", ["factory", "pt2", "pickle"])
def test_a_module_runs_as_it_is(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In evaluation mode, at another batch, its outputs in the order of the file's."""
    native = Native("pytorch", form, given(form, tmp_path, monkeypatch), 4, form == "pickle")
    shapes = {} if form == "factory" else {"scale": (2,)}
    examples = None
    if form == "pickle":
        examples = tmp_path / "in.npz"
        np.savez(examples, **feeds(2))
        shapes = {}
    found = recipe(form, native.target, native.seed, native.trusted, shapes, examples)
    model = bound(found, native, tmp_path)
    PyTorchAdapter().check(model, LIMITS, "fp32")
    session = PyTorchAdapter().load(model, LIMITS, "fp32")
    session.bind(feeds())
    session.run()
    session.synchronize()
    outputs = session.outputs()

    assert tuple(outputs) == model.outputs
    with torch.no_grad():
        tensors = {name: torch.from_numpy(array) for name, array in feeds().items()}
        wanted = found.module(**tensors)
    for want, have in zip((wanted["hidden"], *wanted["pooled"]), outputs.values(), strict=True):
        np.testing.assert_array_equal(have, want.numpy())
    facts = session.facts()
    assert facts.importer == f"as it is: {native.target}"
    assert facts.convert_s is None
    assert facts.precision == "fp32"
    assert facts.options is not None
    assert facts.options["mode"] == "eager"
    session.close()


def test_the_file_says_the_same(tmp_path: Path) -> None:
    """What runs as it is agrees with what is imported from the file, name by name."""
    native = Native("pytorch", "factory", "natives:mixed", 4)
    model = bound(recipe("factory", native.target, 4, False), native, tmp_path)
    imported = BoundModel(model.path, model.inputs, model.outputs, model.symbols)
    found: list[Any] = []
    for one in (model, imported):
        session = PyTorchAdapter().load(one, LIMITS, "fp32")
        session.bind(feeds())
        session.run()
        found.append(session.outputs())
        facts = session.facts()
        assert facts.importer is not None
        assert facts.importer.startswith("as it is" if one is model else "xbench")
    for name in model.outputs:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-5, atol=1e-6)


def test_what_is_of_another_framework_runs_from_its_file(tmp_path: Path) -> None:
    native = Native("keras", "factory", "nowhere:factory", 0)
    model = bound(recipe("factory", "natives:mixed", 4, False), native, tmp_path)
    session = PyTorchAdapter().load(model, LIMITS, "fp32")
    assert str(session.facts().importer).startswith("xbench")


@INDUCTOR
def test_the_compiled_variant_is_of_the_module_itself(tmp_path: Path) -> None:
    """Its code is made at the first run, so none is made here."""
    native = Native("pytorch", "factory", "natives:mixed", 4)
    model = bound(recipe("factory", native.target, 4, False), native, tmp_path)
    facts = PyTorchAdapter("compile").load(model, LIMITS, "fp32").facts()
    assert facts.options is not None
    assert facts.options["mode"] == "inductor"
    assert facts.importer == "as it is: natives:mixed"


@pytest.mark.slow
@INDUCTOR
def test_a_compiled_module_gives_the_same(tmp_path: Path) -> None:
    native = Native("pytorch", "factory", "natives:mixed", 4)
    model = bound(recipe("factory", native.target, 4, False), native, tmp_path)
    found: list[Any] = []
    for variant in ("", "compile"):
        session = PyTorchAdapter(variant).load(model, LIMITS, "fp32")
        session.bind(feeds())
        session.run()
        found.append(session.outputs())
    for name in model.outputs:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-5, atol=1e-6)


def test_what_the_users_code_loosened_is_held_again() -> None:
    """Its factory may set narrower arithmetic and more threads: the row must not have them.

    In a process of its own: these settings are the process's.
    """
    import subprocess

    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from pathlib import Path\n"
        "from xbench.adapter import BoundModel, Limits, Native, TensorSpec\n"
        "from xbench_adapters.pytorch import PyTorchAdapter\n"
        "specs = (TensorSpec('ids', 'int64', (2, 5)), TensorSpec('scale', 'float32', (2,)))\n"
        "target = 'tests.adapters.pytorch.test_native:loosens'\n"
        "native = Native('pytorch', 'factory', target)\n"
        "model = BoundModel(Path('none.onnx'), specs, ('a', 'b', 'c'), {}, native=native)\n"
        "adapter, limits = PyTorchAdapter(), Limits(threads=1)\n"
        "adapter.prepare(limits)\n"
        "facts = adapter.load(model, limits, 'fp32').facts()\n"
        "print(facts.precision, facts.threads)"
    )
    root = Path(__file__).parents[3]
    paths = [str(root / part) for part in (".", "adapters", "models")]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["fp32", "1"]


@pytest.mark.parametrize(
    ("form", "target", "said"),
    [
        ("factory", "natives:fails", "OSError: no such weights"),
        ("factory", "nowhere:at_all", "cannot be imported"),
        ("pt2", "none.pt2", "none.pt2"),
        ("pickle", "none.pt", "runs whatever its author wrote"),
        ("tflite", "none.tflite", "'tflite'"),
    ],
)
def test_what_cannot_be_loaded_is_one_error(form: str, target: str, said: str) -> None:
    """Whether it is loaded or only checked."""
    native = Native("pytorch", form, target)
    model = BoundModel(Path("none.onnx"), (), (), {}, native=native)
    for call in (PyTorchAdapter().load, PyTorchAdapter().check):
        with pytest.raises(ModelError, match=said):
            call(model, LIMITS, "fp32")


def test_what_cannot_be_held_is_refused_before_anything_is_loaded() -> None:
    native = Native("pytorch", "factory", "nowhere:at_all")
    model = BoundModel(Path("none.onnx"), (), (), {}, native=native)
    with pytest.raises(UsageError, match="tf32"):
        PyTorchAdapter().load(model, LIMITS, "tf32")


def test_another_count_of_outputs_than_the_files_is_said() -> None:
    """The module's code may have changed since its file was made."""
    specs = (TensorSpec("ids", "int64", (2, 5)), TensorSpec("scale", "float32", (2,)))
    native = Native("pytorch", "factory", "natives:mixed")
    model = BoundModel(Path("none.onnx"), specs, ("only",), {}, native=native)
    session = PyTorchAdapter().load(model, LIMITS, "fp32")
    session.bind(feeds(2))
    session.run()
    with pytest.raises(ModelError, match="3 tensors, and its file 1"):
        session.outputs()
