"""The command that measures a winner again asks for what was searched."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.xbench.report.html.test_reproduce import asked_by
from xbench.plan import Spec
from xbench.tuning.command import command, options
from xbench.tuning.space import make_space

ASKED = Spec(
    model="my model.onnx",
    backends=("litert:int8",),
    device="cuda:0",
    shapes={"ids": (1, 128)},
    precision="int8",
    timeout_s=90.0,
    seed=9,
    inputs="my feeds.npz",
    calibration="c.npz",
    trust=True,
)
MEASURED = ("feeds", "launches", "precision_target", "time_budget_s", "energy", "roofline")


def told(spec: Spec, batches: tuple[int | None, ...] = (None,), streams: int = 1) -> Any:
    """Return what `command` reads of a search whose last configuration won."""
    space = make_space(spec.backends, [2], batches, [streams], cpus=4)
    chosen = SimpleNamespace(winner=len(space) - 1)
    return SimpleNamespace(choice=chosen, space=space, request=SimpleNamespace(spec=spec))


@pytest.mark.parametrize(
    "own", [{}, {"profile": "rpi4b", "device": "cpu"}, {"trust": False, "seed": 0}], ids=str
)
def test_the_command_asks_for_all_that_was_searched(
    own: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(ASKED, **own)
    found = asked_by(str(command(told(spec))), monkeypatch)
    usual = {name: getattr(found, name) for name in MEASURED}
    assert found == replace(spec, threads=2, **usual)


def test_batch_and_streams_are_those_of_the_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Spec(model="m.onnx", backends=("busy",), batches=(1, 8))
    found = asked_by(str(command(told(spec, (1, 8), 2))), monkeypatch)
    assert (found.batches, found.scenario, found.threads) == ((8,), "streams:2", 2)


def test_what_is_as_usual_is_left_out() -> None:
    assert options(Spec(model="m.onnx")) == []
    assert command(SimpleNamespace(choice=SimpleNamespace(winner=None))) is None  # type: ignore[arg-type]
