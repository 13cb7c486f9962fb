"""What two runs must share to be compared, and what is only said beside the numbers.

A field that *refuses* decides what was measured: with another model, another machine, another
state of power or another share of the machine, the ratio would be of these and not of what was
changed. A field that *labels* may be the very thing that one wants to compare, such as the version
of a framework; it is shown wherever it differs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xbench.difference.sides import Key, Row, Side, codes_of

UNKNOWN = "not told"
DOUBTS = {  # of a row, which may be why it is slower
    *("throttled", "drift", "unstable", "not_steady", "few_rounds", "few_samples", "fallback"),
    *("threads_over_cap", "threads_idle", "affinity_not_held", "cap_not_held"),
}
CIRCUMSTANCES = {"converted"}  # an option that tells how a run came about, and not what ran
OF_THE_KEY = {name: name for name in Key._fields if name not in {"backend", "device"}}
"""What `--allow` may take out of a row's key: rows are then paired without it."""

WITH_THE_HOST = ("hardware", "power", "cpus")  # of another host they differ by themselves


@dataclass(frozen=True, slots=True)
class Differing:
    """A field in which two runs, or two rows, differ.

    Attributes:
        name: As it is shown.
        first: Its value in the first run, as text.
        second: In the second.
        allow: What `--allow` calls it; None for one that only labels.
        software: Whether it says that a row's own software changed; what one side does not tell
            says nothing.
    """

    name: str
    first: str
    second: str
    allow: str | None = None
    software: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.first} → {self.second}"


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field is read, and the rest as `Differing` has it."""

    name: str
    read: Callable[[Mapping[str, Any]], Any]
    allow: str | None = None
    software: bool = False


def _host(*path: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda document: _at(document["host"], path)


def _spec(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda document: document["spec"].get(name)


def _cpus(document: Mapping[str, Any]) -> Any:
    """Return how many CPUs the run might use, and what share of them."""
    cpus = document["host"].get("affinity")
    return None if cpus is None else len(cpus)


RUN_FIELDS = (
    Field("model", lambda document: document["model"].get("sha256"), "model"),
    Field("shapes of inputs", lambda document: document["spec"].get("shapes") or "open", "shapes"),
    Field("host", _host("host_id"), "host"),
    Field("simultaneous multithreading", _host("smt"), "hardware"),
    Field("governor", _host("governor"), "power"),
    Field("turbo", _host("turbo"), "power"),
    Field("CPUs", _cpus, "cpus"),
    Field("quota of CPUs", _host("control_group", "cpu_quota"), "cpus"),
    Field("inputs", _spec("inputs")),
    Field("calibration", _spec("calibration")),
    Field("seed", _spec("seed")),
    Field("limit of memory", _host("control_group", "memory_limit_bytes")),
    Field("kernel", _host("kernel")),
    Field("microcode", _host("microcode")),
    Field("operating system", _host("operating_system")),
    Field("virtualisation", _host("virtualisation")),
    Field("large pages", _host("transparent_hugepages")),
    Field("clock source", _host("clock_source")),
    Field("C library", _host("libc")),
    Field("Python", _host("python")),
)

DEVICE_FIELDS = (
    Field("model", lambda device: device.get("model"), "hardware"),
    Field("cores", lambda device: _at(device, ("details", "cores")), "hardware"),
    Field("MIG", lambda device: _at(device, ("details", "mig")), "hardware"),
    Field("power limit", lambda device: _at(device, ("details", "power_limit_mw")), "power"),
    Field("driver", lambda device: _at(device, ("details", "driver"))),
    Field("persistence", lambda device: _at(device, ("details", "persistence"))),
    Field("ECC", lambda device: _at(device, ("details", "ecc"))),
)

ROW_FIELDS = (
    Field("effective precision", lambda row: row["precision"].get("effective"), "precision"),
    Field("version", lambda row: row.get("backend_version"), software=True),
    Field("threads that worked", lambda row: row["threads"].get("effective")),
    Field("importer", lambda row: row.get("importer"), software=True),
    Field("nodes off the device", lambda row: _at(row, ("fallback", "nodes"))),
    Field("capped", lambda row: _at(row, ("caps", "words"))),
    Field("cautions", lambda row: ", ".join(sorted(DOUBTS & {*codes_of(row)})) or "none"),
)

NAMES = ("all", *dict.fromkeys(f.allow for f in RUN_FIELDS + DEVICE_FIELDS + ROW_FIELDS if f.allow))
ALLOWED = (*NAMES, *(name for name in OF_THE_KEY if name not in NAMES))
"""Every word that `--allow` takes."""


def of_runs(first: Side, second: Side) -> tuple[Differing, ...]:
    """Return the fields of the runs as a whole that differ."""
    return (
        *_differing(RUN_FIELDS, first.document, second.document),
        *_devices(first, second),
        *_maps(_told(first, "versions"), _told(second, "versions")),
        *_maps(_told(first, "environment"), _told(second, "environment")),
    )


def of_rows(first: Row, second: Row) -> tuple[Differing, ...]:
    """Return the fields in which two rows of one cell differ."""
    options = (_options(first), _options(second))
    return (*_differing(ROW_FIELDS, first.told, second.told), *_maps(*options, software=True))


def _options(row: Row) -> Mapping[str, Any]:
    told = row.told.get("options") or {}
    return {name: value for name, value in told.items() if name not in CIRCUMSTANCES}


def of_keys(first: Key, second: Key) -> tuple[Differing, ...]:
    """Return what tells two cells apart."""
    pairs = zip(Key._fields, first, second, strict=True)
    return tuple(Differing(n, shown(a), shown(b), n) for n, a, b in pairs if a != b)


def refusing(found: tuple[Differing, ...], allowed: frozenset[str]) -> tuple[Differing, ...]:
    """Return those that forbid the comparison, less what is allowed.

    What one side does not tell refuses nothing: it is shown.
    """
    free = allowed | (frozenset(WITH_THE_HOST) if "host" in allowed else frozenset())
    return tuple(
        one
        for one in found
        if one.allow and not {one.allow, "all"} & free and UNKNOWN not in (one.first, one.second)
    )


def shown(value: Any) -> str:
    """Return a value as text; ``not told`` for None."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _differing(
    fields: tuple[Field, ...], first: Mapping[str, Any], second: Mapping[str, Any], of: str = ""
) -> Iterator[Differing]:
    for field in fields:
        a, b = shown(field.read(first)), shown(field.read(second))
        if a != b:
            known = UNKNOWN not in (a, b)
            yield Differing(f"{of}{field.name}", a, b, field.allow, field.software and known)


def _devices(first: Side, second: Side) -> Iterator[Differing]:
    """Yield what differs of each device that rows of both runs ran on."""
    used = {row.key.device for row in first.rows} & {row.key.device for row in second.rows}
    for name in sorted(used):
        yield from _differing(
            DEVICE_FIELDS, _device(first, name), _device(second, name), f"{name} "
        )


def _device(side: Side, name: str) -> Mapping[str, Any]:
    for device in side.document["host"].get("devices") or ():
        if name in (device.get("name"), _at(device, ("details", "uuid"))):
            return dict(device)
    return {}


def _maps(
    first: Mapping[str, Any], second: Mapping[str, Any], *, software: bool = False
) -> Iterator[Differing]:
    for name in sorted({*first, *second}):
        a, b = (str(one[name]) if name in one else "none" for one in (first, second))
        if a != b:
            yield Differing(name, a, b, software=software and name in first and name in second)


def _told(side: Side, name: str) -> Mapping[str, Any]:
    return dict(side.document["host"].get(name) or {})


def _at(told: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        told = told.get(name) if isinstance(told, Mapping) else None
    return told
