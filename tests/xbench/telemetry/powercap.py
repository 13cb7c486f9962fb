"""A powercap tree of real files whose counters advance with simulated time."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

TICK_S = 0.001  # the hardware renews its counter about once a millisecond
RANGE_UJ = 65_532_610_987


@dataclass
class SimulatedZone:
    """One counter: its files, the watts that it counts, and the faults that it has."""

    folder: Path
    name: str
    watts: float = 0.0
    range_uj: int = RANGE_UJ
    limit_w: float = 200.0
    start_j: float = 0.0
    frozen: bool = False
    spent_j: float = 0.0
    at_s: float = 0.0
    shown: int = -1
    counter: int = -1

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "name").write_text(f"{self.name}\n")
        (self.folder / "max_energy_range_uj").write_text(f"{self.range_uj}\n")
        limit_uw = f"{int(self.limit_w * 1e6)}\n"
        (self.folder / "constraint_0_power_limit_uw").write_text(limit_uw)
        self.counter = os.open(self.folder / "energy_uj", os.O_CREAT | os.O_WRONLY)
        self._show()

    def close(self) -> None:
        os.close(self.counter)

    def advance(self, seconds: float) -> None:
        self.spent_j += self.watts * seconds
        before, self.at_s = self.at_s, self.at_s + seconds
        if int(self.at_s / TICK_S) != int(before / TICK_S):
            self._show()

    def _show(self) -> None:
        since_tick_s = self.at_s % TICK_S
        counted_j = self.start_j + max(0.0, self.spent_j - self.watts * since_tick_s)
        if not self.frozen or self.shown < 0:
            self.shown = int(counted_j * 1e6) % (self.range_uj + 1)
            os.pwrite(self.counter, f"{self.shown:>20}\n".encode(), 0)  # at once, never empty


@dataclass
class SimulatedTree:
    """The tree below ``/sys/class/powercap``; packages draw what the model draws."""

    root: Path
    zones: list[SimulatedZone] = field(default_factory=list)

    def add(self, folder: str, name: str, **faults: float) -> SimulatedZone:
        zone = SimulatedZone(self.root / folder, name, **faults)  # type: ignore[arg-type] # by name
        self.zones.append(zone)
        return zone

    def close(self) -> None:
        for zone in self.zones:
            zone.close()

    def advance(self, seconds: float) -> None:
        for zone in self.zones:
            zone.advance(seconds)
