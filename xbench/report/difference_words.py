"""A difference in sentences: the verdict first, then what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import expm1
from statistics import median

from xbench.difference.answer import Difference
from xbench.difference.judge import ASSUMED_OWN, ASSUMED_RAW, FEWEST_ROWS, Judged
from xbench.report.numbers import inverse
from xbench.report.text import clean, listed
from xbench.result import Verdict
from xbench.units import format_share

_MOST_NAMED = 5
_ENOUGH_RUNS = 6  # after which the assumption hardly weighs
_WORDS = {
    Verdict.SLOWER: "slower",
    Verdict.FASTER: "faster",
    Verdict.TIE: "as good as equal",
    Verdict.UNDETERMINED: "undetermined",
}


def sentences(found: Difference) -> tuple[str, ...]:
    """Return what may be said, the most important first."""
    if found.forbidding:
        return (_forbidden(found),)
    if not found.rows:
        return (*_alarmed(found), _nothing(found))
    return (_verdict(found), *_together(found), *_blind(found))


def closing(found: Difference) -> tuple[str, ...]:
    """Return what the intervals rest on."""
    if not found.rows:
        return ()
    sd = median(row.scatter.sd for row in found.rows)
    kind = "of its own" if found.common else "in all"
    assumed = ASSUMED_OWN if found.common else ASSUMED_RAW
    runs = {0: "no earlier run", 1: "1 earlier run"}.get(found.runs, f"{found.runs} earlier runs")
    parts = [f"{runs} of these rows on this host", f"{format_share(assumed.sd)} that is assumed"]
    if found.common and len(found.rows) >= FEWEST_ROWS:
        parts.append("what the rows do here among themselves")
    every = f" for all {len(found.rows)} rows at once" if len(found.rows) > 1 else ""
    text = (
        f"Between unchanged runs a row moves by {format_share(sd)} {kind} (standard deviation, "
        f"from {listed(parts)}); the intervals hold that, with 95%{every}."
    )
    if found.runs < _ENOUGH_RUNS:
        text += " More unchanged runs in the store make them narrower."
    return (text,)


def _forbidden(found: Difference) -> str:
    words = ",".join(dict.fromkeys(one.allow for one in found.forbidding if one.allow))
    names = listed([one.name for one in found.forbidding])
    return f"Not compared: the runs differ in {clean(names)}. --allow {words} compares them."


def _nothing(found: Difference) -> str:
    if found.refused:
        return "Nothing could be compared: no cell has a figure in both runs that may be."
    return "Nothing could be compared: no row of one run has a partner in the other."


def _alarmed(found: Difference) -> Iterator[str]:
    """Yield the alarms in one sentence, if there are any."""
    if found.alarms:
        told = [_alarm(found, one.row, one.reason) for one in found.alarms[:_MOST_NAMED]]
        more = len(found.alarms) - len(told)
        yield f"Alarm: {'; '.join(told)}{f'; and {more} more' if more else ''}{_total(found)}."


def _total(found: Difference) -> str:
    """Return how many rows have which verdict, in brackets; empty where none was compared."""
    count = Counter(row.verdict for row in found.rows)
    total = ", ".join(f"{count[one]} {word}" for one, word in _WORDS.items() if count[one])
    return f" ({total})" if total else ""


def _verdict(found: Difference) -> str:
    if alarmed := list(_alarmed(found)):
        return alarmed[0]
    worst = [row for row in found.rows if row.alarm]
    if worst:
        told = [f"{_called(found, row)} is {_slower(row)}" for row in worst[:_MOST_NAMED]]
        return f"{'; '.join(told)}{_total(found)}."
    return f"No row was found to be slower by {_percent(found.terms.slower)}{_total(found)}."


def _alarm(found: Difference, name: str, reason: str) -> str:
    rows = [row for row in found.rows if found.names[row.pair.second.key] == name]
    if rows and reason == "slower":
        return f"{clean(name)} is {_slower(rows[0])}"
    return f"{clean(name)}: {clean(reason)}"


def _slower(row: Judged) -> str:
    times = inverse(row.ratio)
    low, high = (format_share(max(0.0, end - 1)) for end in (times.low, times.high))
    return f"slower by {format_share(times.value - 1)} ({low} to {high})"


def _called(found: Difference, row: Judged) -> str:
    return clean(found.names[row.pair.second.key])


def _together(found: Difference) -> Iterator[str]:
    """Yield what all rows did, where it is worth a word."""
    if not found.moved_together or found.common is None:
        return
    share = expm1(abs(found.common.value))
    way = "slower" if found.common.value > 0 else "faster"
    kept = len(found.common.rows)
    what = f"All {kept} rows" if kept == len(found.rows) else f"The {kept} rows taken as reference"
    yield (
        f"{what} moved together, {format_share(share)} {way}: the machine changed, or what they "
        "share. That is taken out of each row; --raw leaves it in."
    )


def _blind(found: Difference) -> Iterator[str]:
    """Yield that these runs cannot show what is looked for, where they cannot."""
    blind = [row for row in found.rows if row.least > found.terms.slower]
    if not blind:
        return
    what = "Runs scatter" if len(blind) == len(found.rows) else f"{len(blind)} rows scatter"
    yield (
        f"{what} too much for a slow-down of {_percent(found.terms.slower)} to be found in 19 of "
        f"20 cases: {format_share(median(row.least for row in blind))} would be. Measure longer, "
        "or several rows together, and keep unchanged runs in the store."
    )


def _percent(share: float) -> str:
    """Return a share as it was asked for, such as ``5%``."""
    return f"{100 * share:.3g}%"
