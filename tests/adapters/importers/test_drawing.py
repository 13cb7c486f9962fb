"""Operators that draw at random: what can be said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.adapters.graphs import (
    built,
    model,
    normal,
    same,
)
from tests.adapters.importers.chosen import (
    ERRORS,
    given_by,
    import_onnx,
    ran,
    run,
    said,
)
from xbench.errors import UnsupportedNodeError

node = helper.make_node


@pytest.mark.parametrize(("ratio", "training"), [(0.5, False), (0.0, True)])
def test_dropout_outside_training_keeps_all(ratio: float, training: bool) -> None:
    feeds = {"x": normal(3, 4), "r": np.array(ratio, np.float32), "t": np.array(training)}
    drop = node("Dropout", list(feeds), ["y", "m"])
    kept, mask = ran(model([drop], feeds, ["y", "m"], opset=13), feeds)
    np.testing.assert_array_equal(kept, feeds["x"])
    assert mask.all()


def test_dropout_in_training_needs_a_seed() -> None:
    feeds = {"x": normal(3, 4), "r": np.array(0.5, np.float32), "t": np.array(True)}
    told = {name: feeds[name] for name in "rt"}
    with pytest.raises(UnsupportedNodeError, match="seed"):
        import_onnx(model([node("Dropout", list(feeds), ["y"])], {"x": feeds["x"]}, ["y"], told))
    with pytest.raises((*ERRORS, UnsupportedNodeError), match="seed"):
        said([node("Dropout", list(feeds), ["y"])], feeds)
    drop = node("Dropout", list(feeds), ["y"], seed=3)
    first, second = said([drop], feeds), said([drop], feeds)
    assert np.array_equal(first, second)
    assert 0 < int((first == 0).sum()) < 12


def test_dropout_of_the_first_versions() -> None:
    x = {"x": normal(3)}
    assert said([node("Dropout", ["x"], ["y"], is_test=1)], x, opset=6).tolist() == x["x"].tolist()
    with pytest.raises(UnsupportedNodeError, match="seed"):
        import_onnx(model([node("Dropout", ["x"], ["y"])], x, ["y"], opset=6))


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("RandomUniform", {"shape": [2, 2]}),
        ("RandomNormal", {"shape": [2, 2]}),
        ("RandomUniformLike", {}),
        ("RandomNormalLike", {}),
        ("Bernoulli", {}),
        ("Multinomial", {"sample_size": 3}),
    ],
)
@pytest.mark.parametrize("seed", [{}, {"seed": 7.0}])
def test_what_draws_at_random_is_refused_with_what_to_do(
    operator: str, attributes: dict[str, Any], seed: dict[str, Any]
) -> None:
    """A seed draws the same numbers in one runtime only."""
    inputs = ["x"] if "Like" in operator or operator in ("Bernoulli", "Multinomial") else []
    feeds = {"x": normal(2, 2)} if inputs else {}
    whole = model([node(operator, inputs, ["y"], **attributes, **seed)], feeds, ["y"])
    with pytest.raises(UnsupportedNodeError, match="noise as an input"):
        import_onnx(whole)


def test_training_drops_only_what_a_seed_says() -> None:
    feeds = {"x": normal(4, 5), "r": np.float32(0.5), "t": np.array(True)}
    one = node("Dropout", ["x", "r", "t"], ["y", "m"], seed=3)
    found, mask = given_by(one, feeds)
    wanted: Any = np.random.RandomState(3).uniform(0, 1, (4, 5)) >= 0.5
    same(mask, wanted)
    same(found, feeds["x"] * wanted * 2)
    one = node("Dropout", ["x", "r", "t"], ["y"])
    module = import_onnx(built(one, feeds))
    same(run(module, feeds | {"t": np.array(False)})[0], feeds["x"])
    with pytest.raises((*ERRORS, UnsupportedNodeError), match="without a seed"):
        run(module, feeds)
    weights = {"r": feeds["r"], "t": feeds["t"]}
    with pytest.raises(UnsupportedNodeError, match="without a seed"):
        import_onnx(model([one], {"x": feeds["x"]}, ["y"], weights))
