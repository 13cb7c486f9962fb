"""TensorRT itself on a GPU: what every adapter passes. `scripts/gpu-check` runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from xbench.adapter import Limits
from xbench.testing.conformance import AdapterConformance
from xbench_adapters.tensorrt import TensorRtAdapter

ABSENT = TensorRtAdapter().available().reason

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,  # engines are built
    pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT)),
]


@pytest.fixture(scope="class", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the engines of a class between its tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class TestTensorRt(AdapterConformance):
    adapter = TensorRtAdapter
    limits = Limits(threads=1, device="cuda:0")


class TestTensorRtGraph(TestTensorRt):
    variant = "graph"
