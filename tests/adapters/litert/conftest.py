"""TensorFlow's threads are the process's, and the user's cache is the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from xbench.adapter import Limits
from xbench_adapters.tensorflow import TensorFlowAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

TensorFlowAdapter().prepare(Limits(threads=1))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give each file of tests a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
