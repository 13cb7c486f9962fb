"""`xbench devices`: the processor and the GPUs, and what can be measured of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from xbench.cli import options
from xbench.cli.listing import blocks
from xbench.cli.output import Outputs
from xbench.report.text import sentence
from xbench.units import format_bytes

if TYPE_CHECKING:
    from xbench.device import Device
    from xbench.equipment import Equipment, Instrument

Details = Mapping[str, Any]
NO_FREQUENCY = "the kernel sets none here, as in most virtual machines"
EXAMPLES = """\b
Examples:
  xbench devices
  xbench devices --json - | jq '.devices[].name'

\b
--device of other commands takes a name (cpu, cuda:0), the UUID of a GPU or of its
instance (MIG-...) or the start of one, several by commas, or `all`.
"""


def devices(json: options.Json = "") -> None:
    """List the devices of this machine, and what each tells."""
    outputs = Outputs(json=json)
    outputs.check()
    from xbench.equipment import list_equipment, to_json
    from xbench.report.document import to_text

    found = list_equipment()
    text = blocks((_label(one.device), *_lines(one)) for one in found)
    documents = {name: to_text(to_json(found)) for name in outputs.targets}
    raise typer.Exit(outputs.deliver(text, documents, 0))


def _label(device: Device) -> str:
    """Return what stands before a device: its name, but for a UUID, which would be too long."""
    return "MIG" if "parent" in device.details else device.name


def _lines(one: Equipment) -> Iterator[str]:
    device = one.device
    if device.model is not None or device.reason is None:
        memory = f", {format_bytes(device.memory_bytes)}" if device.memory_bytes else ""
        yield f"{device.model or 'model unknown'}{memory}"
    if device.reason is not None:
        yield f"not available: {sentence(device.reason)}"
    if device.uuid is not None:
        yield from _gpu(device.details)
    elif device.details:
        yield from _cpu(device.details)
    yield from _telemetry(one.telemetry, device.uuid)


def _cpu(details: Details) -> Iterator[str]:
    yield f"cores: {details['cores']}"
    quota = details["quota_cpus"]
    granted = "no quota" if quota is None else f"a quota of {quota:g}"
    yield (
        f"CPUs: {details['logical_cpus']} of {details['online_cpus']} that are online"
        f" ({_ranges(details['affinity'])}), {granted}"
    )
    yield f"instruction sets: {', '.join(details['instruction_sets'] or ['not told'])}"
    caches = (details["caches_bytes"] or {}).items()
    yield f"caches: {_joined(f'{name} {format_bytes(size)}' for name, size in caches)}"
    yield f"frequency: {_frequency(details)}"


def _frequency(details: Details) -> str:
    parts = [
        _named("governor", details["governor"]),
        _named("driver", details["frequency_driver"]),
        _span(details["min_khz"], details["max_khz"], 1e6, "GHz"),
        _named("set to", _span(details["lowest_khz"], details["highest_khz"], 1e6, "GHz")),
        _named("base", _scaled(details["base_khz"], 1e6, "GHz")),
        _named("turbo", _on(details["turbo"])),
    ]
    return ", ".join(filter(None, parts)) or NO_FREQUENCY


def _gpu(details: Details) -> Iterator[str]:
    yield f"UUID: {details['uuid']}"
    if "parent" in details:
        yield f"an instance of {details['parent']}"
        return
    capability = ".".join(map(str, details["compute_capability"] or ()))
    cuda = _named("CUDA up to", details["cuda"])
    able = _named("compute capability", capability)
    yield f"driver: {_joined([details['driver'], cuda, able])}"
    clocks = [_clock("cores", details, "sm"), _clock("memory", details, "memory")]
    yield f"clocks: {_joined(clocks)}"
    yield f"power limit: {_power(details)}"
    modes = [_named(word, _on(details[word.lower()])) for word in ("MIG", "ECC", "persistence")]
    yield f"modes: {_joined(modes)}"
    if details["instances"]:
        yield f"instances: {', '.join(details['instances'])}"


def _clock(word: str, details: Details, key: str) -> str | None:
    now, most = details[f"{key}_mhz"], details[f"max_{key}_mhz"]
    if now is None and most is None:
        return None
    return f"{word} {'?' if now is None else now} of {'?' if most is None else most} MHz"


def _power(details: Details) -> str:
    now = _scaled(details["power_limit_mw"], 1e3, "W")
    usual = _scaled(details["default_power_limit_mw"], 1e3, "W")
    span = _span(details["min_power_limit_mw"], details["max_power_limit_mw"], 1e3, "W")
    return _joined([now, _named("by default", usual), _named("can be set to", span)])


def _telemetry(instruments: Sequence[Instrument], uuid: str | None) -> Iterator[str]:
    """Yield what can be measured in one line, then what cannot, each with the reason."""
    known = f" {uuid}"  # which stands above
    named = [(one, f"{one.measures} ({one.source.removesuffix(known)})") for one in instruments]
    if there := [name for one, name in named if one.reason is None]:
        yield f"measured: {', '.join(there)}"
    for one, name in named:
        if one.reason is not None:
            why = f"{sentence(one.reason)} {sentence(one.fix)}"
            yield f"not measured: {name}: {why.strip()}"


def _joined(parts: Iterable[str | None]) -> str:
    return ", ".join(filter(None, parts)) or "not told"


def _named(word: str, value: object) -> str | None:
    return f"{word} {value}" if value not in (None, "") else None


def _on(state: bool | None) -> str | None:
    return None if state is None else ("on" if state else "off")


def _scaled(value: int | None, unit: float, name: str) -> str | None:
    return None if value is None else f"{value / unit:.4g} {name}"


def _span(low: int | None, high: int | None, unit: float, name: str) -> str | None:
    if low is None or high is None:
        return _scaled(low if high is None else high, unit, name)
    return f"{low / unit:.4g} to {high / unit:.4g} {name}"


def _ranges(numbers: Sequence[int]) -> str:
    """Return ``0-3,8`` for 0, 1, 2, 3 and 8."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
