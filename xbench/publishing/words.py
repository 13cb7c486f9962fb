"""What is said of runs that were handed on, on lines of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from xbench.publishing.rows import Published
from xbench.publishing.series import left_out_text
from xbench.report.text import clean, shorten

WIDTH = 80
_LONGEST_NAME = 60


def told_text(runs: Sequence[Published], where: Sequence[str], hint: str = "") -> str:
    """Return where each run stands now, and every row that has no speed there, with the reason.

    Args:
        runs: All that were handed on.
        where: For each run, what was done with it.
        hint: A command that shows it.
    """
    lines = list(_lines(runs, where))
    if hint:
        lines += ["", f"Look at it with: {hint}"]
    return "\n".join(lines) + "\n"


def _lines(runs: Sequence[Published], where: Sequence[str]) -> Iterator[str]:
    for run, done in zip(runs, where, strict=True):
        count = len(run.told)
        rows = f"{count} row{'' if count == 1 else 's'} with a speed"
        yield from _wrapped(f"{shorten(run.run_id, _LONGEST_NAME)}: {rows}, {clean(done)}")
    if missing := left_out_text(runs):
        yield f"Without a speed: {missing} rows"
        for run in runs:
            for row in run.left_out:
                name = shorten(row.label, _LONGEST_NAME)
                yield from _wrapped(f"{name}: {row.no_speed}", "  ")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )
