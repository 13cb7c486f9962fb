"""Recurrent networks in TensorFlow: what runs in a loop."""

from __future__ import annotations

import pytest

from tests.adapters.importers.test_recurrent import many_steps
from tests.adapters.tensorflow.importer import kinds_of


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("extras", [[], ["lens"]])
def test_many_steps_run_in_a_loop(operator: str, direction: str, extras: list[str]) -> None:
    module = many_steps(operator, direction, extras)
    assert any("While" in kind for kind in kinds_of(module))
