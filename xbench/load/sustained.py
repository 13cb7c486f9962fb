"""What becomes of the speed in minutes of load: a curve, and whether it ends as it began.

Devices without a fan run fast until they are warm. What a comparison of seconds ranks first may be
second after ten minutes, so start and end are two answers, each with its interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xbench.launches import launch_interval
from xbench.result import Interval, Verdict
from xbench.stats import verdict

POINTS = 60
PART = 0.1  # of the time: the start, and the end
FEWEST = 20  # points; fewer tell no start from an end
MARGIN = 0.03  # a smaller change is none: the clock of an idle machine wanders as much

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """The inferences of one stretch of time."""

    at_s: float
    p50_ns: float
    inferences: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Latency over time.

    Attributes:
        points: In order of time, each by the middle of its stretch.
        start_ns: The p50 of the first tenth of the time.
        end_ns: The p50 of the last tenth.
        speed: Speed at the end over speed at the start: below 1, it has become slower.
        verdict: What of the end is sure: ``faster``, ``slower``, ``tie`` or ``undetermined``.
        shape: Of a change: ``step`` (at once, as a device that throttles) or ``drift``.
        changed_at_s: When it changed, where it is a step.
    """

    points: tuple[Point, ...]
    start_ns: Interval
    end_ns: Interval
    speed: Interval
    verdict: Verdict
    shape: str | None = None
    changed_at_s: float | None = None


def curve(ends_s: ArrayLike, latencies_ns: ArrayLike) -> Curve:
    """Return how latency changed over time.

    Args:
        ends_s: When each inference ended, in seconds from the start, in order.
        latencies_ns: What each took.

    Raises:
        ValueError: With fewer than twenty stretches of time in which an inference ended.
    """
    points = _points(np.asarray(ends_s, np.float64), np.asarray(latencies_ns, np.float64))
    if len(points) < FEWEST:
        raise ValueError(f"{len(points)} points tell no start from an end: {FEWEST} are needed")
    logs = np.log([point.p50_ns for point in points])
    part = round(PART * len(points))
    start, end = (launch_interval([one.tolist()]) for one in (logs[:part], logs[-part:]))
    half = sqrt(sum(((one.high - one.low) / 2) ** 2 for one in (start, end)))
    change = start.value - end.value
    speed = Interval(exp(change), exp(change - half), exp(change + half))
    said = verdict(speed, MARGIN)
    shape, at_s = None, None
    if said in {Verdict.FASTER, Verdict.SLOWER}:
        shape, at_s = _shape(points, logs)
    return Curve(tuple(points), _exp(start), _exp(end), speed, said, shape, at_s)


def _points(ends_s: Numbers, latencies_ns: Numbers) -> list[Point]:
    """Return a point for each stretch of time in which an inference ended."""
    if not len(ends_s) or len(ends_s) != len(latencies_ns):
        raise ValueError("a curve needs a latency for each end, and at least one")
    length_s = float(ends_s[-1]) / POINTS
    places = np.minimum(POINTS - 1, (ends_s / max(length_s, 1e-9)).astype(np.intp))
    found = []
    for place in np.unique(places):
        own = latencies_ns[places == place]
        found.append(Point((int(place) + 0.5) * length_s, float(np.median(own)), len(own)))
    return found


def _shape(points: list[Point], logs: Numbers) -> tuple[str, float | None]:
    """Return whether a step or a straight line fits better, and when the step was.

    By least squares; each has two levels, and the step a place of its own, for which it must fit
    better by a tenth.
    """
    at_s = np.asarray([point.at_s for point in points])
    line = np.polynomial.Polynomial.fit(at_s, logs, 1)
    off_line = float(((logs - line(at_s)) ** 2).sum())
    splits = range(2, len(points) - 1)
    off = [
        sum(float(((one - one.mean()) ** 2).sum()) for one in np.split(logs, [k])) for k in splits
    ]
    best = int(np.argmin(off))
    if off[best] >= 0.9 * off_line:
        return "drift", None
    place = splits[best]
    return "step", float((at_s[place - 1] + at_s[place]) / 2)


def _exp(interval: Interval) -> Interval:
    return Interval(exp(interval.value), exp(interval.low), exp(interval.high))
