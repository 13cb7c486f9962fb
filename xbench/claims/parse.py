"""The text of a file of claims as `ClaimsFile`; docs/claims.md describes the schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from xbench.claims.claim import REBUILT, UNKNOWN, ClaimsFile, Hardware, Source, Subject
from xbench.claims.entries import Named, claims_of
from xbench.claims.tree import Field, Table, read_tree
from xbench.errors import UsageError
from xbench.units import parse_shape

SCHEMA = 1
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_TOP = ("schema", "title", "note", "sources", "models", "defaults", "claims")
_SOURCE = (*("title", "url", "date", "retrieved", "hardware", "software", "conditions", "note"),)
_HARDWARE = ("architecture", "device", "model", "cores")
_MODEL = ("published", "run", "rebuilt", "shapes", "note")
_PUBLISHED = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")


def parse(data: bytes, file: str, path: Path) -> ClaimsFile:
    """Return the claims of a file.

    Args:
        data: Its content.
        file: What errors call it.
        path: Where it lies: models are looked for beside it.

    Raises:
        UsageError: If it is no YAML, or a key is unknown, missing or wrong: the first, by line.
    """
    top = read_tree(data, file).table(_TOP)
    schema = top.need("schema", str(SCHEMA))
    if schema.count() != SCHEMA:
        raise schema.wrong(str(SCHEMA), "This xbench reads no other; update it")
    sources = {n: _source(n, f) for n, f in _named(top, "sources")}
    models = {n: _subject(n, f, path.parent) for n, f in _named(top, "models")}
    return ClaimsFile(
        path=path,
        name=path.stem,
        title=top.need("title", '"Exports of a detector on a CPU"').text(),
        sources=tuple(sources.values()),
        subjects=tuple(models.values()),
        claims=claims_of(top, Named(sources, models)),
        note=top.text("note"),
    )


def _named(top: Table, key: str) -> Table:
    """Return the entries under a key, of which there must be one."""
    entries = top.need(key, "NAME: ...").table()
    if not len(entries):
        raise entries.field.error("has no entry", "Write NAME: under it, with its own keys")
    return entries


def _source(name: str, field: Field) -> Source:
    table = field.table(_SOURCE)
    software = table.need("software", "{onnxruntime: 1.20.0}, or {} where none is told").table()
    conditions = table.need("conditions", "[10 warm-up runs, the mean of 100]").items()
    return Source(
        name=name,
        title=table.need("title", '"The page\'s title"').text(),
        url=_url(table.need("url", "https://example.org/page")),
        date=_published(table.need("date", f"2024-08-11, 2024-08, 2024 or {UNKNOWN}")),
        retrieved=_day(table.need("retrieved", "2026-11-26")),
        hardware=_hardware(table.need("hardware", "{architecture: x86_64, device: cpu}")),
        software={key: value.text() for key, value in software},
        conditions=tuple(one.text() for one in conditions),
        note=table.text("note"),
    )


def _hardware(field: Field) -> Hardware:
    table = field.table(_HARDWARE)
    architecture = table.need("architecture", "x86_64").choice(tuple(ARCHITECTURES))
    cores = table.get("cores")
    return Hardware(
        architecture=ARCHITECTURES[architecture],
        device=table.need("device", "cpu").choice(("cpu", "cuda")),
        model=table.text("model") or None,
        cores=cores.count() if cores else None,
    )


def _url(field: Field) -> str:
    url = field.text()
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise field.wrong("a web address", "Write it whole: https://example.org/page")
    return url


def _published(field: Field) -> str:
    """Return when something was published, as exactly as is known."""
    text = field.text()
    found = _PUBLISHED.fullmatch(text)
    if text != UNKNOWN and not found:
        raise field.wrong("a date", f"Write 2024-08-11, 2024-08, 2024 or {UNKNOWN}")
    if found:
        year, month, day = (int(part or 1) for part in found.groups())
        _real_day(field, year, month, day)
    return text


def _day(field: Field) -> str:
    found = _PUBLISHED.fullmatch(field.text())
    if not found or not found[3]:
        raise field.wrong("a day", "Write it like 2026-11-26")
    _real_day(field, *map(int, found.groups()))
    return field.text()


def _real_day(field: Field, year: int, month: int, day: int) -> None:
    try:
        date(year, month, day)
    except ValueError:
        raise field.wrong("in the calendar", "Write it like 2026-11-26") from None


def _subject(name: str, field: Field, folder: Path) -> Subject:
    table = field.table(_MODEL)
    shapes = table.get("shapes")
    rebuilt = table.need("rebuilt", f"[] where it is the same file, else of {', '.join(REBUILT)}")
    return Subject(
        name=name,
        published=table.need("published", '"ResNet-50, trained on ImageNet"').text(),
        run=_beside(table.need("run", "resnet50").text(), folder),
        rebuilt=tuple(one.choice(tuple(REBUILT)) for one in rebuilt.items()),
        shapes=_shapes(shapes) if shapes else {},
        note=table.text("note"),
    )


def _beside(run: str, folder: Path) -> str:
    """Return what to run: a path is meant from the file's own folder."""
    is_path = ":" not in run and ("/" in run or Path(run).suffix)
    return str(folder / run) if is_path else run


def _shapes(field: Field) -> Mapping[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for name, one in field.table():
        try:
            found |= dict([parse_shape(f"{name}={one.text()}")])
        except UsageError as error:
            raise one.wrong("a shape", "Write it like 1x3x224x224") from error
    return found
