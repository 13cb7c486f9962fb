"""Programs, pickles and factories of PyTorch as recipes, files, and digests of their content."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from xbench.errors import ModelError
from xbench_models.pytorch.export import export
from xbench_models.pytorch.recipe import Recipe, make, normalise
from xbench_models.pytorch.source import digest, recipe

Change = Callable[[Any], None]


class Scaled(nn.Module):
    """Takes two inputs, one of them by keyword only, and gives a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 3)
        self.power = 2

    def forward(self, words: Tensor, *, scale: Tensor) -> dict[str, Tensor]:
        hidden = self.dense(words) * scale
        return {"logits": hidden, "flat": (hidden**self.power).reshape(words.shape[0] * 3)}


class Evil:
    """What creates a file as soon as its pickle is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def program(*, dynamic: bool = True) -> torch.export.ExportedProgram:
    torch.manual_seed(0)
    kwargs = {"scale": torch.tensor(2.0)}
    batch = {0: torch.export.Dim("anything", max=64)} if dynamic else None
    shapes = {"words": batch, "scale": None}
    return torch.export.export(Scaled().eval(), (torch.randn(2, 4),), kwargs, dynamic_shapes=shapes)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a program whose batch is open."""
    torch.export.save(program(), tmp_path / "m.pt2")
    return tmp_path / "m.pt2"


def runtime(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def shapes_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    session = runtime(path)
    return (
        {one.name: one.shape for one in session.get_inputs()},
        {one.name: one.shape for one in session.get_outputs()},
    )


def tampered(path: Path, ending: str, change: Callable[[bytes], bytes]) -> Path:
    """Return a copy of an archive in which one member is another."""
    copy = path.with_name("tampered.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        assert any(name.endswith(ending) for name in old.namelist())
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name.endswith(ending) else data)
    return copy


def with_json(change: Change) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        read = json.loads(data)
        change(read)
        return json.dumps(read).encode()

    return changed


# --- exported programs -----------------------------------------------------------------------


def test_a_program_becomes_a_file_with_its_batch_open(saved: Path, tmp_path: Path) -> None:
    """Names of inputs and outputs are its own; the batch has that name, whatever it was before."""
    found = recipe("pt2", str(saved), 0, trusted=False)
    assert found.axes == {"words": {0: "batch"}}
    assert found.ranges["batch"][1] == 64
    made = export(found, tmp_path / "m.onnx")
    assert made.warnings == ()
    inputs, outputs = shapes_of(made.path)
    assert inputs == {"words": ["batch", 4], "scale": []}
    assert outputs == {"logits": ["batch", 3], "flat": ["3*batch"]}
    words, scale = torch.randn(5, 4), torch.tensor(0.5)
    wanted = program().module()(words, scale=scale)
    found_logits = runtime(made.path).run(None, {"words": words.numpy(), "scale": scale.numpy()})
    for want, have in zip(wanted.values(), found_logits, strict=True):
        torch.testing.assert_close(torch.from_numpy(have), want.detach())


def test_a_program_of_a_fixed_batch_keeps_it(tmp_path: Path) -> None:
    torch.export.save(program(dynamic=False), tmp_path / "m.pt2")
    found = recipe("pt2", str(tmp_path / "m.pt2"), 0, trusted=False)
    assert found.axes == {}
    made = export(found, tmp_path / "m.onnx")
    assert shapes_of(made.path)[0] == {"words": [2, 4], "scale": []}


def test_a_program_is_checked_within_the_lengths_that_it_takes(tmp_path: Path) -> None:
    """At least four rows, and a count of columns that a condition of the program has even."""

    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(x.shape[0], 2, x.shape[1] // 2).sum(1).amax(1)

    batch, half = torch.export.Dim("rows", min=4, max=100), torch.export.Dim("half", min=2)
    traced = torch.export.export(
        Picky(), (torch.randn(6, 10),), dynamic_shapes={"x": {0: batch, 1: 2 * half}}
    )
    torch.export.save(traced, tmp_path / "m.pt2")
    found = recipe("pt2", str(tmp_path / "m.pt2"), 0, trusted=False)
    assert found.ranges["batch"] == (4, 100)
    with pytest.raises(ModelError, match="cannot be exported") as raised:  # torch's own limit
        export(found, tmp_path / "m.onnx")
    assert "factory" in raised.value.fix
    traced = torch.export.export(
        Picky(), (torch.randn(6, 10),), dynamic_shapes={"x": {0: batch, 1: None}}
    )
    torch.export.save(traced, tmp_path / "m.pt2")
    made = export(recipe("pt2", str(tmp_path / "m.pt2"), 0, trusted=False), tmp_path / "m.onnx")
    assert shapes_of(made.path)[0] == {"x": ["batch", 10]}


def test_nested_arguments_and_outputs_without_a_tensor_are_kept_apart(tmp_path: Path) -> None:
    class Nested(nn.Module):
        def forward(self, pair: dict[str, Tensor], power: int, rest: Any = None) -> Any:
            return pair["a"] ** power, None, [pair["b"] + 1]

    examples = ({"a": torch.randn(2, 3), "b": torch.randn(2, 3)}, 3)
    torch.export.save(torch.export.export(Nested(), examples), tmp_path / "m.pt2")
    found = recipe("pt2", str(tmp_path / "m.pt2"), 0, trusted=False)
    assert list(found.inputs) == ["pair_a", "pair_b"]
    made = export(found, tmp_path / "m.onnx")
    a, b = (np.full((2, 3), value, np.float32) for value in (2, 5))
    cubed, more = runtime(made.path).run(None, {"pair_a": a, "pair_b": b})
    assert (cubed == 8).all()
    assert (more == 6).all()


def set_operator(target: str) -> Change:
    def change(read: Any) -> None:
        node = read["graph_module"]["graph"]["nodes"][0]
        node["target"] = target
        node["inputs"] = [{"name": "", "arg": {"as_string": "touch x"}, "kind": 1}]

    return change


def set_length(expression: str) -> Change:
    def change(read: Any) -> None:
        values = read["graph_module"]["graph"]["tensor_values"]
        values["words"]["sizes"][0]["as_expr"]["expr_str"] = expression

    return change


def set_guard(code: str) -> Change:
    def change(read: Any) -> None:
        read["guards_code"] = [code]

    return change


def set_name(name: str) -> Change:
    def change(read: Any) -> None:
        read["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = name

    return change


def set_tree(kind: str, context: Any) -> Change:
    def change(read: Any) -> None:
        tree = {"type": kind, "context": json.dumps(context), "children_spec": []}
        signature = read["graph_module"]["module_call_graph"][0]["signature"]
        signature["out_spec"] = json.dumps([1, tree])

    return change


def set_pickled(read: Any) -> None:
    read["config"]["dense.weight"]["use_pickle"] = True


def set_object(read: Any) -> None:
    read["config"]["thing"] = {**read["config"]["dense.weight"], "path_name": "opaque_obj_0"}


ENUM = {"__enum__": True, "fqn": "this:x", "name": "x"}
FACTORY = {"default_factory_module": "this", "default_factory_name": "x", "dict_context": []}
PROGRAM, WEIGHTS = "models/model.json", "model_weights_config.json"


@pytest.mark.parametrize(
    ("ending", "change"),
    [
        (PROGRAM, set_operator("torch.os.system")),
        (PROGRAM, set_operator("torch.ops.load_library")),
        (PROGRAM, set_operator("torch.ops.aten.from_file.default")),
        (PROGRAM, set_operator("torch.ops.aten.__loader__.load_module")),
        (PROGRAM, set_operator("_operator.methodcaller")),
        (PROGRAM, set_length("__import__('os').system('touch {}')")),
        (PROGRAM, set_length("Symbol('s77').__class__")),
        (PROGRAM, set_length("exec(Symbol('s77'))")),
        (PROGRAM, set_length('Mul("__import__(1)", Integer(2))')),
        (PROGRAM, set_guard("__import__('os').system('touch {}') == 0")),
        (PROGRAM, set_guard("L['words'].__class__")),
        (PROGRAM, set_name("x=__import__('os').system('touch {}')")),
        (PROGRAM, set_tree("collections.defaultdict", FACTORY)),
        (PROGRAM, set_tree("builtins.dict", [ENUM])),
        (PROGRAM, set_tree("builtins.dict", ENUM)),
        (WEIGHTS, set_pickled),
        (WEIGHTS, set_object),
    ],
)
def test_a_program_that_may_run_code_is_refused(saved: Path, ending: str, change: Change) -> None:
    """Whatever is not known to be harmless: each of these is a way that PyTorch leaves open."""
    bad = tampered(saved, ending, with_json(change))
    with pytest.raises(ModelError, match="may run code when it is loaded") as raised:
        recipe("pt2", str(bad), 0, trusted=False)
    assert "--trust" in raised.value.fix


@pytest.mark.parametrize("place", ["inputs", "length", "guard"])
def test_code_in_a_program_runs_only_where_it_is_trusted(
    saved: Path, tmp_path: Path, place: str
) -> None:
    """In a pickle of example inputs, in an expression of a length, and in a condition."""
    mark = tmp_path / "mark"
    code = f"__import__('os').system('touch {mark}')"
    if place == "inputs":
        evil = io.BytesIO()
        torch.save(((torch.ones(2, 4),), {"scale": torch.ones(()), "evil": Evil(mark)}), evil)
        bad = tampered(saved, "sample_inputs/model.pt", lambda _: evil.getvalue())
    else:
        change = set_length(code) if place == "length" else set_guard(f"{code} == 0")
        bad = tampered(saved, PROGRAM, with_json(change))
    with pytest.raises(ModelError, match="may run code when it is loaded"):
        recipe("pt2", str(bad), 0, trusted=False)
    assert not mark.exists()
    with suppress(ModelError):  # it is broken besides
        found = recipe("pt2", str(bad), 0, trusted=True)
        found.module(**found.inputs)
    assert mark.exists()


def test_the_older_format_is_not_read_behind_the_newer_ones_back(
    saved: Path, tmp_path: Path
) -> None:
    """It is pickles, and what PyTorch falls back to when the newer one fails."""
    mark = tmp_path / "mark"
    evil = io.BytesIO()
    torch.save(Evil(mark), evil)
    bad = tmp_path / "older.pt2"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("version", "8.8")
        for name in ("exported_program.json", "state_dict.pt", "constants.pt", "example_inputs.pt"):
            archive.writestr(f"serialized_{name}", evil.getvalue())
    with pytest.raises(ModelError):
        recipe("pt2", str(bad), 0, trusted=False)
    assert not mark.exists()


@pytest.mark.parametrize("data", [b"", b"nothing of the kind", b"PK\x03\x04 and no more"])
def test_what_is_no_program_is_said(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.pt2").write_bytes(data)
    for trusted in (False, True):
        with pytest.raises(ModelError) as raised:
            recipe("pt2", str(tmp_path / "m.pt2"), 0, trusted=trusted)
        assert "torch.export.save" in raised.value.fix


# --- pickles ---------------------------------------------------------------------------------


@pytest.fixture
def pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with a whole module of a class that can be imported."""
    monkeypatch.setitem(sys.modules, "scaled", sys.modules[__name__])
    monkeypatch.setattr(Scaled, "__module__", "scaled")
    torch.manual_seed(0)
    torch.save(Scaled(), tmp_path / "m.pt")
    return tmp_path / "m.pt"


def test_a_pickle_is_not_loaded_unless_it_is_trusted(tmp_path: Path) -> None:
    """Proved by one whose loading creates a file."""
    mark = tmp_path / "mark"
    (tmp_path / "m.pt").write_bytes(pickle.dumps(Evil(mark)))
    torch.save(Evil(mark), tmp_path / "zipped.pt")
    for name in ("m.pt", "zipped.pt"):
        with pytest.raises(ModelError, match="runs whatever its author wrote") as raised:
            recipe("pickle", str(tmp_path / name), 0, trusted=False, shapes={"x": (1, 2)})
        assert "--trust" in raised.value.fix
        assert not mark.exists()
    with pytest.raises(ModelError, match="not a module"):
        recipe("pickle", str(tmp_path / "zipped.pt"), 0, trusted=True, shapes={"x": (1, 2)})
    assert mark.exists()


def test_a_trusted_pickle_becomes_a_file(pickled: Path, tmp_path: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {"scale": (), "words": (3, 4)}
    found = recipe("pickle", str(pickled), 0, trusted=True, shapes=shapes)
    assert {name: tuple(one.shape) for name, one in found.inputs.items()} == shapes
    assert not found.module.training
    made = export(found, tmp_path / "m.onnx")
    assert shapes_of(made.path)[0] == {"words": ["batch", 4], "scale": []}


def test_inputs_of_a_file_are_taken_as_they_are(pickled: Path, tmp_path: Path) -> None:
    words = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.savez(tmp_path / "in.npz", words=words, scale=np.float32(3))
    found = recipe("pickle", str(pickled), 0, trusted=True, inputs=tmp_path / "in.npz")
    assert torch.equal(found.inputs["words"], torch.from_numpy(words))
    assert found.inputs["scale"].item() == 3


@pytest.mark.parametrize(
    ("shapes", "said", "fix"),
    [
        ({}, "no example inputs: it takes words, scale", "--shape words=1x3x224x224"),
        ({"words": (2, 4)}, "nothing is said of the input 'scale'", "--shape scale="),
        ({"word": (2, 4)}, "no input 'word': it takes words, scale", "--shape"),
    ],
)
def test_inputs_that_do_not_fit_a_pickle_are_said(
    pickled: Path, shapes: dict[str, tuple[int, ...]], said: str, fix: str
) -> None:
    with pytest.raises(ModelError, match=said) as raised:
        recipe("pickle", str(pickled), 0, trusted=True, shapes=shapes)
    assert fix in raised.value.fix


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    """A state dict, and a checkpoint that has one."""
    torch.save(Scaled().state_dict(), tmp_path / "m.pt")
    torch.save({"epoch": 3, "model": Scaled().state_dict()}, tmp_path / "checkpoint.pt")
    for name in ("m.pt", "checkpoint.pt"):
        with pytest.raises(ModelError, match="weights without the module") as raised:
            recipe("pickle", str(tmp_path / name), 0, trusted=True)
        assert "factory" in raised.value.fix


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript_is_refused_whether_trusted_or_not(tmp_path: Path) -> None:
    scripted = torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2))  # type: ignore[no-untyped-call] # torch types little of it
    torch.jit.save(scripted, tmp_path / "m.pt")
    for trusted in (False, True):
        with pytest.raises(ModelError, match="TorchScript") as raised:
            recipe("pickle", str(tmp_path / "m.pt"), 0, trusted=trusted)
        assert ".pt2" in raised.value.fix


def test_a_class_that_is_not_there_is_said(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "scaled")
    with pytest.raises(ModelError, match="scaled") as raised:
        recipe("pickle", str(pickled), 0, trusted=True, shapes={"words": (2, 4), "scale": ()})
    assert "can be imported" in raised.value.fix


# --- factories -------------------------------------------------------------------------------


def scaled() -> Any:
    examples = {"words": torch.randn(2, 4), "scale": torch.tensor(2.0)}
    return Scaled(), examples


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "factories_here", sys.modules[__name__])
    return "factories_here:scaled"


def test_examples_of_a_factory_may_be_replaced(target: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", scale=np.float32(7))
    found = recipe("factory", target, 0, False, {"words": (6, 4)}, tmp_path / "in.npz")
    assert found.inputs["words"].shape == (6, 4)
    assert found.inputs["scale"].item() == 7
    with pytest.raises(ModelError, match="no input 'size'"):
        recipe("factory", target, 0, False, {"size": (1,)})
    with pytest.raises(ModelError, match="with 2 axes, not torch"):
        recipe("factory", target, 0, False, {"words": (6,)})


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (5, "no dictionary"),
        ({"words": [1]}, "no dictionary"),
        ({"word": {1: "x"}}, "'word', which is no input"),
        ({"words": {2: "x"}}, "axes that input 'words' does not have"),
    ],
)
def test_axes_that_are_none_are_said(axes: Any, said: str) -> None:
    module, examples = scaled()
    with pytest.raises(ModelError, match=said):
        normalise((module, examples, axes), "factory")


def test_only_what_cannot_stay_open_is_fixed(tmp_path: Path) -> None:
    """The batch stays open where only the other axis cannot."""

    class Rigid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weight

    made = export(
        normalise((Rigid(), (torch.randn(1, 6),), {"x": {1: "time"}}), "rigid"), tmp_path / "m.onnx"
    )
    assert shapes_of(made.path)[0] == {"x": ["batch", 6]}
    assert "all axes but the batch are fixed" in made.warnings[0]


def test_arguments_by_any_name_are_exported(tmp_path: Path) -> None:
    """Of a module whose ``forward`` takes ``**inputs``."""

    class Anything(nn.Module):
        def forward(self, first: Tensor, **rest: Tensor) -> dict[str, Tensor]:
            return {"sum": first + rest["second"] * rest["third"]}

    examples = {name: torch.randn(2, 3) for name in ("first", "second", "third")}
    made = export(normalise((Anything(), examples), "anything"), tmp_path / "m.onnx")
    assert shapes_of(made.path)[0] == {name: ["batch", 3] for name in examples}


# --- architectures of transformers -----------------------------------------------------------


@pytest.mark.parametrize("name", ["mobilenet_v2", "MobileNetV2Config"])
def test_an_architecture_of_transformers_is_made_by_its_name(name: str) -> None:
    """With weights by the seed, and inputs as its config has them."""
    found, again, other = (make(f"transformers:{name}", seed) for seed in (0, 0, 1))
    assert found.inputs["pixel_values"].shape == (2, 3, 224, 224)
    assert found.axes == {"pixel_values": {0: "batch"}}
    assert digest(found) == digest(again) != digest(other)


def test_a_model_class_of_transformers_is_exported(tmp_path: Path) -> None:
    """With a head that only its class says."""
    found = make("transformers:MobileNetV2ForImageClassification", 0)
    made = export(found, tmp_path / "m.onnx")
    inputs, outputs = shapes_of(made.path)
    assert inputs == {"pixel_values": ["batch", 3, 224, 224]}
    assert outputs == {"logits": ["batch", 2]}


# --- digests ---------------------------------------------------------------------------------


def of(module: nn.Module, *, batch: int = 2, value: float = 0.0) -> Recipe:
    examples = {"words": torch.full((batch, 4), value), "scale": torch.tensor(2.0)}
    return normalise((module, examples), "here")


def scaled_by_seed(seed: int = 0) -> Scaled:
    torch.manual_seed(seed)
    return Scaled()


class Other(Scaled):
    """Has the parts and the weights of the other, and computes something else."""

    def forward(self, words: Tensor, *, scale: Tensor) -> dict[str, Tensor]:
        return {"logits": self.dense(words) + scale}


Other.__qualname__ = Other.__name__ = "Scaled"


def test_the_same_content_has_the_same_digest() -> None:
    """Whatever the examples' values; in any object."""
    assert digest(of(scaled_by_seed())) == digest(of(scaled_by_seed(), value=3.0))


def changed_weight() -> Scaled:
    module = scaled_by_seed()
    with torch.no_grad():
        module.dense.weight[2, 3] += 1e-6
    return module


def changed_attribute() -> Scaled:
    module = scaled_by_seed()
    module.power = 3
    return module


def changed_forward() -> Scaled:
    torch.manual_seed(0)
    return Other()


def changed_hook() -> Scaled:
    module = scaled_by_seed()
    module.dense.register_forward_hook(lambda *_: None)
    return module


def shared_weight() -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    return module


@pytest.mark.parametrize(
    "other", [changed_weight, changed_attribute, changed_forward, changed_hook]
)
def test_other_content_has_another_digest(other: Callable[[], Scaled]) -> None:
    assert digest(of(scaled_by_seed())) != digest(of(other()))


def test_shapes_axes_and_seeds_are_content() -> None:
    module = scaled_by_seed()
    plain = of(module)
    opened = normalise((module, plain.inputs, {"words": {1: "width"}}), "here")
    all_of_them = {digest(plain), digest(of(module, batch=3)), digest(opened)}
    assert len(all_of_them | {digest(of(scaled_by_seed(1)))}) == 4


def test_weights_of_every_kind_are_taken() -> None:
    """Empty, half as wide, complex, strided and shared ones."""
    module = nn.Module()
    for place, weight in enumerate(
        (
            torch.empty(0, 3),
            torch.ones(3, dtype=torch.bfloat16),
            torch.ones(2, dtype=torch.complex64).conj(),
            torch.arange(6.0).reshape(2, 3).t(),
            torch.tensor(3, dtype=torch.int8),
        )
    ):
        module.register_buffer(f"w{place}", weight)
    first = digest(of(module))
    assert first == digest(of(module))
    module.get_buffer("w1").fill_(2)
    assert digest(of(module)) != first
    apart = shared_weight()
    assert digest(of(shared_weight())) == digest(of(apart))
    apart[1].weight = nn.Parameter(apart[0].get_parameter("weight").detach().clone())
    assert digest(of(shared_weight())) != digest(of(apart))


def test_a_program_has_a_digest_of_its_own(saved: Path) -> None:
    """The same when it is loaded again, and another one for other weights or axes."""
    first, again = (digest(recipe("pt2", str(saved), 0, trusted=False)) for _ in range(2))
    assert first == again
    torch.export.save(program(dynamic=False), saved)
    assert digest(recipe("pt2", str(saved), 0, trusted=False)) != first
