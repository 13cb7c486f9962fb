"""Quantities are read as people write them, and written as they read them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xbench.errors import UsageError
from xbench.units import (
    format_bytes,
    format_ns,
    format_s,
    format_shape,
    format_share,
    parse_bytes,
    parse_duration_s,
    parse_ints,
    parse_shape,
    parse_share,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60),
        ("2min", 120),
        ("1.5m", 90),
        ("500ms", 0.5),
        ("1h", 3600),
        ("10 µs", 1e-5),
        ("10us", 1e-5),
        ("7", 7),
        (" .5 s ", 0.5),
        ("1 min 40 s", 100),
        ("1h30m", 5400),
    ],
)
def test_durations_are_read_in_any_unit(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "0s",
        "-1s",
        "1 parsec",
        "1s 2",
        "1.2.3s",
        "inf",
        "nan",
        "1e3s",
        "\u0661s",
        "9" * 400,
    ],
)
def test_what_is_no_duration_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(UsageError, match="60s") as caught:
        parse_duration_s(text)
    assert len(str(caught.value)) < 250


@given(st.floats(1e-9, 1e6))
def test_a_duration_survives_being_written_and_read(seconds: float) -> None:
    """Rounding for people costs at most half a unit of the third digit, or half a minute."""
    again = parse_duration_s(format_s(seconds))
    if seconds < 59.95:
        assert again == pytest.approx(seconds, rel=0.0051)
    else:
        assert again == pytest.approx(seconds, abs=0.5 if seconds < 3599.5 else 30)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.85, "850 ms"),
        (12.34, "12.3 s"),
        (59.96, "1 min"),
        (100, "1 min 40 s"),
        (3599.7, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert format_s(seconds) == text


@given(st.floats(1, 1e15))
def test_a_time_keeps_four_digits_and_never_needs_more_than_three_before_the_point(
    time_ns: float,
) -> None:
    text = format_ns(time_ns)
    number, unit = text.split()
    assert parse_duration_s(text) * 1e9 == pytest.approx(time_ns, rel=0.0005001)
    assert unit == "s" or float(number) < 1000


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "0.000 ns"),
        (12_345_678, "12.35 ms"),
        (999.96, "1.000 µs"),
        (254, "254.0 ns"),
        (1.5e12, "1500 s"),
    ],
)
def test_times_are_written_with_their_unit(time_ns: float, text: str) -> None:
    assert format_ns(time_ns) == text


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.01", 0.01), ("2.5 %", 0.025)])
def test_shares_are_read_in_percent_or_as_numbers(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize(
    "text", ["", "%", "0", "0%", "1", "100%", "-1%", "nan", "1e-2", "one", "5%%"]
)
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"1% or 0\.01"):
        parse_share(text)


@given(st.floats(1e-4, 0.94))
def test_a_share_survives_being_written_and_read(share: float) -> None:
    assert parse_share(format_share(share)) == pytest.approx(share, rel=0.051)


def test_a_share_of_nothing_is_written() -> None:
    assert format_share(0) == "0%"


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 * 10**9), ("512MiB", 2**29), ("1.5 kib", 1536), ("4096", 4096)]
)
def test_sizes_are_read_in_any_unit(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "0", "0.1B", "-1GB", "4 GiBs", "4 bits", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="512MiB"):
        parse_bytes(text)


@given(st.integers(1, 2**50))
def test_a_size_survives_being_written_and_read(size: int) -> None:
    """Half a unit of the third digit, and what is less than a byte."""
    assert parse_bytes(format_bytes(size)) == pytest.approx(size, rel=0.0051 + 1 / 1024)


@given(
    st.text(min_size=1).filter(lambda name: name == name.strip()),
    st.lists(st.integers(1, 2**62), min_size=1, max_size=6),
)
def test_a_shape_survives_being_written_and_read(name: str, shape: list[int]) -> None:
    """Whatever the input is called: a name may hold the very characters that separate."""
    assert parse_shape(f"{name}={format_shape(tuple(shape))}") == (name, tuple(shape))


@pytest.mark.parametrize(
    "text",
    ["", "x", "=1x3", "x=", "x=0x3", "x=-1", "x=1xbatch", "x=1x", "x=1.5", "x=9999999999999999999"],
)
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="NAME=1x3x224x224"):
        parse_shape(text)


@given(st.lists(st.integers(1, 2**40), min_size=1, unique=True))
def test_numbers_survive_being_written_and_read_in_their_order(numbers: list[int]) -> None:
    assert parse_ints(",".join(map(str, numbers))) == tuple(numbers)


@pytest.mark.parametrize("text", ["", "1,", "0", "1,-8", "1;8", "one", "1,8,1"])
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1,8"):
        parse_ints(text)


@given(st.text())
@example("1\x1f")  # a space to `strip`, and none to `int`
def test_no_text_does_worse_than_a_usage_error(text: str) -> None:
    for parse in (parse_duration_s, parse_share, parse_bytes, parse_shape, parse_ints):
        with suppress(UsageError):
            parse(text)


def test_units_are_light_enough_for_the_command_line() -> None:
    """`xbench --help` must not pay for numpy or onnx."""
    code = "import sys, xbench.units, xbench.model, xbench.inputs, xbench.device;"
    code += "assert not {'numpy', 'onnx', 'psutil', 'pynvml'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
