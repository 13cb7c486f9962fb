"""The machine and its state as labelled lines, and what differs between several runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xbench.report.text import clean, shorten
from xbench.units import format_bytes

LONGEST = 300  # of a value
PASSING = ("load_average", "cpu_mhz", "available", "swap_used", "temperature_c", "absent")
"""What differs between any two moments of one machine, and tells no two runs apart."""
_LABELS = {"temperature_c": "temperature, °C", "cpu_mhz": "CPU, MHz", "smt": "SMT", "cpu": "CPU"}
_UNLIMITED = ("cpu_quota", "memory_limit_bytes", "quota_cpus")
_WORDS = {True: "yes", False: "no", None: "not known"}


def environment(host: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return label and text of all that was captured, with the reason for what is not known."""
    absent = host.get("absent") or {}
    lines = []
    for name, value in host.items():
        if name in ("absent", "devices"):
            continue
        if value is None and absent.get(name):
            lines.append((_label(name), f"not known: {clean(absent[name])}"))
        else:
            lines.append((_label(name), _text(name, value)))
    devices = [(_label(clean(one.get("name"))), _device(one)) for one in host.get("devices") or ()]
    return [(shorten(label, 80), shorten(text, 4 * LONGEST)) for label, text in (*devices, *lines)]


def differing(documents: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[str, ...]]]:
    """Return each field of model, host, request and rows that is not the same in all.

    With each its texts, one a document.
    """
    flat = [dict(_fields(document)) for document in documents]
    names = dict.fromkeys(name for one in flat for name in one)
    found = []
    for name in names:
        texts = tuple(shorten(one.get(name, "-"), 80) for one in flat)
        if len({one.get(name) for one in flat}) > 1:
            found.append((shorten(name, 80), texts))
    return found


def _fields(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part in ("model", "host", "spec"):
        yield from _leaves(part, document.get(part) or {})
    rows = document.get("results") or ()
    yield "threads of rows", _each((row.get("threads") or {}).get("requested") for row in rows)
    yield "batch sizes of rows", _each(row.get("batch") for row in rows)
    yield "devices of rows", _each(row.get("device") for row in rows)


def _each(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(clean(value) for value in values if value is not None))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in PASSING:
                yield from _leaves(f"{path} {_label(str(name))}", item)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for place, item in enumerate(value):
            name = item.get("name", place) if isinstance(item, Mapping) else place
            yield from _leaves(f"{path} {name}", item)
    else:
        yield clean(path), _text(path.rpartition(" ")[2], value)


def _device(told: Mapping[str, Any]) -> str:
    details = told.get("details") or {}
    memory = told.get("memory_bytes")
    parts = [
        clean(told.get("model") or told.get("reason") or "model unknown"),
        f"{format_bytes(memory)} of memory" if isinstance(memory, (int, float)) else "",
        *(f"{_label(name)} {_text(name, value)}" for name, value in details.items() if value),
    ]
    return ", ".join(part for part in parts if part)


def _label(name: str) -> str:
    return _LABELS.get(name) or clean(name).replace("_bytes", "").replace("_", " ")


def _text(name: str, value: Any) -> str:
    """Return a value as it is read; sizes with their unit."""
    if isinstance(value, Mapping):
        sized = name.endswith("bytes")
        parts = (
            f"{_label(str(key))} {_text(name if sized else str(key), one)}"
            for key, one in value.items()
        )
        return ", ".join(parts) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(name, item) for item in value) or "none"
    if value is None and name in _UNLIMITED:
        return "none"
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if name.endswith("bytes") and isinstance(value, (int, float)):
        return format_bytes(value)
    return f"{value:.4g}" if isinstance(value, float) else clean(value)
