"""TensorRT's double, installed for every test of this folder that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.tensorrt import double
from tests.adapters.tensorrt.double_state import STATE


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the double; give the file of its calls, and demand that all is given back."""
    # The one thing that the double cannot do: the driver's own library is loaded by its name.
    monkeypatch.setattr("xbench_adapters.tensorrt.gpu.count", lambda: (1, None))
    with double.installed(tmp_path, monkeypatch) as record:
        STATE.device = None
        yield record
        left = STATE.forget()
        assert left == 0, f"{left} things of the GPU were not given back"
