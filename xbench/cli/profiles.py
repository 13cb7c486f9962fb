"""`xbench profiles`: the edge devices that a run can be capped to, and where that is from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from xbench.cli import options
from xbench.cli.listing import blocks
from xbench.cli.output import Outputs
from xbench.report.text import clean
from xbench.units import format_bytes

if TYPE_CHECKING:
    from xbench.profiles.model import Accelerator, Cluster, Memory, Power, Profile, Source

HEADER = ("name", "cores x GHz", "GiB", "GB/s", "GFLOPS", "accelerator", "from")
SHORT = {"measured-elsewhere": "measured", None: "-"}
LEGEND = """\
GB/s is the peak of the memory, GFLOPS that of all cores in fp32; the first
accelerator's is dense, in tera-operations a second. All are peaks of the device
itself, computed or advertised: none was measured by xbench.
From: the least sure of clock, operations a cycle and memory (a maker's data
sheet, a measurement that somebody published, or an estimate).
`xbench profiles NAME` prints all that is known, with the sources.
"""
EXAMPLES = """\b
Examples:
  xbench profiles
  xbench profiles rpi5
  xbench profiles ./mine.toml
  xbench profiles jetson-orin-nano-8gb --json -

\b
A profile caps a run on this machine to the threads and the memory of a
device. It does not imitate the speed of its cores: what it computes of them
is a floor, the least time that their peak figures allow.

\b
Profiles of your own are TOML files in ~/.config/xbench/profiles, or in the
folders of $XBENCH_PROFILES; yours wins over a shipped one of the same name.
A minimal one:

\b
  name = "mine"
  title = "My board"
  [[cpu.clusters]]
  count = 4
  [memory]
  size = "4 GiB"
"""


def profiles(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A profile's name, or the path of its TOML file: all that is known of it.",
            show_default=False,
        ),
    ] = "",
    json: options.Json = "",
) -> None:
    """List the edge profiles, or print all of one and its sources."""
    outputs = Outputs(json=json)
    outputs.check()
    from xbench.profiles.document import to_json
    from xbench.profiles.shelf import find_profile
    from xbench.profiles.shelf import profiles as every
    from xbench.report.document import to_text

    found = (find_profile(name),) if name else every()
    text = blocks(_blocks(found[0])) if name else _table(found)
    documents = {target: to_text(to_json(found)) for target in outputs.targets}
    raise typer.Exit(outputs.deliver(text, documents, 0))


def _table(found: Sequence[Profile]) -> str:
    rows = [HEADER, *(_row(profile) for profile in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = {HEADER.index(column) for column in ("GiB", "GB/s", "GFLOPS")}
    lines = [
        "  ".join(
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", LEGEND + _names(found)])


def _row(profile: Profile) -> tuple[str, ...]:
    fp32 = profile.cpu.peak_per_s("fp32")
    bandwidth = profile.memory.bandwidth_bytes_per_s
    confidence = profile.confidence
    return (
        profile.name,
        "+".join(_short(cluster) for cluster in profile.cpu.clusters),
        f"{profile.memory.size_bytes / 2**30:.3g}",
        "-" if bandwidth is None else f"{bandwidth / 1e9:.3g}",
        "-" if fp32 is None else f"{fp32 / 1e9:.3g}",
        _first(profile.accelerators),
        SHORT.get(confidence) or str(confidence),
    )


def _short(cluster: Cluster) -> str:
    clock = "" if cluster.clock_ghz is None else f"x{cluster.clock_ghz:.3g}"
    return f"{cluster.count}{clock}"


def _first(accelerators: Sequence[Accelerator]) -> str:
    for accelerator in accelerators[:1]:
        for precision in ("int8", "fp16", "fp32"):
            if peak := accelerator.dense_per_s.get(precision):
                return f"{accelerator.kind} {peak / 1e12:.3g} {precision}"
        return accelerator.kind
    return "-"


def _names(found: Sequence[Profile]) -> str:
    """Return what else is to know of names: short ones, and which are the user's."""
    short = [f"{p.family} is {p.name}" for p in found if p.default and p.name != p.family]
    lines = [f"Short names: {short[0]}"] if short else []
    for each in short[1:]:
        if len(lines[-1]) + len(each) + 3 > 80:
            lines[-1] += ","
            lines.append(f"  {each}")
        else:
            lines[-1] += f", {each}"
    lines = [*lines[:-1], f"{lines[-1]}."] if lines else []
    lines += [f"Yours: {_origin(profile)}" for profile in found if profile.origin is not None]
    return "".join(f"{line}\n" for line in lines)


def _origin(profile: Profile) -> str:
    instead = ", instead of the one that xbench ships" if profile.hides else ""
    return f"{profile.name}, from {clean(profile.origin)}{instead}"


def _blocks(profile: Profile) -> Iterator[tuple[str, ...]]:
    yield ("name", *_head(profile))
    yield ("caps", _caps(profile))
    yield ("cpu", *_cpu(profile))
    yield ("memory", *_memory(profile.memory))
    if ridge := _ridge(profile):
        yield ("ridge", ridge)
    for accelerator in profile.accelerators:
        yield (accelerator.kind, *_accelerator(accelerator))
    if profile.power is not None:
        yield ("power", _power(profile.power))
    sources = [*profile.sources, *(s for c in profile.cpu.clusters for s in c.sources)]
    if sources:
        yield ("sources", *(_source(source) for source in dict.fromkeys(sources)))


def _head(profile: Profile) -> Iterator[str]:
    size = f", {format_bytes(profile.memory.size_bytes)}" if profile.sizes else ""
    yield f"{profile.name}: {profile.title}{size}"
    if profile.note:
        yield profile.note
    days = [("released", profile.released), ("figures checked", profile.checked)]
    if told := [f"{what} {day}" for what, day in days if day is not None]:
        yield ", ".join(told)
    if profile.origin is not None:
        yield f"yours: {_origin(profile)}"
    others = [name for name in profile.sizes if name != profile.name]
    if others:
        yield f"other sizes: {', '.join(others)}"


def _caps(profile: Profile) -> str:
    batch = "" if profile.max_batch is None else f", batches up to {profile.max_batch}"
    threads = "1 thread" if profile.threads == 1 else f"{profile.threads} threads"
    return f"{threads}, {format_bytes(profile.memory_cap_bytes)} of memory{batch}"


def _cpu(profile: Profile) -> Iterator[str]:
    cpu = profile.cpu
    for cluster in cpu.clusters:
        if cluster.design is None and cluster.clock_ghz is None:
            yield "1 core" if cluster.count == 1 else f"{cluster.count} cores"
            continue
        clock = "" if cluster.clock_ghz is None else f" at {cluster.clock_ghz:g} GHz"
        yield _sure(f"{cluster.count} x {cluster.design or 'core'}{clock}", cpu.confidence, "")
        if cluster.per_cycle:
            rates = ", ".join(f"{p} {rate:g}" for p, rate in cluster.per_cycle.items())
            what = f"operations a cycle and core: {rates}"
            yield _sure(what, cluster.per_cycle_confidence or "", cluster.how)
    peaks = {p: cpu.peak_per_s(p, profile.threads) for p in ("fp32", "fp16", "bf16", "int8")}
    told = [f"{p} {peak / 1e9:.4g} {_unit('G', p)}" for p, peak in peaks.items() if peak]
    if told:
        yield f"peak: {', '.join(told)}"
    if cpu.note:
        yield cpu.note


def _unit(scale: str, precision: str) -> str:
    return f"{scale}OPS" if precision == "int8" else f"{scale}FLOPS"


def _memory(memory: Memory) -> Iterator[str]:
    if memory.bandwidth_bytes_per_s is not None:
        bus = f"{memory.type or ''}"
        if memory.bus_bits is not None and memory.transfers_per_s is not None:
            bus += f" {memory.bus_bits} bit x {memory.transfers_per_s / 1e6:g} MT/s ="
        text = f"{bus} {memory.bandwidth_bytes_per_s / 1e9:.4g} GB/s"
        yield _sure(text.strip(), memory.confidence, memory.note)
    size = format_bytes(memory.size_bytes)
    if memory.usable_bytes is None:
        yield f"{size}, all of it usable as far as the profile tells"
    else:
        usable = f"{format_bytes(memory.usable_bytes)} of {size} usable"
        yield _sure(usable, memory.usable_confidence, memory.usable_note)


def _ridge(profile: Profile) -> str:
    from xbench.profiles.floor import ridge_flop_per_byte

    ridges = {p: ridge_flop_per_byte(profile, p) for p in ("fp32", "fp16", "int8")}
    told = [f"{value:.3g} in {p}" for p, value in ridges.items() if value is not None]
    if not told:
        return ""
    return f"{', '.join(told)} operations a byte: below it memory bounds a model on the CPU"


def _accelerator(accelerator: Accelerator) -> Iterator[str]:
    dense, sparse = accelerator.dense_per_s, accelerator.sparse_per_s
    told = [("dense", dense), ("sparse", sparse)]
    peaks = "; ".join(
        f"{word} " + ", ".join(f"{p} {v / 1e12:.4g} {_unit('T', p)}" for p, v in rates.items())
        for word, rates in told
        if rates
    )
    text = f"{accelerator.name}: {peaks}" if peaks else accelerator.name
    yield _sure(text, accelerator.confidence, accelerator.note)


def _power(power: Power) -> str:
    figures = [("idle", power.idle_w), ("typical", power.typical_w), ("at most", power.max_w)]
    told = [f"{word} {watts:g} W" for word, watts in figures if watts is not None]
    if power.modes_w:
        told.append(f"modes {', '.join(f'{watts:g}' for watts in power.modes_w)} W")
    return _sure(", ".join(told) or "not told", power.confidence, power.note)


def _sure(text: str, confidence: str, note: str) -> str:
    """Return a figure, how sure it is, and what is to say of it."""
    known = f" ({confidence})" if confidence else ""
    return f"{text}{known}: {note}" if note else f"{text}{known}"


def _source(source: Source) -> str:
    read = "" if source.read is None else f", read {source.read}"
    return f"{', '.join(source.groups)}: {source.title}{read}: {source.url}"
