"""Power of a single-board computer's supply lines, as its INA3221 chips measure it (Jetson).

The kernel shows them as files: newer ones under ``hwmon`` (``in1_label``, millivolts and
milliamps), older ones of NVIDIA under ``iio`` (``rail_name_0``, milliwatts). Each rail is a meter
under the name that the board gives it. zeus (0.16) guesses processors from these names, so that
``VDD_CPU_GPU_CV``, which feeds the GPU too, is booked as the CPU's, and of two rails of a kind the
last one wins; and it knows a Jetson by ``platform.processor()``, which many systems leave empty.

Rails that feed one another are never added up; the board's input is shown first where there is one.
Tested against trees of files, not on a board.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from xbench.telemetry.meter import Kind, Meter, MeterError, Scope

ROOT = Path("/sys")
INPUTS = ("VDD_IN", "POM_5V_IN", "5V_IN")  # what the whole module is fed through
UNUSED = re.compile(r"NC|sum of shunt voltages", re.IGNORECASE)
PERMIT = "Run as root, or let this user read the files of the sensor"


def rail_meters(root: Path = ROOT) -> tuple[Meter, ...]:
    """Return a meter for each supply line, the board's input first; none where there is no chip."""
    rails = dict(_hwmon(root)) or dict(_iio(root))
    names = sorted(rails, key=lambda name: (name not in INPUTS, name))
    return tuple(_meter(name, rails[name]) for name in names)


def _meter(name: str, read: Callable[[], float]) -> Meter:
    whole = name in INPUTS
    note = "of the whole board, fans and carrier apart" if whole else "of one supply line"
    return Meter(
        name=f"ina3221 {name}",
        device=name,
        scope=Scope.BOARD if whole else Scope.RAIL,
        kind=Kind.POWER,
        read=read,
        notes=(f"{note}: what else ran on it is in it",),
    )


def _hwmon(root: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """Yield the name of each channel in use, and what reads its watts."""
    for folder in sorted((root / "class/hwmon").glob("hwmon*")):
        if (_text(folder / "name") or "").startswith("ina3221"):
            for channel in (1, 2, 3):  # beyond these are shunt voltages and sums
                name = _text(folder / f"in{channel}_label")
                on = _text(folder / f"in{channel}_enable") != "0"
                if name and on and not UNUSED.fullmatch(name):
                    volts, amps = folder / f"in{channel}_input", folder / f"curr{channel}_input"
                    yield name, _product(volts, amps)


def _iio(root: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """Yield the same from the files of NVIDIA's older kernels."""
    for label in sorted((root / "bus/i2c/drivers").glob("ina3221*/*/iio*device*/rail_name_*")):
        name, channel = _text(label), label.name.rpartition("_")[2]
        power = label.with_name(f"in_power{channel}_input")
        if not name or UNUSED.fullmatch(name):
            continue
        if power.exists():
            yield name, _single(power)
        else:
            volts = label.with_name(f"in_voltage{channel}_input")
            yield name, _product(volts, label.with_name(f"in_current{channel}_input"))


def _product(millivolts: Path, milliamps: Path) -> Callable[[], float]:
    return lambda: _number(millivolts) * _number(milliamps) / 1e6


def _single(milliwatts: Path) -> Callable[[], float]:
    return lambda: _number(milliwatts) / 1e3


def _number(path: Path) -> float:
    """Return the number in a file of the sensor.

    Raises:
        MeterError: If it cannot be read; a failed reading is no reading of 0.
    """
    try:
        return float(path.read_text())
    except (OSError, ValueError) as error:
        raise MeterError(f"{path} cannot be read: {error}", PERMIT) from error


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
