"""Every model of the catalogue: what it computes can be told apart, and the file computes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from xbench.catalog import resolve
from xbench.progress import Silent
from xbench_models.catalog import CATALOG
from xbench_models.comparing import HIGHEST_STD, LEAST_DIFFERENCE, LOWEST_STD, difference
from xbench_models.pytorch.agree import other_inputs
from xbench_models.pytorch.export import OPSET
from xbench_models.pytorch.outputs import run
from xbench_models.pytorch.recipe import make

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xbench.catalog import ModelCard

SMALL = {"mobilenet_v2", "lstm_tagger", "unet", "detector"}
ROUNDING = 3e-4  # of the outputs' deviation: what fp32 may lose, far below what parity allows
EVERY = [
    pytest.param(card, id=card.name, marks=() if card.name in SMALL else pytest.mark.slow)
    for card in CATALOG
    if not card.framework  # those of Keras have tests of their own
]
every_model = pytest.mark.parametrize("card", EVERY)


@pytest.fixture(scope="session")
def built() -> Callable[[ModelCard], Path]:
    """Return the exported file of a card, from the user's own cache: each is built once."""
    return lambda card: resolve(card.name, 0, Silent()).path


def feeds(session: Any, batch: int, seed: int) -> dict[str, NDArray[Any]]:
    """Return seeded inputs that are valid for the model, at a batch size."""
    random = np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {}
    for value in session.get_inputs():
        shape = [{"batch": batch, "sequence": 48}.get(n, n) for n in value.shape]
        if "float" in value.type:
            found[value.name] = random.standard_normal(shape, dtype=np.float32)
        elif "mask" in value.name:
            found[value.name] = np.ones(shape, np.int64)
        else:
            found[value.name] = random.integers(2 if "type" in value.name else 20_000, size=shape)
    return found


def stds(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, float]:
    """Return the standard deviation of what each weighted layer puts out."""
    found: dict[str, float] = {}

    def hook(name: str) -> Callable[..., None]:
        def look(_layer: nn.Module, _args: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            found[name] = float(tensor.std())

        return look

    hooks = [
        layer.register_forward_hook(hook(name))
        for name, layer in module.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
        and not any(True for _ in layer.children())
    ]
    run(module, inputs)
    for handle in hooks:
        handle.remove()
    return found


@every_model
def test_activations_keep_their_scale_and_outputs_tell_inputs_apart(card: ModelCard) -> None:
    """On inputs that were not calibrated on, from the first layer to the outputs."""
    recipe = make(card.factory, seed=0)
    assert sum(weight.numel() for weight in recipe.module.parameters()) == card.parameters

    layers = stds(recipe.module, recipe.inputs)

    assert len(layers) > 2
    assert {n: s for n, s in layers.items() if not LOWEST_STD <= s <= HIGHEST_STD} == {}
    _, first = run(recipe.module, recipe.inputs)
    _, second = run(recipe.module, other_inputs(recipe, None))
    for a, b in zip(first, second, strict=True):
        assert LOWEST_STD <= float(a.std()) <= HIGHEST_STD
        assert difference(a.numpy(), b.numpy()) >= LEAST_DIFFERENCE


@every_model
def test_the_file_runs_at_any_batch_and_tells_inputs_apart(
    card: ModelCard, built: Callable[[ModelCard], Path]
) -> None:
    session = onnxruntime.InferenceSession(built(card), providers=["CPUExecutionProvider"])
    symbols = {n for v in session.get_inputs() for n in v.shape if isinstance(n, str)}
    assert symbols == set(card.symbols)
    for batch in (1, 4):
        first = session.run(None, feeds(session, batch, seed=1))
        second = session.run(None, feeds(session, batch, seed=2))
        for value, a, b in zip(session.get_outputs(), first, second, strict=True):
            known = {"batch": batch, "sequence": 48}
            assert a.shape == tuple(known.get(n, n) for n in value.shape)
            assert LOWEST_STD <= a.std() <= HIGHEST_STD
            assert difference(a, b) >= LEAST_DIFFERENCE


@every_model
def test_openvino_reads_the_file_and_agrees(
    card: ModelCard, built: Callable[[ModelCard], Path]
) -> None:
    openvino = pytest.importorskip("openvino")
    path = built(card)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    for batch in (1, 4):
        inputs = feeds(session, batch, seed=batch)
        found = compiled(inputs)
        for place, want in enumerate(session.run(None, inputs)):
            np.testing.assert_allclose(found[place], want, rtol=0, atol=ROUNDING * want.std())


@every_model
def test_the_file_is_valid_and_says_nothing_of_the_machine(
    card: ModelCard, built: Callable[[ModelCard], Path]
) -> None:
    path = built(card)
    onnx.checker.check_model(str(path))
    model = onnx.load(path)
    assert [(used.domain, used.version) for used in model.opset_import] == [("", OPSET)]
    written = path.read_bytes()
    places = (Path(onnx.__file__).parent.parent, Path(__file__).parents[2], Path.home())
    for place in ("site-packages", *map(str, places)):
        assert place.encode() not in written
    whole = {node.op_type for node in model.graph.node}
    if card.name in {"bert_base", "gpt2", "vit_b_16"}:
        assert {"LayerNormalization", "Gelu", "Softmax"} <= whole
    if card.name == "lstm_tagger":
        assert "LSTM" in whole


def test_the_same_seed_gives_the_same_weights() -> None:
    """And another seed gives others."""

    def weights(seed: int) -> Tensor:
        module = make("xbench_models.zoo.detector:detector", seed).module
        return torch.cat([weight.flatten() for weight in module.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))
