"""What comes from outside cannot write on the terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.report.runs import HOSTILE
from xbench.report.text import clean, listed, sentence, shorten


@given(st.text())
def test_no_control_survives(text: str) -> None:
    shown = clean(text)
    assert not any(unicodedata.category(char).startswith("C") for char in shown)
    assert clean(shown) == shown


def test_a_terminal_sequence_goes_as_a_whole() -> None:
    assert clean("\x1b[31mred\x1b[0m \x1b]0;title\x07name") == "red name"
    assert "owned" not in clean(HOSTILE)


@given(st.text(max_size=200), st.integers(3, 60))
def test_shortened_text_fits_and_keeps_both_ends(text: str, most: int) -> None:
    short, whole = shorten(text, most), clean(text)
    assert len(short) <= most
    assert short == whole or (short[0], short[-1]) == (whole[0], whole[-1])


def test_words() -> None:
    assert sentence("it failed") == "it failed."
    assert sentence("why?") == "why?"
    assert sentence(None) == ""
    assert [listed(list(names)) for names in ("", "a", "ab", "abc")] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
