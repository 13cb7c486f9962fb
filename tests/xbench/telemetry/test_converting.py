"""Forms of their own that adapters keep: made by another process where a row would show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from tests.xbench.caps.test_capped_rows import board
from tests.xbench.telemetry.nvml_sim import SimulatedNvml
from tests.xbench.telemetry.on_gpu import install
from xbench.adapter import Limits
from xbench.comparison import compare
from xbench.crew import Crew
from xbench.inputs import save_feeds
from xbench.interrupts import Interrupts
from xbench.members import Job
from xbench.model import bind, read_model
from xbench.plan import Cell
from xbench.result import Status
from xbench.store import RunFolder

SOURCE = """
import os
from pathlib import Path
from xbench.testing.busy import BusyAdapter, BusySession
class Mine(BusyAdapter):
    name = "converting"
    variants = {"": "takes 1 ms"}
    kinds = frozenset({"cpu", "cuda"})
    def __init__(self, variant=""):
        pass
    def convert(self, model, limits, precision):
        self.tell("convert", model)
    def load(self, model, limits, precision):
        self.tell("load", model)
        return BusySession(model, 1_000_000)
    def tell(self, what, model):
        with Path("LOG").open("a") as log:
            log.write(f"{what} {os.getpid()} {sorted(model.shapes.items())}\\n")
"""
SHORT: dict[str, Any] = {"launches": 1, "time_budget_s": 2.0, "energy": False, "threads": 1}
Told = list[tuple[str, str, str]]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Told]:
    """Install the backend ``converting``; return what tells who converted and loaded what."""
    file = tmp_path / "log.txt"
    install(tmp_path, monkeypatch, "converting", SOURCE.replace("LOG", str(file)))

    def told() -> Told:
        lines = [line.split(" ", 2) for line in file.read_text().splitlines()]
        return [(what, process, model) for what, process, model in lines]

    return told


@pytest.fixture
def open_model(tmp_path: Path) -> Path:
    """Return a model whose batch is open."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "open", [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(made, tmp_path / "open.onnx")
    return tmp_path / "open.onnx"


def made_elsewhere(told: Told) -> set[str]:
    """Return the models that were first converted by a process which loads none."""
    loading = {process for what, process, _ in told if what == "load"}
    first: dict[str, str] = {}
    for what, process, model in told:
        if what == "convert":
            first.setdefault(model, process)
    return {model for model, process in first.items() if process not in loading}


@pytest.mark.parametrize("scenario", ["offline", "server:20,max_batch=4,wait=1ms"])
def test_every_batch_is_converted_without_the_cap(
    scenario: str, open_model: Path, tmp_path: Path, log: Callable[[], Told]
) -> None:
    """Those that a search tries, and those that a server may make."""
    found = compare(
        *(open_model, ("converting",)),
        **{**SHORT, "out": tmp_path / "run", "profile": board(tmp_path), "scenario": scenario},
    )
    assert found.results[0].status is Status.OK
    loaded = {model for what, _, model in log() if what == "load"}
    assert len(loaded) > 1
    assert loaded <= made_elsewhere(log())


def test_a_gpu_is_seen_to_hold_what_runs_and_not_what_converts(
    simulated_nvml: Callable[[int], SimulatedNvml],
    log: Callable[[], Told],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    """Once for each cell, by a process that has ended before memory is first read."""
    simulated_nvml(1)
    save_feeds(tmp_path / "feeds.npz", ({"x": np.ones((1, 8), np.float32)},))
    cell = Cell(
        id=0,
        backend="converting",
        label="converting",
        batch=1,
        group=0,
        limits=Limits(1, device="cuda:0"),
        precision="fp32",
        scenario="single-stream",
        boundary="host",
    )
    bound = bind(read_model(tiny_model, "tiny"), 1)
    job = Job(cell=cell, model=bound, feeds=tmp_path / "feeds.npz", feed_count=1)
    made: set[tuple[int, int | None]] = set()
    with Interrupts() as stop:
        for launch in range(2):
            folder = RunFolder.create(tmp_path / f"run{launch}")
            with Crew(launch, folder, stop, 60.0, lambda _: None, made) as crew:
                crew.start(job, 0.1)
    helper_, first, _, second, _ = log()
    assert [one[0] for one in log()] == ["convert", "convert", "load", "convert", "load"]
    assert len({helper_[1], first[1], second[1]}) == 3
