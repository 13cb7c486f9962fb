"""A profile's TOML text as `Profile`s: one for each memory size that the file lists.

docs/profiles.md describes the schema.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xbench.errors import UsageError
from xbench.profiles.model import CONFIDENCES, KINDS, Profile
from xbench.profiles.parts import (
    read_accelerators,
    read_cpu,
    read_memory,
    read_power,
    read_source,
    read_usable,
)
from xbench.profiles.table import BYTES, Table

SCHEMA = 1
RESERVED = {"all", "none"}  # words that options take instead of a name
LARGEST_BYTES = 1 << 20
KEYS = [
    *("schema", "name", "title", "kind", "released", "checked", "note", "threads", "max_batch"),
    *("cpu", "memory", "variant", "variants", "accelerators", "power", "sources"),
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def parse(text: bytes, file: str, origin: Path | None = None) -> tuple[Profile, ...]:
    """Return the profiles of a file: one, or one for each of its ``[variants]``.

    Args:
        text: The file's content.
        file: What errors call it.
        origin: Its path; None for a file that xbench ships.

    Raises:
        UsageError: If it is no TOML, or a key is unknown, missing, of a wrong type or unit, or
            contradicts another: the first of them, by file and key.
    """
    top = Table(_toml(text, file), file).only(*KEYS)
    if top.count("schema", SCHEMA) != SCHEMA:
        raise top.error("schema", f"is not {SCHEMA}", "This xbench reads no other; update it")
    base = _profile(top, origin)
    sizes = [_variant(base, each) for each in _variants(top)]
    default = top.text("variant", "") if top.has("variant") else ""
    _check_sources(top, base, sizes)
    if not sizes:
        if default:
            raise top.error("variant", "is set, but there are no variants", "Leave it out")
        return (base,)
    return _named(top, base, sizes, default)


def _toml(text: bytes, file: str) -> Mapping[str, object]:
    if len(text) > LARGEST_BYTES:
        raise UsageError(f"{file} is too large for a profile", "Name a profile's TOML file")
    try:
        return tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        fix = "`xbench profiles --help` shows how one is written"
        raise UsageError(f"{file} is no TOML: {error}".rstrip("."), fix) from error


def _profile(top: Table, origin: Path | None) -> Profile:
    name = _name(top, "name")
    kind = top.choice("kind", KINDS, "device")
    cpu = read_cpu(top.table("cpu"), top)
    threads = top.count("threads", cpu.cores)
    if threads > cpu.cores:
        raise top.error("threads", f"is {threads}", f"The CPU has {cpu.cores} cores; write fewer")
    return Profile(
        name=name,
        family=name,
        title=top.text("title"),
        kind=kind,
        cpu=cpu,
        memory=read_memory(top.table("memory"), sized=not top.has("variants")),
        threads=threads,
        max_batch=top.count("max_batch") if top.has("max_batch") else None,
        accelerators=read_accelerators(top),
        power=read_power(top.table("power")) if top.has("power") else None,
        sources=tuple(read_source(each) for each in top.tables("sources")),
        released=top.day("released"),
        checked=top.day("checked"),
        note=top.text("note", ""),
        origin=origin,
    )


def _name(table: Table, key: str) -> str:
    name = table.text(key)
    if not _NAME.fullmatch(name) or name.endswith(".toml"):
        fix = "Use letters, digits, points, hyphens and underscores"
        raise table.error(key, f"is {name!r}, which is no name", fix)
    if name.casefold() in RESERVED:
        raise table.error(key, f"is {name!r}, which options use for themselves", "Choose another")
    return name


def _variants(top: Table) -> list[Table]:
    variants = top.table("variants")
    if top.has("variants") and not variants.values:
        raise top.error("variants", "is empty", 'Add one: [variants.4gb] with size = "4 GiB"')
    return [variants.table(name) for name in variants.values]


def _variant(base: Profile, table: Table) -> Profile:
    table.only("size", "usable", "usable_confidence")
    suffix = table.path.removeprefix("variants.")
    size_bytes = table.quantity("size", BYTES)
    if size_bytes is None:
        raise table.error("size", "is missing", 'Add it: size = "4 GiB"')
    usable = table.choice("usable_confidence", CONFIDENCES, base.memory.usable_confidence)
    memory = replace(
        base.memory,
        size_bytes=round(size_bytes),
        usable_bytes=read_usable(table, size_bytes),
        usable_confidence=usable,
    )
    name = f"{base.family}-{suffix}"
    if not _NAME.fullmatch(name):
        fix = "Use letters, digits, points, hyphens and underscores"
        raise table.error("", "is no name", fix)
    return replace(base, name=name, memory=memory, default=False)


def _named(top: Table, base: Profile, sizes: list[Profile], default: str) -> tuple[Profile, ...]:
    """Return the memory sizes, each with the names of all, the default one marked."""
    names = tuple(each.name for each in sizes)
    chosen = f"{base.family}-{default}" if default else names[0]
    if chosen not in names:
        known = ", ".join(name.removeprefix(f"{base.family}-") for name in names)
        raise top.error("variant", f"is {default!r}", f"There are {known}")
    return tuple(replace(e, sizes=names, default=e.name == chosen) for e in sizes)


def _check_sources(top: Table, base: Profile, sizes: list[Profile]) -> None:
    """Refuse a figure that claims to come from somewhere and does not say from where."""
    claimed = {"cpu": [base.cpu.confidence], "memory": [base.memory.confidence]}
    claimed["usable"] = [each.memory.usable_confidence for each in sizes or [base]]
    claimed["accelerators"] = [each.confidence for each in base.accelerators]
    claimed["power"] = [base.power.confidence] if base.power else []
    cited = {group for source in base.sources for group in source.groups}
    for group, confidences in claimed.items():
        if group not in cited and set(confidences) - {"estimate"}:
            best = min(confidences, key=CONFIDENCES.index)
            fix = f'Add [[sources]] with of = ["{group}"], or say confidence = "estimate"'
            raise top.error("sources", f"names none of {group}, whose confidence is {best}", fix)
