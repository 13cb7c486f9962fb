"""`xbench backends`, `xbench devices` and `xbench models`: what there is to choose from."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from xbench.errors import UsageError
from xbench.report.text import clean, sentence
from xbench.units import format_bytes

if TYPE_CHECKING:
    from xbench.catalog import ModelCard
    from xbench.device import Device
    from xbench.registry import BackendInfo

_MARGIN = 2
_WIDEST = 100


def backends() -> None:
    """List the backends and variants, and why one cannot run."""
    from xbench.registry import listing

    _print_blocks((info.name, *_backend(info)) for info in listing())


def devices() -> None:
    """List the devices of this machine, and what they can do."""
    from xbench.device import list_devices

    _print_blocks((device.name, *_device(device)) for device in list_devices())


def models() -> None:
    """List the architectures that xbench builds with seeded weights."""
    from xbench.catalog import cards

    _print_blocks((name, *_model(card)) for name, card in cards().items())


def _backend(info: BackendInfo) -> Iterable[str]:
    found = info.availability
    if found.reason is None:
        source = "" if info.distribution in {"xbench", None} else f", by {info.distribution}"
        yield f"{found.version or 'version unknown'}, on {', '.join(found.devices)}{source}"
    else:
        yield f"not available: {sentence(found.reason)} {sentence(found.fix)}"
    for variant, meaning in info.variants.items():
        yield f"{f'{info.name}:{variant}' if variant else info.name}: {meaning}"


def _device(device: Device) -> Iterable[str]:
    if device.reason is not None:
        yield f"not available: {sentence(device.reason)}"
        return
    memory = f", {format_bytes(device.memory_bytes)}" if device.memory_bytes is not None else ""
    yield f"{device.model or 'model unknown'}{memory}"
    for name, value in device.details.items():
        if value is not None:
            yield f"{name.removesuffix('_bytes').replace('_', ' ')}: {_shown(name, value)}"


def _model(card: ModelCard) -> Iterable[str]:
    if card.broken is not None:
        yield f"not available: {sentence(card.broken)}"
        return
    yield card.summary
    size = "" if card.parameters is None else f"{card.parameters / 1e6:.3g} M parameters"
    facts = (card.task, size, f"takes {card.inputs}" if card.inputs else "")
    yield ", ".join(fact for fact in facts if fact)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(name, item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return format_bytes(value) if name.endswith("_bytes") else f"{value}"


def _print_blocks(blocks: Iterable[tuple[str, ...]]) -> None:
    """Print a name and what is said of it, in two columns that fit the terminal."""
    cleaned = [tuple(map(clean, block)) for block in blocks]
    if not cleaned:
        raise UsageError("none is registered", "Install xbench again: its entry points are missing")
    indent = max((len(block[0]) for block in cleaned), default=0) + _MARGIN
    width = min(max(shutil.get_terminal_size((80, 24)).columns, 40), _WIDEST) - indent
    for name, *lines in cleaned:
        wrapped = [part for line in lines for part in _wrap(line, max(width, 20))]
        for i, part in enumerate(wrapped):
            print(f"{'' if i else name:<{indent}}{part}")


def _wrap(line: str, width: int) -> list[str]:
    """Return a line in parts; commands and names are not broken, so that they can be copied."""
    return textwrap.wrap(
        line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
