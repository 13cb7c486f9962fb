"""Hashes that travel with what they belong to, so that a damaged file gives itself away.

A whole document ends in the SHA-256 of every byte before it; a line of a file that grows begins
with its number and ends in the start of the SHA-256 of the rest::

    {                                           {"n":0,"launched":{...},"sha":"c40b..."}
     "schema": 1,                               {"n":1,"order":[0,1],...,"sha":"06e1..."}
     ...
     "content_sha256": "9f86d0..."
    }

Both are ordinary JSON to whoever does not look. They tell of accidents (a flipped bit, a file cut
short, an edit), not of intent: who forges a file can hash it as well.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

CONTENT = "content_sha256"

_SEAL = re.compile(rb',\n "([^"\n]+)": "([^"\n]{64})"\n\}\n')
_SEAL_BYTES = len(f',\n "{CONTENT}": "') + 64 + len('"\n}\n')
_LINE_START = b'{"n":'
_LINE_END = re.compile(rb'.*,"sha":"[^"]{16}"\}', re.DOTALL)
_LINE = re.compile(rb'(\{"n":([0-9]+)[,}].*),"sha":"([0-9a-f]{16})"\}', re.DOTALL)


class State(StrEnum):
    """What a seal says of the bytes that carry it."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    UNSEALED = "unsealed"  # written before there were seals, or by something else


@dataclass(frozen=True, slots=True)
class Lines:
    """What a file of lines holds.

    Attributes:
        told: Every line that is whole, once, oldest first.
        damaged: Places in the file, from 1, of lines that are there and are not what was written.
        lost: How many lines were written and cannot be read, the damaged ones among them. A piece
            that a kill tore off its line is none: nobody was told that it had been written.
        following: The number of the next line to be written.
    """

    told: tuple[Mapping[str, Any], ...]
    damaged: tuple[int, ...]
    lost: int
    following: int


def sealed_text(document: Mapping[str, Any]) -> str:
    """Return ``document`` as JSON that ends in the hash of its own bytes."""
    kept = {name: value for name, value in document.items() if name != CONTENT}
    if not kept:
        raise ValueError("an empty document has nothing to seal")
    body = json.dumps(kept, indent=1, allow_nan=False).removesuffix("\n}")
    return f'{body},\n "{CONTENT}": "{hashlib.sha256(body.encode()).hexdigest()}"\n}}\n'


def state(data: bytes) -> State:
    """Return what the seal at the end of a whole document says of it."""
    found = _SEAL.fullmatch(data[-_SEAL_BYTES:])
    if found is None:
        return State.DAMAGED if CONTENT.encode() in data else State.UNSEALED
    told = hashlib.sha256(data[:-_SEAL_BYTES]).hexdigest()
    # By its shape, not by its name: a flipped bit in the name would make it no seal at all.
    return State.WHOLE if found.groups() == (CONTENT.encode(), told.encode()) else State.DAMAGED


def sealed_line(number: int, told: Mapping[str, Any]) -> str:
    """Return ``told`` as one line, with its number and its hash, and the line's end."""
    body = json.dumps({"n": number, **told}, separators=(",", ":")).removesuffix("}")
    return f'{body},"sha":"{_short(body.encode())}"}}\n'


def read_lines(data: bytes) -> Lines:
    """Return the lines of a file: sealed ones, and any from before there were seals."""
    told: list[Mapping[str, Any]] = []
    numbers: set[int] = set()
    seen: set[bytes] = set()
    damaged: list[int] = []
    behind = 0  # damaged lines since the last whole one: their numbers were given, too
    pieces = data.split(b"\n")
    for place, line in enumerate(pieces, 1):
        read = _read(line)
        if read is None:
            # A piece that a kill tore off has no end of its own: a later line gave it one.
            ended = line and place == len(pieces) - 1 and not pieces[-1]
            if ended or _LINE_END.fullmatch(line):
                damaged.append(place)
                behind += 1
            continue
        number, document = read
        if number is not None:
            if line in seen:  # a failed write was tried again, and had succeeded
                continue
            seen.add(line)
            numbers.add(number)
            behind = 0
        told.append(document)
    following = max(numbers, default=-1) + 1 + behind
    return Lines(tuple(told), tuple(damaged), following - len(numbers), following)


def _read(line: bytes) -> tuple[int | None, dict[str, Any]] | None:
    """Return a line's number, if it is sealed, and what it tells; None for one that tells nothing.

    One flipped bit cannot make a sealed line pass for one of old: it has a mark at either end.
    """
    found = _LINE.fullmatch(line)
    if found is None and (line.startswith(_LINE_START) or _LINE_END.fullmatch(line)):
        return None
    if found is not None and _short(found[1]).encode() != found[3]:
        return None
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None  # torn by a kill or a full disk
    if not isinstance(document, dict):
        return None
    return (int(found[2]) if found else None), document


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
