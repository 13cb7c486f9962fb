"""Text from outside (names, reasons) made safe to show."""

from __future__ import annotations

import re
import unicodedata

_TERMINAL_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-_])")


def clean(text: object) -> str:
    """Return ``text`` on one line, without terminal sequences, controls or invisible marks."""
    raw = str(text)
    if raw.isascii() and raw.isprintable():  # nearly all there is, and a report has thousands
        return " ".join(raw.split())
    without = _TERMINAL_SEQUENCE.sub("", raw)
    seen = "".join(" " if char.isspace() else char for char in without)
    kept = "".join(char for char in seen if not unicodedata.category(char).startswith("C"))
    return " ".join(kept.split())


def shorten(text: object, most: int) -> str:
    """Return ``text``, cleaned, in at most ``most`` characters: the middle is left out."""
    cleaned = clean(text)
    if len(cleaned) <= most:
        return cleaned
    tail = (most - 1) // 2
    return f"{cleaned[: most - 1 - tail]}…{cleaned[len(cleaned) - tail :]}"


def sentence(text: object) -> str:
    """Return ``text``, cleaned, with a full stop at its end; nothing for nothing."""
    cleaned = clean(text or "").rstrip()
    return cleaned if not cleaned or cleaned[-1] in ".!?" else f"{cleaned}."


def listed(names: list[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
