"""A whole run on a simulated GPU: what its rows say of the GPU's memory and of throttling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.xbench.telemetry.nvml_sim import SimulatedNvml
from tests.xbench.telemetry.on_gpu import install
from xbench.comparison import run
from xbench.plan import Spec
from xbench.progress import Silent, Standing
from xbench.result import Run, Status
from xbench.rounds import Rounds
from xbench.store import read_samples
from xbench.telemetry.device_memory import NOTHING_USED

Driver = Callable[[int], SimulatedNvml]
GB = 1 << 30
HW_THERMAL = 0x40


class Heated(Silent):
    """Lets the simulated GPU take memory as a model is loaded, and be throttled in some rounds."""

    def __init__(self, sim: SimulatedNvml) -> None:
        self.sim = sim
        self.rounds = 0

    def phase(self, text: str) -> None:
        if "loading" in text:
            self.sim.set("memory", 0, 3 * GB, 0)

    def standing(self, standing: Standing) -> None:
        self.rounds += 1
        self.sim.set("reasons", 0, HW_THERMAL if self.rounds % 2 else 0)


@pytest.fixture
def found(
    simulated_nvml: Driver, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    sim = simulated_nvml(1)
    sim.set("clocks", 0, 1755, 2619, 61)
    backend = install(tmp_path, monkeypatch)
    spec = Spec(
        model=str(tiny_model),
        backends=(backend, f"{backend}:slow"),
        device="cuda:0",
        launches=1,
        time_budget_s=3.0,
        energy=False,
        quick=True,
    )
    return run(spec, out=tmp_path / "run", progress=Heated(sim))


def test_rows_on_a_gpu_tell_its_memory_and_its_throttling(found: Run) -> None:
    """Of which the second to start takes nothing; every other round is throttled."""
    for row in found.results:
        assert row.status is Status.OK, row.reason
        (caution,) = [one for one in row.cautions if one.code == "throttled"]
        assert "hw_thermal" in caution.text
    used = {row.memory_bytes["device"]: row.memory_bytes["device_reason"] for row in found.results}
    assert used == {3 * GB: None, None: NOTHING_USED}  # whichever came second took no more

    epochs = read_samples(Path(str(found.folder))).epochs
    assert all(epoch.gpu is not None and epoch.gpu.sm_mhz == 1755 for epoch in epochs)
    rounds = Rounds(epochs)
    assert 0 < rounds.throttled_share() < 1
