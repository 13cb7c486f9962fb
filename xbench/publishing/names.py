"""Names from runs as other tools take them: bounded, on one line, and still telling rows apart."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from xbench.report.text import clean

DIGEST = 8  # hexadecimal digits: 4 thousand million values


def digest(*parts: object) -> str:
    """Return 64 hexadecimal digits that stand for ``parts``, in this order."""
    found = hashlib.sha256()
    for part in parts:
        text = str(part).encode("utf-8", "surrogatepass")
        found.update(len(text).to_bytes(8, "big") + text)
    return found.hexdigest()


def bounded(text: object, most_bytes: int) -> str:
    """Return ``text``, cleaned, in at most ``most_bytes`` bytes of UTF-8, and never empty.

    What is cut off is told apart by a digest in its place.
    """
    cleaned = clean(text) or "-"
    if len(cleaned.encode()) <= most_bytes:
        return cleaned
    end = f"…{digest(cleaned)[:DIGEST]}"
    kept = cleaned.encode()[: most_bytes - len(end.encode())]
    return kept.decode("utf-8", "ignore").rstrip() + end


def slug(text: object, most: int = 60) -> str:
    """Return ``text`` in letters, digits, dots, dashes and underscores: a safe folder's name.

    Two texts may have one slug: add a `digest` where that matters.
    """
    plain = unicodedata.normalize("NFKD", clean(text)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).strip("-.")[:most].rstrip("-.") or "-"
