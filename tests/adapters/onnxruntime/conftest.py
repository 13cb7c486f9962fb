"""A GPU for the tests of this folder that ask for one, by a double."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.adapters.onnxruntime import double
from tests.adapters.onnxruntime.double import Gpu
from tests.adapters.onnxruntime.on_gpu import OVERRIDE
from xbench_adapters.onnxruntime import arithmetic


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """Return a GPU with CUDA's bindings; all that was taken of it must be given back."""
    gpu = Gpu()
    double.installed(gpu, monkeypatch)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", double.Cudart(gpu))
    monkeypatch.setattr(os, "environ", {**os.environ})
    os.environ.pop(OVERRIDE, None)
    said = {"kinds": {"fp32": 3}, "copies": 1, "arena_bytes": 2**20}
    monkeypatch.setattr(arithmetic, "ask", lambda *_, **__: said)
    yield gpu
    assert gpu.open == 0, "not everything was given back"


@pytest.fixture
def without_bindings(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    return gpu
