"""The price file: what it may say, and that nothing else passes."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.procurement.market import HOST, TODAY, option
from xbench.errors import UsageError
from xbench.procurement.prices import NUMBERS, Prices, read_prices

EXAMPLE = Path(__file__).parents[3] / "docs" / "prices-example.toml"

HEAD = """
currency = "EUR"
date = 2026-05-01
utilisation_share = 0.4
"""
DEFAULTS = """
[defaults]
energy_price_per_kwh = 0.28
pue = 1.3
"""
BOX = """
[options.edge-box]
match_host_id = "0123456789ab"
capex_per_unit = 900
life_years = 4
"""


def read(tmp_path: Path, text: str, today: date = TODAY) -> Prices:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return read_prices(path, today)


def wrong(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert "prices.toml" in str(caught.value)
    assert caught.value.fix
    return str(caught.value)


def test_a_file_is_read_with_its_defaults_and_what_an_option_says_otherwise(tmp_path: Path) -> None:
    more = "[options.cloud]\nhourly_cost_per_unit = 2\nenergy_included = true\npue = 1.1\n"
    found = read(tmp_path, HEAD + DEFAULTS + "life_years = 6\n" + BOX + more)
    assert (found.currency, found.dated, found.utilisation_share) == ("EUR", date(2026, 5, 1), 0.4)
    box, cloud = found.options
    assert (box.name, box.capex_per_unit, box.life_years, box.pue) == ("edge-box", 900, 4, 1.3)
    assert box.bought
    assert (cloud.hourly_cost_per_unit, cloud.energy_included, cloud.pue) == (2, True, 1.1)
    assert not cloud.bought
    assert cloud.life_years == 0  # what is rented has no life, whatever the defaults say


def test_the_example_that_ships_is_read_and_says_that_its_prices_are_made_up() -> None:
    found = read_prices(EXAMPLE, date(2100, 1, 1))
    assert len(found.options) == 4
    assert "MADE UP" in EXAMPLE.read_text(encoding="utf-8")
    told = EXAMPLE.read_text(encoding="utf-8")
    assert all(f"{key} =" in told for key in NUMBERS)


@pytest.mark.parametrize("key", sorted(NUMBERS))
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "-inf", '"4"', "true", "1e300"])
def test_a_number_that_cannot_be_is_named_with_its_key(
    tmp_path: Path, key: str, value: str
) -> None:
    """Negative, not finite, too large, a text or a truth value: none becomes a price."""
    rented = key == "hourly_cost_per_unit"
    kind = "" if rented else "capex_per_unit = 900\n" if key != "capex_per_unit" else ""
    life = "" if rented or key == "life_years" else "life_years = 4\n"
    text = wrong(tmp_path, f"{HEAD}{DEFAULTS}[options.a]\n{kind}{life}{key} = {value}\n")
    assert f"options.a.{key}" in text


@pytest.mark.parametrize(
    ("without", "key"),
    [
        ("energy_price", "energy_price_per_kwh"),
        ("capex", "capex_per_unit"),
        ("life", "life_years"),
        ("declared_load", "declared_load_w"),
        ("overhead_per_device", "overhead_per_device_month"),
        ("spares", "spares_share"),
    ],
)
def test_a_key_without_its_unit_is_told_the_unit(tmp_path: Path, without: str, key: str) -> None:
    text = wrong(tmp_path, f"{HEAD}{DEFAULTS}{BOX}{without} = 1\n")
    assert f"options.edge-box.{without} lacks its unit" in text
    assert f"Write {key}" in text


def test_a_misspelled_key_is_told_the_one_that_was_meant(tmp_path: Path) -> None:
    assert "Did you mean pue?" in wrong(tmp_path, f"{HEAD}{DEFAULTS}{BOX}peu = 1.2\n")
    assert "currencies" in wrong(tmp_path, f'currencies = "EUR"\n{HEAD}{DEFAULTS}{BOX}')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD.replace("2026-05-01", "2026-06-02") + DEFAULTS + BOX, "in the future"),
        (HEAD.replace("2026-05-01", '"2026-05-01"') + DEFAULTS + BOX, "date is no date"),
        (HEAD.replace("2026-05-01", "2026-05-01T10:00:00") + DEFAULTS + BOX, "date is no date"),
        (HEAD.replace('"EUR"', '"euro"') + DEFAULTS + BOX, "currency is no currency"),
        (HEAD.replace("0.4", "0") + DEFAULTS + BOX, "utilisation_share 0 must be above 0"),
        (HEAD.replace("0.4", "40") + DEFAULTS + BOX, "must be at most 1"),
        ("date = 2026-05-01\nutilisation_share = 1\n" + DEFAULTS + BOX, "currency is missing"),
        (HEAD + DEFAULTS, "options is missing"),
        (HEAD + BOX, "options.edge-box.energy_price_per_kwh is missing"),
        (HEAD + DEFAULTS.replace("pue = 1.3", "") + BOX, "options.edge-box.pue is missing"),
        (HEAD + DEFAULTS + BOX.replace("life_years = 4", ""), "life_years is missing"),
        (HEAD + DEFAULTS + BOX + "hourly_cost_per_unit = 1\n", "has both"),
        (HEAD + DEFAULTS + '[options.a]\nmatch_host_id = "x"\n', "has neither"),
        (HEAD + DEFAULTS + BOX + "energy_included = true\n", "goes with hourly_cost_per_unit"),
        (HEAD + DEFAULTS + BOX + "devices_per_unit = 1.5\n", "is not a whole number"),
        (HEAD + DEFAULTS + BOX + "pue = 0.9\n", "must be at least 1"),
        (HEAD + DEFAULTS + BOX + "residual_share = 10\n", "must be at most 1"),
        (HEAD + DEFAULTS + BOX + "declared_load_w = 5\ndeclared_idle_w = 6\n", "is above"),
        (HEAD + DEFAULTS + BOX + 'match_device_model = ""\n', "is not a text"),
        (HEAD + DEFAULTS + '[options.a]\nhourly_cost_per_unit = 1\nbilling = "daily"\n', "billing"),
        (HEAD + DEFAULTS + "[options.a]\nhourly_cost_per_unit = 1\nlife_years = 1\n", "goes with"),
        (HEAD + "[defaults]\ncapex_per_unit = 1\n" + BOX, "belongs to an option"),
        (HEAD + "options = 3\n", "options is not a table"),
        (HEAD + "a = [\n", "is no TOML"),
        (HEAD + HEAD + DEFAULTS + BOX, "is no TOML"),
    ],
)
def test_what_is_wrong_is_said_with_the_key(tmp_path: Path, text: str, said: str) -> None:
    assert said in wrong(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml"):
        read_prices(tmp_path / "absent.toml", TODAY)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.toml is no TOML"):
        read_prices(binary, TODAY)


def test_prices_of_today_are_not_of_the_future(tmp_path: Path) -> None:
    text = HEAD + DEFAULTS + BOX
    assert read(tmp_path, text, date(2026, 5, 1)).dated == date(2026, 5, 1)
    with pytest.raises(UsageError, match="in the future"):
        read(tmp_path, text, date(2026, 5, 1) - timedelta(days=1))


def test_both_patterns_have_to_hold_and_none_matches_nothing() -> None:
    by_model = option(match_host_id=None, match_device_model="*h100*")
    assert by_model.matches("any", "NVIDIA H100 PCIe")
    assert not by_model.matches("any", "NVIDIA A100")
    assert not by_model.matches("any", None)
    both = option(match_device_model="ACME*")
    assert both.matches(HOST, "ACME Edge 1")
    assert not both.matches("other", "ACME Edge 1")
    assert not both.matches(HOST, "Other")
    assert not option(match_host_id=None).matches(HOST, "ACME Edge 1")


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.integers(), st.booleans(), st.text())))
def test_no_file_of_unknown_keys_becomes_a_price(
    tmp_path_factory: pytest.TempPathFactory, told: dict[str, object]
) -> None:
    """Whatever TOML holds, it is a price file or an error that names the file."""
    lines = [f"{_quoted(key)} = {_value(value)}" for key, value in told.items()]
    wrong(tmp_path_factory.mktemp("prices"), "\n".join(lines))


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(char):08X}" for char in text) + '"'


def _value(value: object) -> str:
    if isinstance(value, str):
        return _quoted("".join(c for c in value if not 0xD800 <= ord(c) <= 0xDFFF))
    return str(value).lower()
