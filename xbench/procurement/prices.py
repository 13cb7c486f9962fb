"""The price file: what a user pays, in TOML, each number with its unit in its key.

Nothing has a price of its own here. A key that is not known, lacks its unit, holds no number, or
one that cannot be, ends the reading with the file and the key. See docs/procurement.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path
from typing import Any

from xbench.errors import UsageError

LARGEST = 1e12  # beyond it no price is meant, and products would leave what floats hold
ALWAYS, UNDER_LOAD = BILLINGS = ("always", "under_load")


@dataclass(frozen=True, slots=True)
class Number:
    """What a key takes: from ``least`` to ``most``, ``least`` left out where ``above`` is set."""

    least: float = 0.0
    most: float = LARGEST
    above: bool = False
    whole: bool = False

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "is not a number"
        if self.whole and not isinstance(value, int):
            return "is not a whole number"
        if not isfinite(value):
            return "is not a finite number"
        if value < self.least and not self.least:
            return "is negative"
        if value < self.least or (self.above and value == self.least):
            return f"must be {'above' if self.above else 'at least'} {self.least:g}"
        return f"must be at most {self.most:g}" if value > self.most else None


SHARE = Number(most=1.0)
NUMBERS: Mapping[str, Number] = {
    "capex_per_unit": Number(),
    "life_years": Number(most=100, above=True),
    "residual_share": SHARE,
    "discount_rate_per_year": SHARE,
    "hourly_cost_per_unit": Number(),
    "devices_per_unit": Number(least=1, most=100_000, whole=True),
    "energy_price_per_kwh": Number(),
    "pue": Number(least=1.0, most=100.0),
    "spares_share": SHARE,
    "overhead_per_device_month": Number(),
    "declared_load_w": Number(most=1e6, above=True),
    "declared_idle_w": Number(most=1e6),
    "declared_other_w": Number(most=1e6),
}
TEXTS = ("match_host_id", "match_device_model")
OWN = ("capex_per_unit", "hourly_cost_per_unit", "energy_included", "billing", *TEXTS)
"""Keys that tell one option from another, so that ``[defaults]`` may not hold them."""

OPTION_KEYS = (*NUMBERS, *TEXTS, "energy_included", "billing")
DEFAULT_KEYS = tuple(key for key in OPTION_KEYS if key not in OWN)
TOP_KEYS = ("currency", "date", "utilisation_share", "defaults", "options")
OF_CAPEX = ("life_years", "residual_share", "discount_rate_per_year")
GUIDE = "docs/procurement.md and docs/prices-example.toml show every key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Something that can be bought or rented, in whole units. Money is in the file's currency.

    Attributes:
        capex_per_unit: Price of a unit that is bought; None where it is rented.
        hourly_cost_per_unit: Price of an hour of a unit that is rented; None where it is bought.
        billing: Which hours are paid: ``always`` or ``under_load``.
        energy_included: Whether the hourly price has the energy in it.
        devices_per_unit: Devices as measured that a unit holds.
        residual_share: Of ``capex_per_unit``, what a unit is worth at the end of its life.
        spares_share: Spare devices for each that serves.
        overhead_per_device_month: Rack, network and hands, for each device of every unit.
        pue: Energy of the site over energy of the equipment (ISO/IEC 30134-2).
        declared_load_w: Power of a device while it runs, where no meter told; nobody measured it.
        declared_idle_w: Power of a device that waits, where no meter told.
        declared_other_w: What a device draws at all times beside what was metered.
    """

    name: str
    match_host_id: str | None = None
    match_device_model: str | None = None
    capex_per_unit: float | None = None
    hourly_cost_per_unit: float | None = None
    billing: str = ALWAYS
    energy_included: bool = False
    devices_per_unit: int = 1
    life_years: float = 0.0
    residual_share: float = 0.0
    discount_rate_per_year: float = 0.0
    spares_share: float = 0.0
    overhead_per_device_month: float = 0.0
    energy_price_per_kwh: float = 0.0
    pue: float = 1.0
    declared_load_w: float | None = None
    declared_idle_w: float | None = None
    declared_other_w: float = 0.0

    @property
    def bought(self) -> bool:
        """Return whether it is bought, not rented."""
        return self.capex_per_unit is not None

    def matches(self, host_id: str | None, device_model: str | None) -> bool:
        """Return whether the file says that this is the price of such a device."""
        if self.match_host_id is None and self.match_device_model is None:
            return False
        if self.match_host_id not in (None, host_id):
            return False
        pattern = self.match_device_model
        return pattern is None or fnmatchcase((device_model or "").lower(), pattern.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A price file.

    Attributes:
        currency: Three letters, as in ISO 4217; all money is in it.
        dated: The day that the prices are of.
        utilisation_share: Share of the year that the load is there. It is the load's, so that
            every option serves the same number of inferences.
    """

    path: str
    currency: str
    dated: date
    utilisation_share: float
    options: tuple[Option, ...]


def read_prices(path: Path, today: date) -> Prices:
    """Return the prices of a file.

    Raises:
        UsageError: With the file and the key that is wrong, and what it may be.
    """
    return _File(str(path), today).prices(_parsed(path))


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the price file {path}: {error.strerror}", GUIDE) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the price file {path} is no TOML: {error}", GUIDE) from error


class _File:
    """One price file while it is checked; its errors name it."""

    def __init__(self, path: str, today: date) -> None:
        self._path = path
        self._today = today

    def prices(self, told: Mapping[str, Any]) -> Prices:
        self._known("", told, TOP_KEYS)
        share = Number(most=1.0, above=True)
        self._require(
            "", told, "utilisation_share", "such as 0.4: the share of the year under load"
        )
        self._number("", "utilisation_share", told["utilisation_share"], share)
        return Prices(
            path=self._path,
            currency=self._currency(told),
            dated=self._date(told),
            utilisation_share=float(told["utilisation_share"]),
            options=self._options(told),
        )

    def _currency(self, told: Mapping[str, Any]) -> str:
        currency = told.get("currency")
        if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
            raise self._wrong(
                "currency",
                "is missing" if currency is None else "is no currency",
                'Write three letters, such as currency = "EUR"',
            )
        return currency

    def _date(self, told: Mapping[str, Any]) -> date:
        dated = told.get("date")
        if type(dated) is not date:  # a date with a time is one too, to isinstance
            raise self._wrong(
                "date",
                "is missing" if dated is None else "is no date",
                "Write the day of the prices without quotes, such as 2026-01-31",
            )
        if dated > self._today:
            raise self._wrong(
                "date",
                f"{dated} is in the future",
                f"Today is {self._today}: write the day that the prices are of",
            )
        return dated

    def _options(self, told: Mapping[str, Any]) -> tuple[Option, ...]:
        defaults = self._table("defaults", told.get("defaults", {}))
        self._known("defaults", defaults, DEFAULT_KEYS)
        self._values("defaults", defaults)
        options = self._table("options", told.get("options", {}))
        if not options:
            raise self._wrong("options", "is missing", f"Add [options.NAME]: {GUIDE}")
        return tuple(
            self._option(name, self._table(f"options.{name}", own), defaults)
            for name, own in options.items()
        )

    def _option(self, name: str, own: Mapping[str, Any], defaults: Mapping[str, Any]) -> Option:
        where = f"options.{name}"
        self._known(where, own, OPTION_KEYS)
        self._values(where, own)
        bought, rented = "capex_per_unit" in own, "hourly_cost_per_unit" in own
        if bought == rented:
            what = "has both capex_per_unit and" if bought else "has neither capex_per_unit nor"
            raise self._wrong(where, f"{what} hourly_cost_per_unit", "Write one of the two")
        for key in OF_CAPEX if rented else ("billing", "energy_included"):
            if key in own:
                other = "capex_per_unit" if rented else "hourly_cost_per_unit"
                raise self._wrong(f"{where}.{key}", f"goes with {other}", "Leave it out")
        merged = {**{k: v for k, v in defaults.items() if bought or k not in OF_CAPEX}, **own}
        if bought:
            self._require(where, merged, "life_years", "such as 4")
        if not merged.get("energy_included"):
            self._require(where, merged, "energy_price_per_kwh", "such as 0.25")
            self._require(where, merged, "pue", "such as 1.3, or 1.0 where nothing is cooled")
        if merged.get("declared_idle_w", 0) > merged.get("declared_load_w", LARGEST):
            raise self._wrong(f"{where}.declared_idle_w", "is above declared_load_w", "Lower it")
        return Option(name=name, **merged)

    def _values(self, where: str, told: Mapping[str, Any]) -> None:
        """Return if every value is one that its key takes."""
        for key, value in told.items():
            if key in NUMBERS:
                self._number(where, key, value, NUMBERS[key])
            elif key == "energy_included" and not isinstance(value, bool):
                raise self._wrong(f"{where}.{key}", "is not true or false", "Write one of them")
            elif key == "billing" and value not in BILLINGS:
                raise self._wrong(f"{where}.{key}", f"is not {' or '.join(BILLINGS)}", "Write one")
            elif key in TEXTS and not (isinstance(value, str) and value.strip()):
                raise self._wrong(f"{where}.{key}", "is not a text", 'Write it in quotes: "..."')

    def _number(self, where: str, key: str, value: Any, number: Number) -> None:
        problem = number.problem(value)
        if problem:
            span = f"{'above ' if number.above else 'from '}{number.least:g} to {number.most:g}"
            name = f"{where}.{key}" if where else key
            raise self._wrong(name, f"{value!r} {problem}", f"Write a number {span}")

    def _require(self, where: str, told: Mapping[str, Any], key: str, example: str) -> None:
        if key not in told:
            raise self._wrong(
                f"{where}.{key}" if where else key, "is missing", f"Add it, {example}"
            )

    def _known(self, where: str, told: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in told:
            if key not in known:
                name = f"{where}.{key}" if where else key
                raise self._wrong(name, *_unknown(key, known, in_defaults=where == "defaults"))

    def _table(self, name: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(name, "is not a table", f"Write it as [{name}]")
        return value

    def _wrong(self, key: str, what: str, fix: str) -> UsageError:
        return UsageError(f"price file {self._path}: {key} {what}", fix)


def _unknown(key: str, known: tuple[str, ...], *, in_defaults: bool) -> tuple[str, str]:
    """Return what is wrong with a key that is not among those, and what helps."""
    if in_defaults and key in OWN:
        return "belongs to an option", "Write it in [options.NAME]"
    with_unit = [one for one in known if one.startswith(f"{key}_")]
    if with_unit:
        return "lacks its unit", f"Write {' or '.join(with_unit)}"
    close = get_close_matches(key, known, n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]}? " if close else ""
    return "is not known", f"{hint}There are {', '.join(known)}"
