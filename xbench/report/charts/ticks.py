"""Where a logarithmic axis has its lines: round numbers, as many as have room for their labels."""

from __future__ import annotations

import math
from itertools import pairwise

ROOM_PX = 46  # from one label to the next, on a horizontal axis
HEIGHT_PX = 26  # and on a vertical one
_WITHIN_A_DECADE = (
    (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
    (1.0, 3.0),
    (1.0,),
)
_STEPS = (1.0, 2.0, 5.0)
NARROW = 1.6  # ends closer than this, as a ratio: steps are of equal width


def padded(low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    """Return bounds of a logarithmic axis that leave some room around what it shows."""
    low, high = max(low, 1e-300), max(high, low, 1e-300)
    more = max(1.02, (high / low) ** share)
    return low / more, high * more


def log_ticks(low: float, high: float, length_px: float, room_px: float = ROOM_PX) -> list[float]:
    """Return round numbers between two ends, none closer to the next than its label needs.

    Args:
        low: The lower end, above 0.
        high: The upper end.
        length_px: Of the axis.
        room_px: From one label to the next.
    """
    span = math.log(high / low)
    for ticks in (*_equal_steps(low, high), *_decades(low, high)):
        gaps = [math.log(after / before) / span * length_px for before, after in pairwise(ticks)]
        if len(ticks) > 1 and min(gaps) >= room_px:
            return ticks
    return [_rounded(math.sqrt(low * high))]


def _equal_steps(low: float, high: float) -> list[list[float]]:
    """Return ticks of equal steps, the closest first; none where the ends lie far apart."""
    if high / low > NARROW:
        return []
    power = math.floor(math.log10((high - low) / 20))
    steps = (step * 10.0**at for at in (power, power + 1, power + 2) for step in _STEPS)
    return [
        [_rounded(step * n) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
        for step in steps
    ]


def _decades(low: float, high: float) -> list[list[float]]:
    """Return ticks within each power of ten, the closest first; then fewer than one a power."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found = []
    for within in _WITHIN_A_DECADE:
        every = (_rounded(one * 10.0**at) for at in range(first, last + 1) for one in within)
        found.append([tick for tick in every if low <= tick <= high])
    for skip in (2, 3, 5, 10, 20, 50):
        powers = (10.0**at for at in range(first - first % skip, last + 1, skip))
        found.append([tick for tick in powers if low <= tick <= high])
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")
