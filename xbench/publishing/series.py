"""Rows as series over time: one name each, the same from run to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from xbench.errors import UsageError
from xbench.publishing.rows import Published, Row


def told_rows(runs: Sequence[Published]) -> Iterator[tuple[Published, Row]]:
    """Yield the rows of all runs that have a speed to tell.

    Raises:
        UsageError: If two rows have one name: a series has one value at a time.
    """
    rows = [(run, row) for run in runs for row in run.told]
    names = Counter(row.name for _, row in rows)
    for name, count in names.items():
        if count > 1:
            what = (
                f"{count} rows have the name {name[:200]!r}, and a series has one value at a time"
            )
            raise UsageError(what, "Publish each run by itself")
    yield from rows


def left_out_text(runs: Sequence[Published]) -> str:
    """Return how many rows of the runs are left out, such as ``2 of 7``; empty for none."""
    missing, every = (
        sum(len(rows) for rows in of)
        for of in zip(*((r.left_out, r.rows) for r in runs), strict=True)
    )
    return f"{missing} of {every}" if missing else ""
