"""A table of a TOML file, read strictly: each error names the file and the key."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any

from xbench.errors import UsageError

BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
GHZ = {"GHz": 1.0, "MHz": 1e-3}
TRANSFERS = {"MT/s": 1e6, "GT/s": 1e9}
BANDWIDTH = {"MB/s": 1e6, "GB/s": 1e9}
WATTS = {"W": 1.0, "mW": 1e-3}
FLOPS = {"GFLOPS": 1e9, "TFLOPS": 1e12}
OPS = {"GOPS": 1e9, "TOPS": 1e12}

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z/]+)")


class Table:
    """One table; `only` refuses the keys that it cannot have."""

    def __init__(self, values: Mapping[str, Any], file: str, path: str = "") -> None:
        self.values = values
        self.file = file
        self.path = path

    def error(self, key: str, reason: str, fix: str) -> UsageError:
        """Return the error for a key, by its path from the file's top."""
        where = f"{self.path}.{key}" if self.path and key else (self.path or key)
        return UsageError(f"{self.file}: {where + ' ' if where else ''}{reason}", fix)

    def only(self, *known: str) -> Table:
        """Return the table, once it is clear that it has no other keys.

        Raises:
            UsageError: If it has one: the first, with the nearest known key.
        """
        for key in self.values:
            if key not in known:
                close = get_close_matches(key, known, n=1, cutoff=0.6)
                hint = f"Did you mean {close[0]!r}? " if close else ""
                raise self.error(key, "is not a known key", f"{hint}There are {', '.join(known)}")
        return self

    def has(self, key: str) -> bool:
        """Return whether the key is there."""
        return key in self.values

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text; ``default`` where the key is absent, which None forbids."""
        value = self._value(key, default, str, "a text", '"..."')
        if not value.strip() and default != "":
            raise self.error(key, "is empty", "Say something there, or leave the key out")
        return str(value)

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> str:
        """Return one of ``known``."""
        value = self.text(key, default)
        if value not in known:
            close = get_close_matches(value, known, n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise self.error(key, f"is {value!r}", f"{hint}There are {', '.join(known)}")
        return value

    def count(self, key: str, default: int | None = None) -> int:
        """Return a whole number above zero."""
        value = self._value(key, default, int, "a whole number", "4")
        if isinstance(value, bool) or value < 1:
            raise self.error(key, f"is {value!r}", "Write a whole number above zero, such as 4")
        return int(value)

    def day(self, key: str) -> date | None:
        """Return a date, or None where the key is absent."""
        if not self.has(key):
            return None
        value = self.values[key]
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self.error(key, "is not a date", "Write it without quotes, such as 2026-11-26")
        return value

    def quantity(self, key: str, units: Mapping[str, float]) -> float | None:
        """Return a quantity above zero in the unit whose factor is 1; None where absent."""
        if not self.has(key):
            return None
        return self._quantity(key, self.values[key], units)

    def quantities(self, key: str, units: Mapping[str, float]) -> tuple[float, ...]:
        """Return a list of quantities; empty where the key is absent."""
        if not self.has(key):
            return ()
        values = self.values[key]
        if not isinstance(values, list):
            raise self.error(key, "is not a list", f"Write it like {_example(units, many=True)}")
        return tuple(self._quantity(key, value, units) for value in values)

    def numbers(self, key: str) -> dict[str, float]:
        """Return a table of plain numbers above zero; empty where the key is absent."""
        found = {}
        for name, value in self.table(key).values.items():
            if not _is_number(value) or not 0 < value < math.inf:
                raise self.error(f"{key}.{name}", f"is {value!r}", "Write a number above zero")
            found[name] = float(value)
        return found

    def mapped(self, key: str, units: Callable[[str], Mapping[str, float]]) -> dict[str, float]:
        """Return a table of quantities, whose units depend on their keys."""
        values = self.table(key).values
        return {
            name: self._quantity(f"{key}.{name}", value, units(name))
            for name, value in values.items()
        }

    def names(self, key: str, known: Sequence[str]) -> tuple[str, ...]:
        """Return a list of names out of ``known``."""
        values = self._value(key, None, list, "a list of texts", f'["{known[0]}"]')
        for value in values:
            if value not in known:
                raise self.error(key, f"has {value!r}", f"There are {', '.join(known)}")
        return tuple(values)

    def table(self, key: str) -> Table:
        """Return a table in it; an empty one where the key is absent."""
        value = self._value(key, {}, dict, "a table", "[...]")
        return Table(value, self.file, f"{self.path}.{key}" if self.path else key)

    def tables(self, key: str) -> Iterable[Table]:
        """Return the tables of a list; none where the key is absent."""
        values = self._value(key, [], list, "a list of tables", f"[[{key}]]")
        path = f"{self.path}.{key}" if self.path else key
        for at, value in enumerate(values):
            if not isinstance(value, dict):
                raise self.error(f"{key}[{at}]", "is not a table", f"Write it under [[{key}]]")
        return [Table(value, self.file, f"{path}[{at}]") for at, value in enumerate(values)]

    def _value(self, key: str, default: Any, type_: type, what: str, example: str) -> Any:
        if not self.has(key):
            if default is None:
                raise self.error(key, "is missing", f"Add it: {key} = {example}")
            return default
        value = self.values[key]
        if not isinstance(value, type_):
            raise self.error(key, f"is not {what}", f"Write it like {key} = {example}")
        return value

    def _quantity(self, key: str, value: object, units: Mapping[str, float]) -> float:
        accepted = f"Write it like {_example(units)}"
        match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise self.error(key, f"is {value!r}, no number with a unit", accepted)
        if match[2] not in units:
            raise self.error(key, f"is {value!r}, whose unit is not known here", accepted)
        number = float(match[1]) * units[match[2]]
        if not 0 < number < math.inf:
            raise self.error(key, f"is {value!r}, not above zero", accepted)
        return number


def _example(units: Mapping[str, float], *, many: bool = False) -> str:
    last = list(units)[-1]
    text = f'"4 {last}"'
    others = [unit for unit in units if unit != last]
    listed = f" (or {', '.join(others)})" if others else ""
    return f"[{text}]{listed}" if many else f"{text}{listed}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
