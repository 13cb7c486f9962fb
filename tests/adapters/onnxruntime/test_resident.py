"""Inputs and outputs that stay where they lie, by ONNX Runtime itself on the CPU.

What a GPU does besides is in ``test_cuda``, on a double, and in ``test_gpu``, on hardware.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.adapters.onnxruntime import graphs
from xbench.adapter import BoundModel, Resident, Session
from xbench.errors import UsageError
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench.testing.models import Example
from xbench_adapters.onnxruntime.options import Setup, open_session
from xbench_adapters.onnxruntime.resident import ResidentSession

EXAMPLES = {example.name: example for example in models.examples()}


def opened(model: BoundModel) -> ResidentSession:
    setup = Setup(str(model.path), dict(model.symbols), 1, optimized=True)
    inner = open_session(onnxruntime, setup)
    return ResidentSession(
        inner, model.outputs, setup, "fp32", ort=onnxruntime, events=None, device="cpu"
    )


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


@pytest.fixture
def session(example: Example, tmp_path: Path) -> Iterator[ResidentSession]:
    session = opened(example.write(tmp_path))
    yield session
    session.close()


def same(outputs: Any, expected: Any) -> None:
    assert list(outputs) == list(expected)
    for name, right in expected.items():
        assert outputs[name].dtype == right.dtype
        np.testing.assert_allclose(outputs[name], right, rtol=1e-4, atol=1e-5, err_msg=name)


def test_it_knows_boundaries(session: ResidentSession) -> None:
    assert isinstance(session, Session)
    assert isinstance(session, Resident)


def test_every_boundary_gives_the_same_outputs(session: ResidentSession, example: Example) -> None:
    """In any order, with inputs bound before and after."""
    session.bind(example.feeds[0])
    for boundary in ("device", "host", "device"):
        session.at(boundary)
        session.run()
        session.synchronize()
        same(session.outputs(), example.expected(0))
        same(infer(session, example.feeds[1]), example.expected(1))
        session.bind(example.feeds[0])


def test_binding_alone_changes_no_output(session: ResidentSession, example: Example) -> None:
    session.at("device")
    first = infer(session, example.feeds[0])
    session.bind(example.feeds[1])
    same(session.outputs(), example.expected(0))
    session.run()
    session.synchronize()
    same(first, example.expected(0))
    same(session.outputs(), example.expected(1))


def test_outputs_stay_in_one_place(tmp_path: Path) -> None:
    """Runs after the first allocate no outputs: that is what the boundary is for."""
    session = opened(models.convolution().write(tmp_path))
    session.at("device")
    session.bind(models.convolution().feeds[0])
    places = set()
    for _ in range(4):
        session.run()
        session.synchronize()
        places.add(session._binding.get_outputs()[0].data_ptr())
    assert len(places) == 1
    session.close()


def test_inputs_may_lie_in_memory_in_any_order(tmp_path: Path) -> None:
    """An array that is a view of another is copied, not misread."""
    session = opened(models.convolution().write(tmp_path))
    session.at("device")
    x = models.convolution().feeds[0]["x"]
    turned = np.asfortranarray(x)
    assert not turned.flags.c_contiguous
    same(infer(session, {"x": turned}), models.convolution().expected(0))
    session.close()


def test_an_output_whose_shape_the_data_decides_is_refused_when_it_changes(tmp_path: Path) -> None:
    """It has no place of its own; at ``host`` it may have any shape."""
    session = opened(graphs.counted(tmp_path))
    few, many = np.array([1, 0, 0, 2], np.float32), np.ones(4, np.float32)
    for array, count in ((few, 2), (many, 4)):
        assert infer(session, {"x": array})["y"].shape == (1, count)
    session.at("device")
    assert infer(session, {"x": few})["y"].shape == (1, 2)
    session.bind({"x": many})
    with pytest.raises(UsageError, match="'y'") as raised:
        session.run()
    assert "host" in raised.value.fix
    session.close()


def test_device_events_need_cudas_bindings(session: ResidentSession, example: Example) -> None:
    """Without them it stays where it was."""
    with pytest.raises(UsageError) as raised:
        session.at("compute")
    assert "pip install cuda-bindings" in raised.value.fix
    same(infer(session, example.feeds[0]), example.expected(0))


def test_closing_twice_does_no_harm(session: ResidentSession, example: Example) -> None:
    session.at("device")
    infer(session, example.feeds[0])
    session.close()
    session.close()
