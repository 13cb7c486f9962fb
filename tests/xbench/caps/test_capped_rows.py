"""Real workers under a profile: what holds is ranked; what does not is caught, and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.xbench.graphs import linear
from xbench.cautions import Code
from xbench.comparison import compare
from xbench.device import allowed_cpus
from xbench.progress import Silent
from xbench.report.terminal import render
from xbench.result import CellResult, Run, Status

pytestmark = pytest.mark.usefixtures("test_adapters")

SHORT: dict[str, Any] = {"launches": 1, "time_budget_s": 3.0, "energy": False, "timeout_s": 30.0}
GIB = 2**30


def board(tmp_path: Path, memory: str = "512 MiB", cores: int = 1) -> str:
    path = tmp_path / "board.toml"
    path.write_text(
        'schema = 1\nname = "board"\ntitle = "A board"\nkind = "device"\nmax_batch = 8\n'
        f'[cpu]\nconfidence = "estimate"\n[[cpu.clusters]]\ncount = {cores}\nclock = "1 GHz"\n'
        f'per_cycle = {{ fp32 = 2 }}\n[memory]\nsize = "{memory}"\nbandwidth = "1 GB/s"\n'
        'confidence = "estimate"\n[[sources]]\nof = ["cpu", "memory"]\ntitle = "made up"\n'
        'url = "https://example.com"\nread = 2026-01-01\n'
    )
    return str(path)


def rows(found: Run) -> dict[str, CellResult]:
    return {row.backend: row for row in found.results}


@pytest.mark.usefixtures("writable")
def test_a_backend_that_ignores_a_cap_is_caught_and_leaves_the_ranking(
    tiny_model: Path, tmp_path: Path
) -> None:
    """More threads than allowed, more memory than allowed; the honest one is ranked."""
    backends = ("busy", "faulty:threads-load", "faulty:memory-load", "faulty")
    found = compare(tiny_model, backends, out=tmp_path / "run", profile=board(tmp_path), **SHORT)
    by = rows(found)
    assert {name for name, row in by.items() if row.rank} == {"busy", "faulty"}
    honest = by["busy"].caps
    assert honest
    assert honest["broken"] == []
    assert honest["held"]["memory_limit_bytes"] == 2**29
    assert honest["held"]["cpus_used"] <= 1.03

    threads = by["faulty:threads-load"]
    assert threads.status is Status.OK
    assert "threads were busy" in (threads.reason or "")
    assert Code.THREADS_OVER_CAP in {caution.code for caution in threads.cautions}

    memory = by["faulty:memory-load"]
    assert memory.status is Status.OOM_HOST
    assert "needs more than the 512 MiB that it was capped to" in (memory.reason or "")
    assert "OOM killer" in (memory.reason or "")

    shown = render(found)
    assert "cap not held" in shown
    assert "host, capped to 1 thread and 512 MiB" in " ".join(shown.split())


@pytest.mark.skipif(len(allowed_cpus()) < 2, reason="there is no other CPU to stray to")
def test_a_backend_that_takes_more_cpus_is_caught(tiny_model: Path, tmp_path: Path) -> None:
    """Without a profile too: it was asked for one thread."""
    backends = ("busy", "faulty:stray-load")
    found = compare(tiny_model, backends, out=tmp_path / "run", threads=1, **SHORT)
    stray = rows(found)["faulty:stray-load"]
    assert stray.rank is None
    assert stray.caps
    assert any("which it was not given" in why for why in stray.caps["broken"])
    assert found.comparisons == ()
    assert found.exit_status == 0


@pytest.mark.usefixtures("unwritable")
def test_without_control_groups_the_mechanism_is_named_and_doubted(
    tiny_model: Path, tmp_path: Path
) -> None:
    backends = ("busy", "faulty:memory-load")
    found = compare(
        tiny_model, backends, out=tmp_path / "run", profile=board(tmp_path, "1 GiB"), **SHORT
    )
    busy, memory = found.results
    assert busy.caps
    assert busy.caps["by"]["memory"] == "RLIMIT_AS (no control group: Read-only file system)"
    assert busy.caps["held"]["address_space_bytes"] == GIB
    assert busy.rank == 1
    assert Code.MEMORY_CAP_COARSE in {caution.code for caution in busy.cautions}
    assert memory.status is Status.OOM_HOST
    assert "1 GiB of address space that it was capped to" in (memory.reason or "")


def test_what_is_needed_for_measuring_is_not_capped(tmp_path: Path, tiny_model: Path) -> None:
    """Canary and reference run where no worker could: the row fails, and they do not."""
    found = compare(
        tiny_model, ("busy",), out=tmp_path / "run", profile=board(tmp_path, "8 MiB"), **SHORT
    )
    (row,) = found.results
    assert row.status in (Status.OOM_HOST, Status.CRASHED)
    assert "reference" not in (row.reason or "")
    assert row.caps
    assert row.caps["memory_bytes"] == 8 * 2**20


def test_the_floor_of_the_device_stands_beside_the_rows(tmp_path: Path) -> None:
    """Computed from its figures: 64 operations at 2 a nanosecond; the bytes fit its caches."""
    model = linear(tmp_path, 1)
    found = compare(model, ("busy",), out=tmp_path / "run", profile=board(tmp_path), **SHORT)
    caps = found.results[0].caps
    assert caps
    assert caps["floor"]["computed"] is True
    assert caps["floor"]["latency_ns"] == pytest.approx(32.0)
    assert "computed, not measured: A board" in " ".join(render(found).split())


def test_what_an_adapter_makes_elsewhere_is_made_without_the_cap(
    tiny_model: Path, tmp_path: Path
) -> None:
    """A device is given the flatbuffer; making it takes more memory than running it."""
    said: list[str] = []

    class Hears(Silent):
        def phase(self, text: str) -> None:
            said.append(text)

    backends, out = ("busy", "faulty"), tmp_path / "run"
    compare(tiny_model, backends, out=out, profile=board(tmp_path), progress=Hears(), **SHORT)
    assert [text for text in said if "converting the model" in text] == [
        "launch 1 of 1: converting the model for faulty"
    ]
