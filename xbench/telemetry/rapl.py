"""Energy of processor packages and memory, from the kernel's powercap tree (RAPL).

Linux shows each counter as files: ``/sys/class/powercap/intel-rapl:0/energy_uj`` and so on, on
Intel and on AMD processors. What has to be minded, and where zeus (0.16) falls short:

- A counter starts again from 0 at ``max_energy_range_uj``. zeus counts wraps in a process a zone
  that polls once a second, and adds them to a value that it reads by itself: one that is read
  between the wrap and the poll is short by the whole range. Here the readings themselves are
  unwrapped, and `longest_gap_s` says how far apart they may be.
- The same package may stand there twice, through its registers (``intel-rapl``) and through
  memory (``intel-rapl-mmio``): it is counted once.
- ``psys``, the platform, holds the packages. zeus takes ``intel-rapl:1`` for a second processor
  whatever it is called. Here it is a meter of its own.
- ``core`` and ``uncore`` are parts of a package; ``dram`` is not.

Tested against trees of files, not on hardware: the machines that this was written on have no RAPL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from xbench.telemetry.meter import Absent, Kind, Meter, MeterError, Scope

ROOT = Path("/sys/class/powercap")
DEVICE = "cpu"
ZONE = re.compile(r"(?P<control>intel-rapl[a-z-]*):\d+(:\d+)?")
BOUNDLESS_W = 1000.0  # a package's draw where its limits are not told, or are lower
SHORTEST_WRAP_S = 0.5
BUSY_SHARE = 0.05
PERMIT = (
    "Let this user read it: sudo chmod o+r /sys/class/powercap/*/energy_uj (until the next"
    " start), or run as root; in a container, mount /sys/class/powercap"
)


@dataclass(slots=True)
class Zone:
    """One counter of the tree: a package, its memory, or the platform."""

    folder: Path
    name: str
    range_uj: int
    most_w: float
    last_uj: int = 0
    total_uj: int = 0

    def advance(self) -> int:
        """Return the microjoules since the zone was opened, wraps undone.

        Raises:
            MeterError: If the counter cannot be read.
        """
        now_uj = read_uj(self.folder / "energy_uj")
        self.total_uj += (now_uj - self.last_uj) % self.range_uj
        self.last_uj = now_uj
        return self.total_uj


@dataclass(slots=True)
class Load:
    """How busy the processors were since it was last asked."""

    before: tuple[float, float] = field(default_factory=lambda: _busy_s())

    def start(self) -> None:
        """Start to watch."""
        self.before = _busy_s()

    def others(self, idle: bool) -> str | None:
        """Return that others kept the processors busy while the model was idle, or None."""
        busy_s, total_s = (b - a for a, b in zip(self.before, _busy_s(), strict=True))
        if not idle or total_s <= 0 or busy_s / total_s <= BUSY_SHARE:
            return None
        return (
            f"contended: other work kept the processors {busy_s / total_s:.0%} busy while the"
            " model was idle, and its energy is in these figures"
        )


def rapl_meters(root: Path = ROOT) -> tuple[Meter | Absent, ...]:
    """Return a meter for all packages together, one for memory and one for the platform.

    What cannot be read is said why; memory and platform are left out where there are none.
    """
    found = zone_folders(root)
    if not any(name.startswith("package") for _, name in found):
        reason = f"there is no RAPL here ({root} has no package)"
        fix = "Virtual machines and many Arm processors have none; measure on the bare machine"
        return (Absent("rapl package", DEVICE, Scope.PACKAGE, reason, fix),)
    groups = {
        Scope.PACKAGE: [folder for folder, name in found if name.startswith("package")],
        Scope.DRAM: [folder for folder, name in found if name == "dram"],
        Scope.PLATFORM: [folder for folder, name in found if name == "psys"],
    }
    return tuple(_meter(scope, folders) for scope, folders in groups.items() if folders)


def zone_folders(root: Path) -> list[tuple[Path, str]]:
    """Return each zone's folder and name; one that stands there twice is returned once.

    Zones are told apart by their name and that of the zone above them; those of the first control
    type that has them are taken, which is ``intel-rapl`` before ``intel-rapl-mmio``.
    """
    found: dict[tuple[str | None, str], dict[str, list[Path]]] = {}
    for folder in sorted(root.glob("intel-rapl*:*"), key=_order):
        match, name = ZONE.fullmatch(folder.name), _text(folder / "name")
        if match and name:
            above = _text(root / folder.name.rpartition(":")[0] / "name") if match[2] else None
            same = found.setdefault((above, name), {})
            same.setdefault(match["control"], []).append(folder)
    first = ((name, next(iter(same.values()))) for (_, name), same in found.items())
    return [(folder, name) for name, folders in first for folder in folders]


def read_uj(path: Path) -> int:
    """Return a counter's microjoules.

    Raises:
        MeterError: If it cannot be read; a failed reading is no reading of 0.
    """
    try:
        return int(path.read_text())
    except PermissionError as error:
        raise MeterError(f"permission denied to read {path}", PERMIT) from error
    except (OSError, ValueError) as error:
        raise MeterError(f"{path} cannot be read: {error}", "Try again as root") from error


def _meter(scope: Scope, folders: Sequence[Path]) -> Meter | Absent:
    """Return the meter of some zones together, or why they cannot be read."""
    zones = []
    try:
        for folder in folders:
            range_uj = read_uj(folder / "max_energy_range_uj")
            zone = Zone(folder, _text(folder / "name") or "", range_uj + 1, _most_w(folder))
            zone.last_uj = read_uj(folder / "energy_uj")
            zones.append(zone)
        wrap_s = min(zone.range_uj / 1e6 / zone.most_w for zone in zones)
        if wrap_s < SHORTEST_WRAP_S:
            told = f"a counter wraps within {wrap_s:.2g} s, too soon to be followed"
            raise MeterError(told, "Use another meter")
    except MeterError as error:
        return Absent(f"rapl {scope.value}", DEVICE, scope, error.reason, error.fix)
    load = Load()
    return Meter(
        name="rapl " + " + ".join(sorted(zone.name for zone in zones)),
        device=DEVICE,
        scope=scope,
        kind=Kind.COUNTER,
        read=lambda: sum(zone.advance() for zone in zones) / 1e6,
        longest_gap_s=wrap_s,
        most_w=sum(zone.most_w for zone in zones),
        watch=load.start,
        others=load.others,
        notes=("of the whole machine: what else ran on it is in it",),
    )


def _most_w(folder: Path) -> float:
    """Return more watts than a zone can draw: twice its highest limit, and 1 kW at least."""
    files = [*folder.glob("constraint_*_max_power_uw"), *folder.glob("constraint_*_limit_uw")]
    limits = [int(text) / 1e6 for text in map(_text, files) if text and text.isdecimal()]
    return max([BOUNDLESS_W, *(2 * watts for watts in limits if watts < 10 * BOUNDLESS_W)])


def _busy_s() -> tuple[float, float]:
    """Return the processors' busy and total seconds since the machine started."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _order(folder: Path) -> tuple[str, list[int]]:
    """Return a key that puts registers before memory-mapped zones, and zone 2 before zone 10."""
    control, *numbers = folder.name.split(":")
    return control, [int(number) for number in numbers if number.isdecimal()]
