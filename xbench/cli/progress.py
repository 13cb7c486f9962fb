"""What a run tells while it runs, on stderr: one live line, or plain lines where nobody looks.

It is drawn only when the run tells something, by the thread that runs: a thread that
refreshes would take time from what is measured.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, TextIO
from unicodedata import east_asian_width

from xbench.progress import Progress, Silent, Standing
from xbench.report.numbers import ratio_text
from xbench.report.text import clean
from xbench.units import format_s

if TYPE_CHECKING:
    from xbench.result import Interval

_REDRAW_S = 1.0
_CLEAR = "\r\x1b[2K"


@contextmanager
def watched(*, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Progress]:
    """Yield the progress that fits the stream; nothing of a live line is left at the end."""
    stream = stream or sys.stderr
    if quiet:
        yield Silent()
    elif not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield Lines(_writer(stream))
    else:
        live = LiveLine(_writer(stream), lambda: shutil.get_terminal_size((80, 24)).columns)
        try:
            yield live
        finally:
            live.clear()


class Lines:
    """A line at each change of phase, for logs."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._said = ""

    def phase(self, text: str) -> None:
        """Write the phase, if it is another one."""
        if text != self._said:
            self._said = text
            self._write(f"{clean(text)}\n")

    def standing(self, standing: Standing) -> None:
        """Write nothing: a log wants no line a second."""

    def note(self, text: str) -> None:
        """Write the note."""
        self._write(f"{clean(text)}\n")


class LiveLine:
    """One line that changes in place, at most once a second; notes scroll by above it."""

    def __init__(
        self,
        write: Callable[[str], None],
        columns: Callable[[], int],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._write = write
        self._columns = columns
        self._clock = clock
        self._line = ""
        self._drawn_s = -_REDRAW_S

    def phase(self, text: str) -> None:
        """Show the phase at once: it may be long."""
        self._draw(clean(text))

    def standing(self, standing: Standing) -> None:
        """Show where the run stands, unless the line has just been drawn."""
        if self._clock() - self._drawn_s >= _REDRAW_S:
            self._draw(standing_text(standing, self._columns() - 1))

    def note(self, text: str) -> None:
        """Write the note above the line."""
        self._write(f"{_CLEAR}{clean(text)}\n{self._line}")

    def clear(self) -> None:
        """Take the line away."""
        self._line = ""
        self._write(_CLEAR)

    def _draw(self, line: str) -> None:
        self._line = _cut(line, self._columns() - 1)
        self._drawn_s = self._clock()
        self._write(f"{_CLEAR}{self._line}")


def standing_text(standing: Standing, most: int) -> str:
    """Return where a run stands in ``most`` characters: intervals are left out before names."""
    start = f"launch {standing.launch}/{standing.launches}, round {standing.round}"
    end = f"at most {format_s(max(standing.remaining_s, 0.001))} left"
    ways = (_with_interval, _without_interval)
    lines = [" | ".join([start, *(way(*one) for one in standing.ratios), end]) for way in ways]
    return next((line for line in lines if _columns_of(line) <= most), f"{start} | {end}")


def _with_interval(label: str, ratio: Interval | None) -> str:
    return f"{clean(label)} {ratio_text(ratio) if ratio else '?'}"


def _without_interval(label: str, ratio: Interval | None) -> str:
    return f"{clean(label)} {ratio_text(ratio).partition(' ')[0] if ratio else '?'}"


def _cut(line: str, most: int) -> str:
    """Return the start of a line that fits: one that wraps could not be cleared."""
    if _columns_of(line) <= most:
        return line
    while line and _columns_of(line) > most - 1:
        line = line[:-1]
    return f"{line}…" if most > 0 else ""


def _columns_of(line: str) -> int:
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in line)


def _writer(stream: TextIO) -> Callable[[str], None]:
    """Return what writes to a stream, also from a signal handler that broke into a write."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # a stream in memory has none
        return lambda text: (stream.write(text), None)[1]

    def write(text: str) -> None:
        with suppress(OSError):  # whoever watched has left; what is measured is worth more
            os.write(descriptor, text.encode(stream.encoding or "utf-8", "replace"))

    return write
