"""Hashes that travel with a file: no flipped bit, and no cut, goes unnoticed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.seal import CONTENT, State, read_lines, sealed_line, sealed_text, state

DOCUMENT = {"schema": 1, "name": "ü", "rows": [{"value": 1.5}, None]}
TOLD = [{"x": number, "text": "a" * number} for number in range(4)]
LINES = "".join(sealed_line(number, told) for number, told in enumerate(TOLD)).encode()

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)  # fmt: skip
documents = st.dictionaries(st.text(max_size=8), json_values, min_size=1)


def flips(data: bytes) -> list[bytes]:
    """Return the data with each of its bits flipped, one at a time."""
    return [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    ]


@given(documents)
def test_a_sealed_document_is_whole_and_reads_as_it_was(document: dict[str, Any]) -> None:
    document.pop(CONTENT, None)
    if document:
        text = sealed_text(document)
        assert state(text.encode()) is State.WHOLE
        read = json.loads(text)
        assert read.pop(CONTENT)
        assert read == document


def test_what_is_sealed_again_is_as_if_sealed_once() -> None:
    once = sealed_text(DOCUMENT)
    assert sealed_text(json.loads(once)) == once


def test_no_flipped_bit_of_a_document_goes_unnoticed() -> None:
    """Each is found by its seal, or leaves no JSON."""
    for damaged in flips(sealed_text(DOCUMENT).encode()):
        found = state(damaged)
        if found is State.UNSEALED:
            with pytest.raises(ValueError, match=r"."):
                json.loads(damaged)
        else:
            assert found is State.DAMAGED


def test_no_cut_of_a_document_goes_unnoticed() -> None:
    text = sealed_text(DOCUMENT).encode()
    for end in range(1, len(text)):
        if state(text[:end]) is State.UNSEALED:
            with pytest.raises(ValueError, match=r"."):
                json.loads(text[:end])


def test_what_was_never_sealed_is_said_to_be_so() -> None:
    assert state(json.dumps(DOCUMENT, indent=1).encode()) is State.UNSEALED


def test_a_changed_number_of_a_document_is_found() -> None:
    edited = sealed_text(DOCUMENT).replace("1.5", "1.4").encode()
    assert state(edited) is State.DAMAGED


def test_lines_are_read_as_they_were_written() -> None:
    read = read_lines(LINES)
    assert [{k: v for k, v in one.items() if k not in ("n", "sha")} for one in read.told] == TOLD
    assert (read.damaged, read.lost, read.following) == ((), 0, 4)


def test_no_flipped_bit_of_a_line_is_read_or_goes_unnoticed() -> None:
    """All but that of the file's last end, which is as if the last line had never been ended."""
    whole = read_lines(LINES).told
    for damaged in flips(LINES[:-1]):
        read = read_lines(damaged + b"\n")
        assert all(one in whole for one in read.told)
        assert read.lost == len(whole) - len(read.told) or read.damaged
        assert read.lost > 0


@given(st.integers(0, len(LINES)))
def test_a_line_torn_by_a_kill_is_no_loss(cut: int) -> None:
    """Nobody was told that it had been written; the next one gets its number."""
    torn = read_lines(LINES[:cut])
    assert torn.lost == 0
    assert torn.following == len(torn.told)
    again = LINES[:cut] + b"\n" + sealed_line(torn.following, {"x": "next"}).encode()
    read = read_lines(again)
    assert (len(read.told), read.lost) == (len(torn.told) + 1, 0)


def test_a_line_that_has_gone_is_missed() -> None:
    lines = LINES.splitlines(keepends=True)
    read = read_lines(b"".join(lines[:1] + lines[2:]))
    assert (len(read.told), read.lost, read.damaged) == (3, 1, ())


def test_a_line_written_twice_is_read_once() -> None:
    """As after a write that failed and had succeeded."""
    lines = LINES.splitlines(keepends=True)
    read = read_lines(b"".join([*lines, lines[3]]))
    assert (len(read.told), read.lost) == (4, 0)


def test_lines_of_two_writers_are_all_read() -> None:
    """Where a file system knows no locks, both may have given the same number."""
    other = "".join(sealed_line(number, {"y": number}) for number in range(3)).encode()
    read = read_lines(LINES + other)
    assert (len(read.told), read.lost) == (7, 0)


def test_lines_from_before_there_were_seals_are_read() -> None:
    old = b'{"order": [0], "epochs": []}\n{"failure": {}}\n{"torn": '
    read = read_lines(old + b"\n" + LINES)
    assert (len(read.told), read.lost, read.damaged) == (6, 0, ())
