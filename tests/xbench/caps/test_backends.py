"""Real runtimes hold their caps at 1 and 2 threads; scripts/caps-check asks all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.xbench.caps.test_capped_rows import SHORT, board
from tests.xbench.graphs import FLOAT, node, save
from xbench.caps.proof import TOLERANCE
from xbench.comparison import compare
from xbench.device import allowed_cpus

BACKENDS = ("onnxruntime", "openvino")


@pytest.mark.slow
@pytest.mark.usefixtures("writable")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_caps_of_a_profile_hold(tmp_path: Path, threads: int) -> None:
    for name in BACKENDS:
        pytest.importorskip(name)
    if threads > len(allowed_cpus()):
        pytest.skip(f"this process may not use {threads} CPUs")
    model = save(
        tmp_path,
        [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "w"], ["y"])],
        {"x": (FLOAT, [1, 256, 512])},
        {"y": (FLOAT, [1, 256, 512])},
        {"w": np.random.default_rng(0).standard_normal((512, 512), np.float32) / 22},
    )
    profile = board(tmp_path, "2 GiB", threads)
    found = compare(model, BACKENDS, out=tmp_path / "run", profile=profile, **SHORT)
    for row in found.results:
        assert row.ranked, row.reason
        assert row.caps
        held = row.caps["held"]
        assert held["cpus_used"] <= TOLERANCE * threads
        assert held["busy_threads"] <= threads
        assert held["strayed_cpus"] == []
        assert held["memory_limit_bytes"] == 2**31
        assert held["resident_peak_bytes"] < 2**31
