"""Energy of real workers: joules per inference where a meter is, and the reason where none is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.xbench.telemetry.powercap import SimulatedTree, SimulatedZone
from xbench import metering
from xbench.adapter import Limits
from xbench.comparison import compare, run
from xbench.crew import Crew
from xbench.plan import Spec
from xbench.process import environment
from xbench.result import Run, Status
from xbench.store import read_samples
from xbench.telemetry import energy, probe

IDLE_W, LOAD_W = 10.0, 50.0
TICK_S = 0.002
SHORT: dict[str, Any] = {"launches": 1, "time_budget_s": 2.0}
METERED_XBENCH = """
import sys
from pathlib import Path
from xbench import metering
metering.ROOT = Path(sys.argv.pop(1))
from xbench.cli.main import main
main()
"""

pytestmark = pytest.mark.usefixtures("test_adapters")


@dataclass
class Package:
    """A processor whose counter advances in real time, by more while a worker runs."""

    zone: SimulatedZone
    at_s: float = field(default_factory=monotonic)
    runs: list[tuple[int, float]] = field(default_factory=list)  # inferences and their joules
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def draw(self, watts: float) -> float:
        """Draw that much from now on; return the joules drawn so far."""
        with self.lock:
            now_s = monotonic()
            self.zone.advance(now_s - self.at_s)
            self.at_s, self.zone.watts = now_s, watts
            return self.zone.spent_j

    def live(self) -> None:
        while not self.stop.wait(TICK_S):
            self.draw(self.zone.watts)

    @property
    def truth_j(self) -> float:
        """Return the joules of an inference as they were drawn, the probe's apart."""
        return sum(joules for _, joules in self.runs[1:]) / sum(n for n, _ in self.runs[1:])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Give the machine a package, and metering short windows."""
    tree = SimulatedTree(tmp_path / "sys/class/powercap")
    found = Package(tree.add("intel-rapl:0", "package-0", watts=IDLE_W))
    monkeypatch.setattr(metering, "ROOT", tmp_path / "sys")
    monkeypatch.setattr(metering, "REST_S", 0.1)
    monkeypatch.setattr(energy, "SHORTEST_WINDOW_S", 0.5)
    monkeypatch.setattr(probe, "PROBE_S", 0.5)
    real = Crew.run_for

    def run_for(crew: Crew, cell: int, seconds: float) -> int:
        before_j = found.draw(LOAD_W)
        try:
            count = real(crew, cell, seconds)
        finally:
            after_j = found.draw(IDLE_W)
        found.runs.append((count, after_j - before_j))
        return count

    monkeypatch.setattr(Crew, "run_for", run_for)
    thread = threading.Thread(target=found.live)
    thread.start()
    yield found
    found.stop.set()
    thread.join()
    tree.close()


@pytest.fixture
def no_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the machine no meter; return the seconds that metering then ran or waited."""
    spent: list[float] = []
    (tmp_path / "sys").mkdir()
    monkeypatch.setattr(metering, "ROOT", tmp_path / "sys")

    def run_for(crew: Crew, cell: int, seconds: float) -> int:
        spent.append(seconds)
        return 1

    monkeypatch.setattr(Crew, "run_for", run_for)
    monkeypatch.setattr(
        metering.InterruptiblePassage, "sleep", lambda self, seconds: spent.append(seconds)
    )
    return spent


def energy_of(found: Run, backend: str) -> dict[str, Any]:
    (row,) = (row for row in found.results if row.backend == backend)
    assert row.energy is not None
    return dict(row.energy)


def test_what_an_inference_draws_is_what_its_row_says(
    package: Package, tiny_model: Path, tmp_path: Path
) -> None:
    """A resumed run measures it no second time, and a run folder gives it back."""
    out = tmp_path / "run"
    spec = Spec(model=str(tiny_model), backends=("busy:2000",), **SHORT)
    found = energy_of(run(spec, out=out), "busy:2000")
    assert (found["label"], found["scope"]) == ("measured:counter", "package")
    cost = found["per_inference_j"]
    assert cost["low"] <= cost["value"] <= cost["high"]
    assert cost["value"] == pytest.approx(package.truth_j, rel=0.3)  # windows of half a second
    assert found["load_w"]["value"] == pytest.approx(LOAD_W, rel=0.05)
    assert found["idle_w"]["value"] == pytest.approx(IDLE_W, rel=0.05)

    package.runs.clear()
    again = run(spec, resume=out)
    assert again.results[0].launches == 2
    assert package.runs == []
    assert json.dumps(energy_of(again, "busy:2000")) == json.dumps(found)
    assert read_samples(out).energies.keys() == {0}


def test_a_run_of_a_batch_is_as_many_inferences(
    package: Package, tiny_model: Path, tmp_path: Path
) -> None:
    """As in the throughput: what stands beside inferences a second is joules for each of them."""
    spec = Spec(model=str(tiny_model), backends=("busy:2000",), batches=(4,), **SHORT)
    found = energy_of(run(spec, out=tmp_path / "run"), "busy:2000")
    assert found["per_inference_j"]["value"] == pytest.approx(package.truth_j / 4, rel=0.3)


def test_a_worker_that_dies_while_it_is_metered_is_a_row_that_failed(
    package: Package, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are metered all the same."""
    steady = Crew.run_for

    def run_for(crew: Crew, cell: int, seconds: float) -> int:
        if cell == 0:
            os.kill(crew.members[cell].process.pid, signal.SIGKILL)
        return steady(crew, cell, seconds)

    monkeypatch.setattr(Crew, "run_for", run_for)
    found = compare(tiny_model, ("busy", "busy:2000"), out=tmp_path / "run", **SHORT)
    dead, alive = found.results
    assert (dead.status, alive.status) == (Status.CRASHED, Status.OK)
    assert "SIGKILL" in (dead.reason or "")
    assert read_samples(tmp_path / "run").failures[0].phase == "energy"
    assert energy_of(found, "busy")["label"] == "unavailable:the row failed before it was metered"
    assert energy_of(found, "busy:2000")["label"] == "measured:counter"


def test_where_there_is_no_meter_rows_say_so_and_nothing_runs(
    no_meter: list[float], tiny_model: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    spec = Spec(model=str(tiny_model), backends=("busy", "busy:2000"), **SHORT)
    found = run(spec, out=tmp_path / "run", progress=Telling(said))
    for row in found.results:
        assert row.status is Status.OK
        told = energy_of(found, row.backend)
        assert told["label"].startswith("unavailable:there is no RAPL here (")
        assert "bare machine" in told["fix"]
        assert told["per_inference_j"] is None
    assert sum(no_meter) == 0
    assert not any("energy" in text for text in said)


@pytest.mark.parametrize(
    ("quick", "reason", "fix"),
    [
        (False, "not asked for", "Leave out --no-energy"),
        (True, "--quick leaves it out", "Ask for it with --energy"),
    ],
)
def test_energy_that_nobody_asked_for_is_not_measured(
    package: Package, tiny_model: Path, tmp_path: Path, quick: bool, reason: str, fix: str
) -> None:
    asked = {**SHORT, "energy": False, "quick": quick}
    told = energy_of(compare(tiny_model, ("busy",), out=tmp_path / "run", **asked), "busy")
    assert (told["label"], told["fix"]) == (f"unavailable:{reason}", fix)
    assert package.runs == []


def test_ctrl_c_while_it_is_metered_keeps_the_rounds_and_resume_measures_it(
    tiny_model: Path, tmp_path: Path
) -> None:
    """The interrupted run says why it has none; this counter stands still, as the rest finds."""
    tree = SimulatedTree(tmp_path / "sys/class/powercap")
    tree.add("intel-rapl:0", "package-0")
    tree.close()
    out = tmp_path / "run"
    command = [sys.executable, "-c", METERED_XBENCH, str(tmp_path / "sys"), "compare"]
    first = [str(tiny_model), "--backends", "busy", "--launches", "1", "--time-budget", "2s"]
    process = subprocess.Popen(
        [*command, *first, "--out", str(out), "--json", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert any("measuring energy of busy" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    (row,) = json.loads(text)["results"]
    assert (row["status"], row["rounds"] > 0) == ("ok", True)
    assert row["energy"]["label"] == "unavailable:the run was stopped before it"
    assert row["energy"]["fix"] == "Finish the run with --resume"

    done = subprocess.run(
        [*command, "--resume", str(out), "--json", "-"], check=True, capture_output=True, text=True
    )
    (row,) = json.loads(done.stdout)["results"]
    assert row["energy"]["label"].startswith("unavailable:the counter did not advance")


def test_workers_number_gpus_as_the_driver_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's own order puts the fastest first: its cuda:0 may be another than the meter's."""
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert environment(Limits(threads=1))["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


class Telling:
    """A progress that keeps the phases."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def phase(self, text: str) -> None:
        self.said.append(text)

    def standing(self, standing: object) -> None:
        pass

    def note(self, text: str) -> None:
        self.said.append(text)
