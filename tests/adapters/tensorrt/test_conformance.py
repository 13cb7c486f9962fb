"""What every adapter passes, on TensorRT's double: both variants, on a device of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.tensorrt import double
from tests.adapters.tensorrt.double_state import STATE
from xbench.adapter import Limits
from xbench.testing.conformance import AdapterConformance
from xbench_adapters.tensorrt import TensorRtAdapter


@pytest.fixture(scope="class", autouse=True)
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the double once for all tests of a class, so that engines are kept between them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xbench_adapters.tensorrt.gpu.count", lambda: (1, None))
        folder: Path = tmp_path_factory.mktemp("tensorrt")
        with double.installed(folder, patch):
            yield


@pytest.fixture(autouse=True)
def given_back() -> Iterator[None]:
    """Demand that each test gives back all that it took of the GPU."""
    yield
    left = STATE.forget()
    assert left == 0, f"{left} things of the GPU were not given back"


class TestTensorRt(AdapterConformance):
    adapter = TensorRtAdapter
    limits = Limits(threads=1, device="cuda:0")


class TestTensorRtGraph(TestTensorRt):
    variant = "graph"
