"""A SQLite database that lives in memory and on the disk as a snapshot, replaced by rename.

It can be made anew at any time, so that it needs neither a journal nor a lock: whoever reads finds
the old snapshot or the new one, and of two writers the later one's stands. Its header holds the
start of the SHA-256 of all else in it, in two fields that SQLite leaves to applications
(`user_version` and `application_id`, https://www.sqlite.org/fileformat.html, section 1.3).
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from xbench.keeping import write_atomically

_MAGIC = b"SQLite format 3\0"
_FIELDS = (slice(60, 64), slice(68, 72))
_HEADER_BYTES = 100


def load(path: Path) -> sqlite3.Connection | None:
    """Return the database of a snapshot; None where there is none, or it is not what was written.

    Raises:
        ValueError: If it is damaged.
        OSError: If it is there and cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) < _HEADER_BYTES or not data.startswith(_MAGIC):
        raise ValueError("it is no database")
    if b"".join(data[field] for field in _FIELDS) != _digest(data):
        raise ValueError("it does not have the hash that it was written with")
    connection = empty()
    connection.deserialize(data)
    return connection


def empty() -> sqlite3.Connection:
    """Return a database without tables."""
    return sqlite3.connect(":memory:", check_same_thread=False)


def save(connection: sqlite3.Connection, path: Path) -> None:
    """Write a snapshot of the database to ``path``.

    Raises:
        OSError: If it cannot be written; the old one is as it was.
    """
    data = bytearray(connection.serialize())
    digest = _digest(data)
    data[_FIELDS[0]], data[_FIELDS[1]] = digest[:4], digest[4:]
    write_atomically(path, bytes(data))


def _digest(data: bytes | bytearray) -> bytes:
    """Return 8 bytes of the hash of all but the fields that hold it."""
    first, second = _FIELDS
    rest = memoryview(data)
    found = hashlib.sha256(rest[: first.start])
    found.update(rest[first.stop : second.start])
    found.update(rest[second.stop :])
    return found.digest()[:8]
