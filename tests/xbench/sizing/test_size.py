"""The whole with real workers: what is measured here, what is said of a device, what failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.xbench.graphs import FLOAT, node, save
from tests.xbench.sizing.made import demand
from xbench.procurement.fleet import Fleet
from xbench.report.sizing import render
from xbench.result import Status
from xbench.sizing.answer import TEMPLATE, Sizing, size
from xbench.sizing.groups import wanted
from xbench.sizing.transfer import Unscaled
from xbench.sizing.trial import Verdict

BOARD = """
schema = 1
name = "board"
title = "A board"
kind = "device"
[cpu]
confidence = "estimate"
[[cpu.clusters]]
count = 1
clock = "1 GHz"
per_cycle = {{ fp32 = {per_cycle} }}
[memory]
size = "4 GiB"
bandwidth = "4 GB/s"
confidence = "estimate"
[[sources]]
of = ["cpu", "memory"]
title = "made up"
url = "https://example.com"
read = 2026-01-01
"""
SHORT: dict[str, Any] = {"launches": 2, "time_budget_s": 3.0, "timeout_s": 60.0}


def sized(model: Path, folder: Path, backends: tuple[str, ...], **own: Any) -> Sizing:
    board = folder / "board.toml"
    board.write_text(BOARD.format(per_cycle=own.pop("per_cycle", 2)))
    spec = replace(TEMPLATE, model=str(model), backends=backends, **SHORT | own)
    return size(spec, demand(), wanted(["1-core-512MB", str(board)]), out=folder / "out")


@pytest.mark.usefixtures("test_adapters")
def test_two_profiles_are_one_run_and_a_backend_that_fails_leaves_its_reason(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Caps tell of this host; of the device nothing, as this host's limits were not probed."""
    found = sized(tiny_model, tmp_path, ("busy", "faulty:raise-load"), roofline=False, quick=True)
    caps, board = found.answers
    assert caps.verdict is Verdict.FITS_CAPPED
    assert (caps.devices, caps.devices_least) == (1, 1)
    assert caps.trial
    assert isinstance(caps.trial.here, Fleet)
    assert caps.trial.memory.used
    assert caps.headroom.memory is not None
    assert 0 < caps.headroom.memory < 1
    assert caps.trial.memory.evidence == "modelled"  # the board has more, so that one was run

    assert board.verdict is Verdict.UNKNOWN
    assert "the roofline was not asked for" in (board.reason or "")

    (only,) = found.caps
    assert only.profiles == ("1-core-512MB", "board")
    broken = next(one for one in only.rows if one.name.startswith("faulty"))
    assert broken.status is Status.CRASHED
    assert broken.row.problem
    text = " ".join(render(found).split())
    assert "faulty:raise-load" in text
    assert " ".join(broken.row.problem[0].split())[:60] in text
    assert (Path(found.folder) / "threads-1" / "result.json").exists()


@pytest.mark.slow
def test_a_device_has_a_range_scaled_from_what_this_host_reached(tmp_path: Path) -> None:
    """134 MFLOP at 8 GFLOP/s: no inference takes less than 16.8 ms, and the range begins there."""
    weights = {"w": np.random.default_rng(0).standard_normal((256, 256), np.float32) / 16}
    nodes = [node("MatMul", [f"h{i}", "w"], [f"h{i + 1}"]) for i in range(4)]
    square = (FLOAT, (256, 256))
    path = save(tmp_path, nodes, {"h0": square}, {"h4": square}, weights)
    found = sized(path, tmp_path, ("onnxruntime",), time_budget_s=12.0, per_cycle=8)
    caps, board = found.answers
    assert caps.floor_s is None
    assert board.floor_s is not None
    assert board.floor_s == pytest.approx(4 * 2 * 256**3 / 8e9, rel=0.01)
    assert board.trial
    if isinstance(board.trial.scale, Unscaled):  # a machine that others keep busy
        assert "of what this host allows" in board.trial.scale.reason
        return
    assert board.trial.latency_s
    assert board.trial.latency_s.low >= board.floor_s
    assert "modelled" in render(found)
