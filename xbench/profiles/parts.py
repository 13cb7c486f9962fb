"""The parts of a profile, each from its table.

Everything derived is computed here, so that a file holds only what a source says: bandwidth is
bus width times transfers, and what the maker states is compared with it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files

from xbench.profiles import table as units
from xbench.profiles.model import (
    CONFIDENCES,
    GROUPS,
    PRECISIONS,
    Accelerator,
    Cluster,
    Cpu,
    Memory,
    Peaks,
    Power,
    Source,
)
from xbench.profiles.table import Table

ACCELERATOR_KINDS = ("gpu", "npu", "tpu", "dla")
BITS_PER_BYTE = 8
MOST_BITS, MOST_CORES = 8192, 4096  # more is a slip of the keyboard
STATED_BANDWIDTH = 0.03  # by which a maker's rounded figure may differ from its own bus


def read_cpu(table: Table, top: Table) -> Cpu:
    """Return the cores of ``[cpu]``."""
    table.only("clusters", "confidence", "note")
    clusters = tuple(_cluster(each) for each in table.tables("clusters"))
    if not clusters:
        raise top.error("cpu.clusters", "is missing", "Add [[cpu.clusters]] with count = 4")
    cpu = Cpu(clusters=clusters, confidence=_confidence(table), note=table.text("note", ""))
    # What a profile itself tells of its cores is as good as the rest that it tells of them.
    own = (
        replace(c, per_cycle_confidence=cpu.confidence) if c.per_cycle and not c.sources else c
        for c in clusters
    )
    return replace(cpu, clusters=tuple(own))


def _cluster(table: Table) -> Cluster:
    table.only("count", "design", "clock", "per_cycle")
    count = table.count("count")
    if count > MOST_CORES:
        raise table.error("count", f"is {count}", f"Write at most {MOST_CORES}")
    clock_ghz = table.quantity("clock", units.GHZ)
    per_cycle = _precisions(table, "per_cycle", table.numbers("per_cycle"))
    design = table.text("design") if table.has("design") else None
    if design is not None and not per_cycle:
        known = designs()
        design = table.choice("design", tuple(known))
        return replace(known[design], count=count, clock_ghz=clock_ghz)
    return Cluster(count=count, design=design, clock_ghz=clock_ghz, per_cycle=per_cycle)


@cache
def designs() -> Mapping[str, Cluster]:
    """Return the core designs of which xbench knows the operations a cycle, by name."""
    file = "designs.toml"
    found = tomllib.loads(files(__package__).joinpath(file).read_text("utf-8"))
    return {name: _design(name, Table(values, file, name)) for name, values in found.items()}


def _design(name: str, table: Table) -> Cluster:
    table.only("per_cycle", "confidence", "how", "sources")
    return Cluster(
        count=1,
        design=name,
        per_cycle=_precisions(table, "per_cycle", table.numbers("per_cycle")),
        per_cycle_confidence=_confidence(table),
        how=table.text("how"),
        sources=tuple(read_source(each, groups=("cpu",)) for each in table.tables("sources")),
    )


def read_memory(table: Table, *, sized: bool) -> Memory:
    """Return ``[memory]``; its size is 0 where the variants give it (``sized`` is false)."""
    table.only(
        "size",
        "usable",
        "usable_confidence",
        "usable_note",
        "type",
        "bus_bits",
        "transfers",
        "bandwidth",
        "confidence",
        "note",
    )
    if not sized and (table.has("size") or table.has("usable")):
        raise table.error("size", "is given here and in [variants]", "Leave it to the variants")
    size_bytes = table.quantity("size", units.BYTES) if sized else 0
    if size_bytes is None:
        raise table.error("size", "is missing", 'Add it: size = "4 GiB", or add [variants]')
    bus_bits = table.count("bus_bits") if table.has("bus_bits") else None
    if bus_bits is not None and bus_bits > MOST_BITS:
        raise table.error("bus_bits", f"is {bus_bits}", f"Write at most {MOST_BITS}")
    transfers_per_s = table.quantity("transfers", units.TRANSFERS)
    return Memory(
        size_bytes=round(size_bytes),
        usable_bytes=read_usable(table, size_bytes) if sized else None,
        usable_confidence=table.choice("usable_confidence", CONFIDENCES, "estimate"),
        usable_note=table.text("usable_note", ""),
        type=table.text("type") if table.has("type") else None,
        bus_bits=bus_bits,
        transfers_per_s=transfers_per_s,
        bandwidth_bytes_per_s=_bandwidth(table, bus_bits, transfers_per_s),
        confidence=_confidence(table),
        note=table.text("note", ""),
    )


def read_usable(table: Table, size_bytes: float) -> int | None:
    """Return what an operating system leaves of ``size_bytes``; None where it is not told."""
    usable_bytes = table.quantity("usable", units.BYTES)
    if usable_bytes is not None and usable_bytes > size_bytes:
        raise table.error("usable", "is more than size", "An operating system leaves less than all")
    return None if usable_bytes is None else round(usable_bytes)


def _bandwidth(table: Table, bus_bits: int | None, transfers_per_s: float | None) -> float | None:
    """Return the peak of the bus in bytes a second, else what is stated; compared if both are."""
    stated = table.quantity("bandwidth", units.BANDWIDTH)
    if bus_bits is None or transfers_per_s is None:
        return stated
    derived = bus_bits / BITS_PER_BYTE * transfers_per_s
    if stated is not None and abs(stated - derived) > STATED_BANDWIDTH * derived:
        reason = f"does not agree with {bus_bits} bit at {transfers_per_s / 1e6:g} MT/s"
        raise table.error("bandwidth", reason, f"That makes {derived / 1e9:.4g} GB/s; correct one")
    return derived


def read_accelerators(top: Table) -> tuple[Accelerator, ...]:
    """Return ``[[accelerators]]``."""
    found = tuple(_accelerator(each) for each in top.tables("accelerators"))
    if len({each.name for each in found}) < len(found):
        raise top.error("accelerators", "has two of one name", "Give each a name of its own")
    return found


def _accelerator(table: Table) -> Accelerator:
    table.only("name", "kind", "dense", "sparse", "confidence", "note")
    accelerator = Accelerator(
        name=table.text("name"),
        kind=table.choice("kind", ACCELERATOR_KINDS),
        dense_per_s=_precisions(table, "dense", table.mapped("dense", _rate)),
        sparse_per_s=_precisions(table, "sparse", table.mapped("sparse", _rate)),
        confidence=_confidence(table),
        note=table.text("note", ""),
    )
    for precision, sparse in accelerator.sparse_per_s.items():
        if sparse <= accelerator.dense_per_s.get(precision, 0):
            fix = "Sparse figures are larger than dense ones; are they swapped?"
            raise table.error(f"sparse.{precision}", "is not above the dense figure", fix)
    return accelerator


def _rate(precision: str) -> Mapping[str, float]:
    """Return the units in which a peak of that precision is told."""
    return units.OPS if precision == "int8" else units.FLOPS


def read_power(table: Table) -> Power:
    """Return ``[power]``."""
    table.only("idle", "typical", "max", "modes", "confidence", "note")
    power = Power(
        idle_w=table.quantity("idle", units.WATTS),
        typical_w=table.quantity("typical", units.WATTS),
        max_w=table.quantity("max", units.WATTS),
        modes_w=table.quantities("modes", units.WATTS),
        confidence=_confidence(table),
        note=table.text("note", ""),
    )
    steps = [watts for watts in (power.idle_w, power.typical_w, power.max_w) if watts is not None]
    if steps != sorted(steps):
        raise table.error("", "does not rise from idle to typical to max", "Correct one of them")
    return power


def read_source(table: Table, groups: tuple[str, ...] | None = None) -> Source:
    """Return a source; ``groups`` where its place says already what it is a source of."""
    table.only("title", "url", "read", "of")
    source = Source(
        title=table.text("title"),
        url=table.text("url"),
        groups=groups or table.names("of", GROUPS),
        read=table.day("read"),
    )
    if not re.fullmatch(r"https?://\S+", source.url):
        raise table.error("url", f"is {source.url!r}", "Write the whole address: https://...")
    return source


def _confidence(table: Table) -> str:
    return table.choice("confidence", CONFIDENCES, "estimate")


def _precisions(table: Table, key: str, peaks: Peaks) -> Peaks:
    for precision in peaks:
        if precision not in PRECISIONS:
            fix = f"There are {', '.join(PRECISIONS)}"
            raise table.error(f"{key}.{precision}", "is no precision", fix)
    return peaks
