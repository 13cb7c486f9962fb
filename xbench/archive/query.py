"""Which runs and cells are asked for, as words and as SQL."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from xbench.archive.entries import RUN_STATES, RUNNING, UNFINISHED
from xbench.errors import UsageError
from xbench.result import Status
from xbench.units import parse_duration_s, utc_text

DAYS_S = {"d": 86_400.0, "w": 7 * 86_400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for; an empty field asks for all. Words are separated by commas.

    Attributes:
        model: Parts of names, or the start of a SHA-256.
        backend: Names; ``pytorch`` is its variants too, ``*`` stands for anything.
        host: Starts of host ids, or parts of the CPU's name.
        device: Names, such as ``cuda:0``, or parts of the maker's name for it.
        status: Of cells (`xbench.result.Status`) or of runs (`RUN_STATES`).
        precision: Names.
        scenario: Names; ``server`` is every rate too.
        batch: Sizes.
        since: The earliest beginning, in UTC, such as ``2026-01-31T09:15:00Z``.
        until: The same of the latest.
        run: Run ids or names of folders; ``*`` stands for anything.
        limit: The most entries, newest first; 0 is all.
    """

    model: str = ""
    backend: str = ""
    host: str = ""
    device: str = ""
    status: str = ""
    precision: str = ""
    scenario: str = ""
    batch: tuple[int, ...] = ()
    since: str = ""
    until: str = ""
    run: str = ""
    limit: int = 0

    def allows(self, state: str) -> bool:
        """Return whether runs in a state of `RUN_STATES` are asked for."""
        return not self.status or state in _words(self.status)


def parse_moment(text: str, now_s: float | None = None) -> str:
    """Return a moment in UTC, from ``2026-01-31``, ``2026-01-31T09:15`` or ``7d`` ago.

    A date and a time are this machine's unless they say otherwise, as in ``09:15Z``.

    Raises:
        UsageError: If it is neither.
    """
    word = text.strip()
    ago = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([dw])", word)
    now = time.time() if now_s is None else now_s
    try:
        if ago:
            return utc_text(now - float(ago[1]) * DAYS_S[ago[2]])
        if re.match(r"\d{4}-", word):
            moment = datetime.fromisoformat(word).astimezone(UTC)
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        return utc_text(now - parse_duration_s(word))
    except (ValueError, OverflowError, OSError, UsageError) as error:
        fix = "Write a day such as 2026-01-31, or how long ago, such as 7d or 12h"
        raise UsageError(f"{text[:40]!r} is no moment", fix) from error


def conditions(query: Query) -> tuple[str, list[object]]:
    """Return a WHERE clause over runs ``r`` and their cells ``c``, and its parameters.

    Raises:
        UsageError: If a status is not known.
    """
    found = [*_of_runs(query), *_of_cells(query)]
    if statuses := _statuses(query):
        marks = ", ".join("?" * len(statuses))
        found.append((f"(r.state IN ({marks}) OR c.status IN ({marks}))", [*statuses, *statuses]))
    clause = " AND ".join(text for text, _ in found)
    return (f"WHERE {clause}" if clause else ""), [one for _, own in found for one in own]


def _of_runs(query: Query) -> Iterator[tuple[str, list[object]]]:
    yield from _any(query.model, ("instr(lower(r.model), ?)", "r.model_sha256 GLOB ? || '*'"))
    yield from _any(query.host, ("instr(lower(r.host), ?)", "r.host_id GLOB ? || '*'"))
    yield from _any(query.run, ("lower(r.run_id) GLOB ?", "lower(r.folder) GLOB ?"))
    if query.since:
        yield "r.began >= ?", [query.since]
    if query.until:
        yield "r.began <= ?", [query.until]


def _of_cells(query: Query) -> Iterator[tuple[str, list[object]]]:
    backend = "lower(c.backend)"
    ends = ("?", "? || ':*'", "? || '#*'")  # itself, its variants, and itself named again
    yield from _any(query.backend, tuple(f"{backend} GLOB {end}" for end in ends))
    yield from _any(query.device, ("c.device = ?", "instr(lower(c.device_model), ?)"))
    yield from _any(query.precision, ("c.precision = ?",))
    yield from _any(query.scenario, ("c.scenario = ?", "c.scenario GLOB ? || '[:,]*'"))
    if query.batch:
        yield f"c.batch IN ({', '.join('?' * len(query.batch))})", list(query.batch)


def _any(words: str, tests: tuple[str, ...]) -> Iterator[tuple[str, list[object]]]:
    """Yield a condition that some word passes some test; nothing where there are no words."""
    if named := _words(words):
        each = " OR ".join(tests)
        clause = f"({' OR '.join([each] * len(named))})"
        yield clause, [_glob(word) if "GLOB" in test else word for word in named for test in tests]


def _glob(word: str) -> str:
    """Return a pattern in which ``*`` and ``?`` stand for anything, and a bracket for itself."""
    return word.replace("[", "[[]")


def _statuses(query: Query) -> list[object]:
    words = _words(query.status)
    known = [*(status.value for status in Status), *RUN_STATES]
    if wrong := [word for word in words if word not in known]:
        fix = f"There are {', '.join(dict.fromkeys(known))}"
        raise UsageError(f"there is no status {wrong[0][:40]!r}", fix)
    # Whether one that is not finished is running now is seen from its lock, not from its files.
    return [UNFINISHED if word == RUNNING else word for word in words]


def _words(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",") if word.strip()]
