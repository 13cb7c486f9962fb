"""What the kernel's files say of a process is read as it stands, whatever stands beside it."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from xbench.telemetry.usage import Usage, read_usage, reset_peak, sizes, usage

KIBS = st.integers(0, 2**40)
NAMES = st.from_regex(r"[A-Z][A-Za-z_]{0,20}", fullmatch=True)
STATUS = {"VmHWM": 900, "VmRSS": 700, "RssAnon": 400, "RssFile": 250, "RssShmem": 50, "VmSwap": 3}
ROLLUP = {
    "Rss": 720,
    "Pss": 500,
    "Private_Clean": 10,
    "Private_Dirty": 390,
    "Anonymous": 410,
    "Swap": 4,
}
HEADER = "5607b9420000-7ffc928a9000 ---p 00000000 00:00 0                          [rollup]\n"


def written(found: dict[str, int]) -> str:
    return "".join(f"{name}: {kib:12d} kB\n" for name, kib in found.items())


@given(st.dictionaries(NAMES, KIBS))
def test_sizes_come_back_in_bytes(found: dict[str, int]) -> None:
    text = HEADER + "Name:\tVmHWM: 1 kB x\nThreads:\t7\n" + written(found)
    assert sizes(text) == {name: 1024 * kib for name, kib in found.items()}


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = usage(sizes(text), sizes(text))
    assert all(size is None or size >= 0 for size in (found.peak, found.rss, found.file))


def test_the_page_tables_own_sums_are_preferred() -> None:
    assert usage(STATUS, ROLLUP) == Usage(900, 720, 500, 400, 410, 310, 4)


def test_without_them_the_counters_stand_in_and_the_rest_is_unknown() -> None:
    assert usage(STATUS, {}) == Usage(900, 700, None, None, 400, 300, 3)


def test_a_peak_is_never_below_what_is_held_and_never_made_up() -> None:
    assert usage({"VmHWM": 700}, ROLLUP).peak == 720
    assert usage({"VmRSS": 700}, ROLLUP).peak is None
    assert usage({}, {}) == Usage()


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    assert read_usage(tmp_path / "no-such-process") == Usage()
    assert reset_peak(tmp_path / "no-such-process") == "No such file or directory"


def test_this_process_has_more_resident_than_private_and_less_than_its_peak() -> None:
    found = read_usage(Path(f"/proc/{os.getpid()}"))
    assert found.rss
    assert found.private
    assert found.peak
    assert 0 < found.private <= found.rss <= found.peak
