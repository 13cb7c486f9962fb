"""One real comparison, whose rows are of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import xbench
from xbench.publishing.rows import Published, read_published

SHORT: dict[str, Any] = {"launches": 1, "time_budget_s": 1.0}


@pytest.fixture(scope="session")
def real_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Return a run of two backends that work, one that is wrong and one that crashes."""
    backends = ("busy", "busy:2000", "faulty:wrong", "faulty:segfault-round")
    folder = tmp_path_factory.mktemp("real") / "run"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XBENCH_TEST_ADAPTERS", "1")
        xbench.compare(tiny_model, backends, out=folder, **SHORT)
    return read_published(folder)
