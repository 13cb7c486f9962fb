"""Which of two figures is lower, and who is on the front: overlapping intervals are a tie.

One figure is lower than another only where its whole interval is. An option leaves the front only
to one that is lower in one respect, and at its worst no higher in any: that order has no circles
(the worst ends cannot all fall forever), so a front is never empty.
"""

from __future__ import annotations

from collections.abc import Sequence

from xbench.result import Interval


def lower(first: Interval, second: Interval) -> bool:
    """Return whether ``first`` is lower wherever both lie within their intervals."""
    return first.high < second.low


def tied(first: Interval, second: Interval) -> bool:
    """Return whether the intervals overlap, so that neither is known to be lower."""
    return not lower(first, second) and not lower(second, first)


def beats(first: Sequence[Interval], second: Sequence[Interval]) -> bool:
    """Return whether ``first`` is lower in some respect, and its worst end no higher in any."""
    pairs = list(zip(first, second, strict=True))
    return any(lower(a, b) for a, b in pairs) and all(a.high <= b.high for a, b in pairs)


def front(options: Sequence[Sequence[Interval]]) -> tuple[bool, ...]:
    """Return for each option whether no other beats it. Lower is better in every respect."""
    return tuple(not any(beats(other, one) for other in options) for one in options)


def cheapest(costs: Sequence[Interval]) -> tuple[int, ...]:
    """Return the places of the option of lowest cost and, after it, of all that tie with it."""
    if not costs:
        return ()
    best = min(range(len(costs)), key=lambda place: costs[place].value)
    others = [i for i in range(len(costs)) if i != best and tied(costs[i], costs[best])]
    return (best, *sorted(others, key=lambda place: costs[place].value))
