"""Quantities as people write and read them; inside xbench the unit is in the name.

Everything here is pure text and numbers: the command line imports it before anything heavy.
"""

from __future__ import annotations

import math
import re
import time

from xbench.errors import UsageError

SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0}
SECONDS |= {"h": 3600.0, "": 1.0}

BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

NUMBER = r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
DURATION_PART = re.compile(rf"({NUMBER})\s*(ns|us|µs|ms|min|m|s|h|(?![0-9.]))\s*")
QUANTITY = re.compile(rf"({NUMBER})\s*([A-Za-z]*)")
LONGEST_TEXT = 100  # longer is no quantity, and would fill an error line


def parse_duration_s(text: str) -> float:
    """Return a duration in seconds, from ``60s``, ``1.5min``, ``500ms`` or ``1 min 40 s``.

    Raises:
        UsageError: If it is not a duration above zero. A bare number is in seconds.
    """
    total_s, at, word = 0.0, 0, text.strip()
    while at < len(word) <= LONGEST_TEXT:
        part = DURATION_PART.match(word, at)
        if part is None or (part[2] == "" and part[0] != word):
            raise _not_a(text, "duration", "60s, 1.5min, 500ms or 1h")
        total_s += float(part[1]) * SECONDS[part[2]]
        at = part.end()
    if not 0 < total_s < math.inf:
        raise _not_a(text, "duration above zero", "60s, 1.5min, 500ms or 1h")
    return total_s


def parse_share(text: str) -> float:
    """Return a share between 0 and 1, from ``1%`` or ``0.01``.

    Raises:
        UsageError: If it is not above 0 and below 1; a bare ``1`` would be ambiguous.
    """
    word = text.strip()
    number = word.removesuffix("%").rstrip()
    if not re.fullmatch(NUMBER, number):
        raise _not_a(text, "share", "1% or 0.01")
    share = float(number) / (100 if word.endswith("%") else 1)
    if not 0 < share < 1:
        raise _not_a(text, "share between 0 and 100%", "1% or 0.01")
    return share


def parse_bytes(text: str) -> int:
    """Return a size in bytes, from ``4GB`` (powers of 1000), ``512MiB`` (of 1024) or ``4096``.

    Raises:
        UsageError: If it is not a size of at least one byte.
    """
    accepted = "4GB, 512MiB or a number of bytes"
    match = QUANTITY.fullmatch(text.strip()) if len(text) <= LONGEST_TEXT else None
    units = {unit.lower(): size for unit, size in BYTES.items()}
    if match is None or match[2].lower() not in units:
        raise _not_a(text, "size", accepted)
    number = float(match[1]) if "." in match[1] else int(match[1])  # an int loses no digit
    size_bytes = int(number * units[match[2].lower()])
    if size_bytes < 1:
        raise _not_a(text, "size above zero", accepted)
    return size_bytes


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Return an input's name and shape, from ``pixels=1x3x224x224``.

    Raises:
        UsageError: If there is no name, or a length is not a whole number above zero.
    """
    name, equals, dims = text.strip().rpartition("=")  # the last: a name may hold one too
    lengths = re.split(r"[xX,]", dims.strip())
    if not (equals and name and all(_is_count(length) for length in lengths)):
        raise _not_a(text, "shape of an input", "NAME=1x3x224x224, every length above zero")
    return name.strip(), tuple(int(length) for length in lengths)


def parse_ints(text: str) -> tuple[int, ...]:
    """Return whole numbers above zero in the order given, from ``1,8``.

    Raises:
        UsageError: If one is not, or is named twice.
    """
    words = text.split(",")
    if not all(_is_count(word.strip()) for word in words):
        raise _not_a(text, "list of whole numbers above zero", "1 or 1,8")
    numbers = tuple(int(word.strip()) for word in words)
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"{_short(text)} names a number twice", "Write each once, such as 1,8")
    return numbers


def format_ns(time_ns: float) -> str:
    """Return a time with four significant digits and its unit, such as ``12.35 ms``."""
    for unit, size_ns in (("ns", 1), ("µs", 1e3), ("ms", 1e6)):
        if abs(time_ns) / size_ns < 999.95:  # what four digits would round to 1000
            return f"{_digits(time_ns / size_ns)} {unit}"
    return f"{_digits(time_ns / 1e9)} s"


def format_s(time_s: float) -> str:
    """Return a duration for people, such as ``850 ms``, ``12.3 s``, ``1 min 40 s``, ``2 h``."""
    for unit, size_s in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if abs(time_s) / size_s < 999.5:
            return f"{time_s / size_s:.3g} {unit}"
    if abs(time_s) < 59.95:
        return f"{time_s:.3g} s"
    if abs(time_s) < 3599.5:
        minutes, seconds = divmod(round(time_s), 60)
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(round(time_s / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_bytes(size_bytes: float) -> str:
    """Return a size with its unit in powers of 1024, such as ``512 MiB`` or ``1.50 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size_bytes) < 1023.5:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{_three(size_bytes)} {unit}"
        size_bytes /= 1024
    return f"{_three(size_bytes)} TiB"


def format_share(share: float) -> str:
    """Return a share in percent with two significant digits, such as ``1.2%`` or ``34%``."""
    percent = share * 100
    if percent == 0:
        return "0%"
    places = max(0, 1 - math.floor(math.log10(abs(percent))))
    return f"{percent:.{min(places, 4)}f}%"


def format_shape(shape: tuple[int | str, ...]) -> str:
    """Return a shape as `parse_shape` reads it, such as ``1x3x224x224``; ``scalar`` if empty."""
    return "x".join(str(length) for length in shape) or "scalar"


def utc_text(time_s: float) -> str:
    """Return a moment, in seconds since 1970, such as ``2026-01-31T09:15:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))


def _digits(value: float) -> str:
    """Return a value below 1000 with four significant digits."""
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, 4 - whole)}f}"


def _three(value: float) -> str:
    """Return a value below 1024 with three significant digits."""
    return f"{value:.{max(0, 3 - len(str(int(abs(value)))))}f}"


def _is_count(word: str) -> bool:
    """Return whether a word is a whole number from 1 to what 64 bits hold."""
    return re.fullmatch(r"[0-9]{1,19}", word) is not None and 0 < int(word) < 2**63


def _short(text: str) -> str:
    """Return the text in quotes, cut where it would fill the line."""
    return repr(text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "...")


def _not_a(text: str, what: str, accepted: str) -> UsageError:
    """Return the error for text that is not what was expected."""
    return UsageError(f"{_short(text)} is not a {what}", f"Write it like {accepted}")
