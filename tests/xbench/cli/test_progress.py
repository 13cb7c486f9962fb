"""Progress: a line that changes in place for people, plain lines for logs."""

from __future__ import annotations

import os
import pty
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from xbench.cli.progress import Lines, LiveLine, standing_text, watched
from xbench.progress import Silent, Standing
from xbench.result import Interval

if TYPE_CHECKING:
    import pytest

RATIOS = (("openvino", Interval(1.19, 1.17, 1.21)), ("pytorch", None))


def standing() -> Standing:
    return Standing(launch=2, launches=5, round=14, ratios=RATIOS, elapsed_s=28.0, remaining_s=72.0)


def test_a_standing_tells_place_ratios_and_time_left() -> None:
    assert standing_text(standing(), 100) == (
        "launch 2/5, round 14 | openvino 1.19 [1.17, 1.21] | pytorch ? | at most 1 min 12 s left"
    )


def test_intervals_go_before_names_and_names_before_the_time() -> None:
    assert standing_text(standing(), 79) == (
        "launch 2/5, round 14 | openvino 1.19 | pytorch ? | at most 1 min 12 s left"
    )
    assert standing_text(standing(), 50) == "launch 2/5, round 14 | at most 1 min 12 s left"


def live(columns: int = 80) -> tuple[list[str], list[float], LiveLine]:
    written: list[str] = []
    now = [100.0]
    return written, now, LiveLine(written.append, lambda: columns, lambda: now[0])


def test_the_line_is_drawn_at_most_once_a_second() -> None:
    written, now, line = live()
    for _ in range(50):
        now[0] += 0.1
        line.standing(standing())
    assert 4 <= len(written) <= 6


def test_a_phase_is_drawn_at_once() -> None:
    written, _, line = live()
    line.standing(standing())
    line.phase("launch 3 of 5: loading openvino")
    assert written[-1] == "\r\x1b[2Klaunch 3 of 5: loading openvino"


def test_a_note_stands_above_the_line() -> None:
    written, _, line = live()
    line.phase("measuring")
    line.note("pytorch: crashed at load: \x1b[2Jboo.")
    assert written[-1] == "\r\x1b[2Kpytorch: crashed at load: boo.\nmeasuring"


@given(st.text(max_size=200), st.integers(1, 120))
def test_the_line_never_wraps(text: str, columns: int) -> None:
    """A wrapped line could not be cleared, and would scroll the terminal away."""
    written, _, line = live(columns)
    line.phase(text)
    assert cell_len(written[-1].removeprefix("\r\x1b[2K")) < columns


def test_a_log_gets_a_line_a_phase_and_no_control() -> None:
    out = StringIO()
    with watched(stream=out) as progress:
        progress.phase("launch 1 of 5: loading onnxruntime")
        progress.phase("launch 1 of 5: loading onnxruntime")
        progress.standing(standing())
        progress.note("pytorch: unavailable")
    assert isinstance(progress, Lines)
    assert out.getvalue() == "launch 1 of 5: loading onnxruntime\npytorch: unavailable\n"


def test_quiet_says_nothing() -> None:
    out = StringIO()
    with watched(quiet=True, stream=out) as progress:
        progress.note("hello")
    assert isinstance(progress, Silent)
    assert out.getvalue() == ""


def everything(master: int) -> bytes:
    """Return what was written to a terminal whose other end is closed."""
    found = b""
    with suppress(OSError):  # which is how Linux tells that there is no more
        while chunk := os.read(master, 1000):
            found += chunk
    return found


def test_a_terminal_gets_a_live_line_and_is_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream, watched(stream=stream) as progress:
        progress.phase("measuring")
    assert isinstance(progress, LiveLine)
    assert everything(master) == b"\r\x1b[2Kmeasuring\r\x1b[2K"
    os.close(master)


def test_a_reader_that_left_does_not_end_the_run(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, watched(stream=stream) as progress:
        progress.phase("measuring")
        progress.note("still here")
