"""Device memory of real workers that say they run on a simulated GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pynvml
import pytest

from tests.xbench.telemetry.nvml_sim import UUIDS, SimulatedNvml
from tests.xbench.telemetry.on_gpu import at_phase, install, until_seen
from xbench.adapter import Limits
from xbench.crew import Crew
from xbench.inputs import save_feeds
from xbench.interrupts import Interrupts
from xbench.members import Job
from xbench.model import bind, read_model
from xbench.plan import Cell
from xbench.samples import Launched
from xbench.store import RunFolder
from xbench.telemetry.device_memory import (
    NOT_READ,
    NOTHING_USED,
    ON_CPU,
    LaunchMemory,
    doubts,
    of_row,
)

Driver = Callable[[int], SimulatedNvml]
GB = 1 << 30


@pytest.fixture
def job(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    """Return what makes a job on the simulated GPU."""
    backend = install(tmp_path, monkeypatch)
    feeds = tmp_path / "feeds.npz"
    save_feeds(feeds, ({"x": np.ones((1, 8), np.float32)},))
    bound = bind(read_model(tiny_model, "tiny"), 1)

    def make(number: int = 0, **limits: Any) -> Job:
        cell = Cell(
            id=number,
            backend=backend,
            label=f"number {number}",
            batch=1,
            group=0,
            limits=Limits(**{"threads": 1, "device": "cuda:0", **limits}),
            precision="fp32",
            scenario="single-stream",
            boundary="host",
        )
        return Job(cell=cell, model=bound, feeds=feeds, feed_count=1)

    return make


@contextmanager
def crew_of(folder: Path, steps: dict[str, Callable[[], None]]) -> Iterator[Crew]:
    """Give a crew in which a step is done as each phase begins."""
    run = RunFolder.create(folder / "run")
    with Interrupts() as stop, Crew(0, run, stop, 60.0, at_phase(steps)) as crew:
        yield crew


def told(launched: Launched) -> dict[str, Any]:
    assert launched.device_memory is not None
    return dict(launched.device_memory)


def test_a_launch_tells_the_most_that_was_used_above_the_time_before_it(
    simulated_nvml: Driver, job: Callable[..., Job], tmp_path: Path
) -> None:
    """5 GB for a moment while it loads, 2 GB in the end; 1 GB of others was there before."""
    sim = simulated_nvml(1)
    sim.set("memory", 0, GB, 0)

    def use(total: int, own: int) -> None:
        (pid,) = (member.process.pid for member in crew.members.values())
        sim.set("memory", 0, total, 0)
        sim.set("process", 0, pid, own)
        until_seen(sim)

    steps = {
        "loading": lambda: use(6 * GB, 4 * GB),
        "warming": lambda: use(3 * GB, GB),
    }
    with crew_of(tmp_path, steps) as crew:
        found = told(crew.start(job(), 0.1))

    assert found == {
        "baseline_bytes": GB,
        "peak_bytes": 5 * GB,
        "process_peak_bytes": 4 * GB,
        "reason": None,
    }


def test_what_other_workers_hold_is_in_nobody_elses_number(
    simulated_nvml: Driver, job: Callable[..., Job], tmp_path: Path
) -> None:
    """The first takes 4 GB and keeps them, stopped; the second takes 1 GB more."""
    sim = simulated_nvml(1)
    steps = {
        "loading number 0": lambda: sim.set("memory", 0, 4 * GB, 0),
        "loading number 1": lambda: sim.set("memory", 0, 5 * GB, 0),
    }
    with crew_of(tmp_path, steps) as crew:
        first, second = (told(crew.start(job(number), 0.1)) for number in (0, 1))

    assert (first["baseline_bytes"], first["peak_bytes"]) == (0, 4 * GB)
    assert (second["baseline_bytes"], second["peak_bytes"]) == (4 * GB, GB)
    assert "does not have ours" in second["reason"]
    assert second["process_peak_bytes"] is None


def test_it_is_the_memory_of_the_gpu_with_the_workers_uuid(
    simulated_nvml: Driver, job: Callable[..., Job], tmp_path: Path
) -> None:
    """Also where CUDA_VISIBLE_DEVICES names one GPU only."""
    sim = simulated_nvml(2)
    with crew_of(tmp_path, {"loading": lambda: sim.set("memory", 1, 3 * GB, 0)}) as crew:
        found = told(crew.start(job(uuid=UUIDS[1]), 0.1))
    assert found["peak_bytes"] == 3 * GB


def test_a_driver_that_stops_telling_costs_the_number_and_not_the_launch(
    simulated_nvml: Driver, job: Callable[..., Job], tmp_path: Path
) -> None:
    """Lost while it loads: nothing of before is kept as if it were the peak."""
    sim = simulated_nvml(1)

    def lose() -> None:
        for name in ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2"):
            sim.fault(name, pynvml.NVML_ERROR_GPU_IS_LOST)

    with crew_of(tmp_path, {"loading": lose}) as crew:
        launched = crew.start(job(), 0.1)

    assert launched.warmup_inferences > 0
    found = told(launched)
    assert found.pop("reason") == "the GPU is lost"
    assert set(found.values()) == {None}


def test_a_gpu_that_is_not_there_has_a_reason(simulated_nvml: Driver) -> None:
    simulated_nvml(1)
    memory = LaunchMemory(Limits(threads=1, device="cuda:3"))
    with memory.watched(1):
        pass
    assert "no cuda:3" in (memory.told() or {})["reason"]


def test_a_launch_on_the_cpu_asks_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr(pynvml, "CDLL", load)
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    memory = LaunchMemory(Limits(threads=1))
    with memory.watched(1):
        pass
    assert memory.told() is None


def of_launch(peak: int | None, process: int | None = None, reason: str | None = None) -> Any:
    return {
        "baseline_bytes": None if peak is None else 100,
        "peak_bytes": peak,
        "process_peak_bytes": process,
        "reason": reason,
    }


def test_a_row_has_the_median_peak_and_each_number_apart() -> None:
    found = of_row([of_launch(900, 700), of_launch(1000, 800), of_launch(1040, 810)], "cuda:0")
    figures = found["device_figures"]
    assert (found["device"], found["device_reason"]) == (1000, None)
    assert figures["peak"] == {"median": 1000, "min": 900, "max": 1040}
    assert figures["process_peak"]["median"] == 800
    assert figures["baseline"]["median"] == 100
    assert figures["spread"] == pytest.approx(0.14)
    assert figures["reason"] is None


def test_a_number_by_process_that_is_missing_leaves_the_headline() -> None:
    found = of_row([of_launch(900, None, "not listed")], "cuda:0")
    assert (found["device"], found["device_reason"]) == (900, None)
    assert found["device_figures"]["process_peak"] is None
    assert found["device_figures"]["reason"] == "not listed"


@pytest.mark.parametrize(
    ("launches", "device", "reason"),
    [
        ([None], "cpu", ON_CPU),
        ([], "cpu", ON_CPU),
        ([None, None], "cuda:0", NOT_READ),
        ([of_launch(None, None, "the GPU is lost")], "cuda:0", "the GPU is lost"),
        ([of_launch(900), of_launch(None, None, "lost")], "cuda:0", "lost"),
        ([of_launch(0, 0)], "cuda:0", NOTHING_USED),
        ([of_launch(0, None, "not listed")], "cuda:0", NOTHING_USED),
    ],
)
def test_a_headline_that_is_missing_is_none_with_its_reason(
    launches: list[Any], device: str, reason: str
) -> None:
    """Never 0: a worker that computes on a GPU holds a context there."""
    found = of_row(launches, device)
    assert found["device"] is None
    assert found["device_reason"] == reason


@pytest.mark.parametrize(
    ("used", "allocated", "told"),
    [(3 * GB, 2 * GB, 0), (GB, 2 * GB, 1), (None, GB, 0), (GB, None, 0)],
)
def test_a_moment_that_the_allocator_alone_saw_is_told(
    used: int | None, allocated: int | None, told: int
) -> None:
    """A peak that is read now and then is too low where the allocator itself had more."""
    found = doubts({"device": used, "allocator": allocated})
    assert len(found) == told
    assert all("2.00 GiB" in one for one in found)
