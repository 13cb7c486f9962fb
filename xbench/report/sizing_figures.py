"""Figures and names of a sizing as they are read."""

from __future__ import annotations

from collections.abc import Sequence

from xbench.report.text import clean
from xbench.report.view import ABSENT
from xbench.sizing.judge import Answer
from xbench.sizing.transfer import Scale
from xbench.sizing.trial import Trial
from xbench.units import format_s


def devices_text(answer: Answer) -> str:
    """Return how many devices, such as ``1``, ``1 to 3`` or ``2 or more``."""
    low, high = answer.devices_least, answer.devices
    if low is None:
        return ABSENT
    if high is None:
        return f"{low:,} or more"
    return f"{high:,}" if low == high else f"{low:,} to {high:,}"


def latency_text(trial: Trial) -> str:
    """Return the demand's percentile as a range, such as ``16 to 65 ms``."""
    if trial.latency_s is None:
        return ABSENT
    digits = 2 if isinstance(trial.scale, Scale) else 3
    return range_text(trial.latency_s.low, trial.latency_s.high, digits)


def range_text(low_s: float, high_s: float, digits: int) -> str:
    """Return a range of seconds in one unit, such as ``16 to 65 ms``."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
    unit, one_s = next((unit for unit in units if high_s >= unit[1]), units[-1])
    low, high = (_figure(bound / one_s, digits) for bound in (low_s, high_s))
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _figure(value: float, digits: int) -> str:
    """Return a number with so many significant digits, never in powers of ten."""
    return f"{float(f'{value:.{digits}g}'):.12g}"


def names_text(names: Sequence[str], family: str) -> str:
    """Return the names of sizes that share a line, such as ``rpi5-2gb, -4gb, -8gb``."""
    first, *others = map(clean, names)
    start = f"{clean(family)}-"
    short = [f"-{one.removeprefix(start)}" if one.startswith(start) else one for one in others]
    return ", ".join([first, *short])


def plural(text: str, count: int) -> str:
    """Return a text about so many, with its verb as English has it."""
    one = count == 1
    return text.format(
        count,
        s="s" if one else "",
        es="es" if one else "",
        **{"is": "is" if one else "are"},
    )


def left_text(share: float | None) -> str:
    """Return what is left of a limit, such as ``45% left``; nothing where it is not known."""
    return "" if share is None else f"{percent_text(share)} left"


def percent_text(share: float) -> str:
    """Return a share in whole per cent, rounded down: headroom is never said to be more."""
    return f"{int(share * 100 // 1)}%"


def size_text(size_bytes: float) -> str:
    """Return a size in MiB, without the unit."""
    return f"{size_bytes / 2**20:,.0f}"


def threads_text(count: int) -> str:
    """Return ``1 thread`` or ``4 threads``."""
    return "1 thread" if count == 1 else f"{count} threads"


def limit_text(limit_s: float) -> str:
    """Return a limit as the command line takes it, such as ``50ms``."""
    return format_s(limit_s).replace(" ", "")
