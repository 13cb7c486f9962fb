"""Names of devices: which ones ``--device`` means, and what a worker may use of one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xbench.adapter import Limits
from xbench.device.cpu import allowed_cpus, cpu_device, default_threads, why_no_more
from xbench.device.gpus import list_gpus
from xbench.device.record import CPU, CUDA, Device
from xbench.errors import UnknownNameError, UsageError

LISTING = "xbench devices"
ALL = "all"
SEE = f"`{LISTING}` lists what can be"


def list_devices() -> tuple[Device, ...]:
    """Return the CPU, then each GPU; ``cuda`` with a reason where no GPU can be reached."""
    return (cpu_device(), *list_gpus())


def devices_of(text: str) -> tuple[str, ...]:
    """Return the names of the devices that ``text`` means, each once, in its order.

    Args:
        text: By commas: ``cpu``; ``cuda:1``, or ``cuda`` for the first; a UUID of a GPU or of its
            instance, or the start of one; ``all`` for every device that can be used.

    Raises:
        UnknownNameError: If this machine has no such device.
        UsageError: If it has, and it cannot be used; or if several are meant by one UUID.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError("no device is named", f"`{LISTING}` lists them all")
    if all(word.lower() == CPU for word in words):
        return (CPU,)  # no driver is asked
    devices = list_devices()
    return tuple(dict.fromkeys(name for word in words for name in _meant(word, devices)))


def parse_device(text: str) -> str:
    """Return the name of the one device that ``text`` means; see `devices_of`.

    Raises:
        UnknownNameError: If this machine has no such device.
        UsageError: If it has, and it cannot be used; or if several are meant.
    """
    name, *others = devices_of(text)
    if others:
        raise UsageError(f"{text!r} is more than one device", "Name one of them")
    return name


def limits_for(
    threads: int | None, device: str, memory_bytes: int | None = None, streams: int = 1
) -> Limits:
    """Return what a worker may use: as many CPUs as threads, on cores of their own if it can.

    Args:
        threads: Of one inference; None shares the physical cores among the streams.
        device: A name as `parse_device` takes it.
        memory_bytes: The cap on memory, or None.
        streams: Inferences at once.

    Raises:
        UsageError: If there are fewer CPUs than threads, or the device is not there.
    """
    name = parse_device(device)
    cpus = allowed_cpus()
    own = max(1, default_threads() // streams) if threads is None else threads
    wanted = own * streams
    if not 1 <= wanted <= len(cpus):
        asked = f"{own} threads" if streams == 1 else f"{streams} streams of {_threads(own)}"
        raise UsageError(
            f"{asked} were asked for, and this process may use {_cpus(len(cpus))}"
            f" ({why_no_more(len(cpus))})",
            f"Ask for --threads between 1 and {len(cpus)}"
            if streams == 1
            else f"Ask for no more than {_cpus(len(cpus))} of threads in all",
        )
    uuid = None if name == CPU else next(one.uuid for one in list_devices() if one.name == name)
    given = tuple(sorted(cpus[:wanted]))
    return Limits(own, given, memory_bytes, name, uuid, streams=streams)


def _meant(word: str, devices: Sequence[Device]) -> list[str]:
    """Return the names of the devices that one word means."""
    usable = tuple(device.name for device in devices if device.reason is None)
    if word.lower() == ALL:
        return list(usable)
    found = _named(f"{CUDA}:0" if word.lower() == CUDA else word.lower(), devices)
    if len(found) > 1:
        reason = f"the UUIDs of {len(found)} devices start with {word}"
        raise UsageError(reason, f"Name more of it; `{LISTING}` lists them")
    if not found:
        raise UnknownNameError("device", word, usable, LISTING)
    if found[0].reason is not None:
        raise UsageError(f"{word} cannot be used here: {found[0].reason}", SEE)
    return [found[0].name]


def _named(word: str, devices: Sequence[Device]) -> list[Device]:
    """Return the devices with a name or a UUID, or with one that starts so."""
    for device in devices:
        if word in (device.name.lower(), (device.uuid or "").lower()):
            return [device]
    if re.match("(gpu|mig)-.", word):
        return [device for device in devices if (device.uuid or "").lower().startswith(word)]
    none = [device for device in devices if device.name == CUDA]  # which says why there is none
    return none if re.fullmatch(rf"{CUDA}:\d+", word) else []


def _threads(count: int) -> str:
    """Return a count of threads in words."""
    return f"{count} thread{'' if count == 1 else 's'}"


def _cpus(count: int) -> str:
    """Return a count of CPUs in words."""
    return f"{count} CPU{'' if count == 1 else 's'}"
