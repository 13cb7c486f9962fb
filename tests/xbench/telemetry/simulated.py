"""Simulated time, and a device whose energy is known because the simulation spends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil, inf, pi, sin
from typing import Protocol

from xbench.telemetry.passage import Poll

STEP_S = 0.02  # for which the power is steady
READ_S = 20e-6  # what looking at the clock takes: time passes also while one reads


class World(Protocol):
    """Something that time passes for."""

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        ...


class SimulatedPassage:
    """A clock that moves when somebody sleeps or looks at it; polls run when they are due."""

    def __init__(self, *worlds: World) -> None:
        self.worlds = worlds
        self.at_s = 1000.0
        self.poll: Poll | None = None
        self.due_s = inf

    def now(self) -> float:
        self._advance(READ_S)
        return self.at_s

    def sleep(self, seconds: float) -> None:
        until_s = self.at_s + seconds
        while self.at_s < until_s:
            if self.poll and self.due_s <= self.at_s:
                wait_s = self.poll()
                self.due_s = self.at_s + wait_s
            self._advance(min(until_s, max(self.due_s, self.at_s + 1e-6)) - self.at_s)

    @contextmanager
    def beside(self, poll: Poll) -> Iterator[None]:
        self.poll, self.due_s = poll, self.at_s
        yield
        self.poll, self.due_s = None, inf

    def _advance(self, seconds: float) -> None:
        if seconds > 0:
            self.at_s += seconds
            for world in self.worlds:
                world.advance(seconds)


class Model:
    """Runs inferences in simulated time; what they spent is asked of the device."""

    def __init__(
        self,
        passage: SimulatedPassage,
        power: Callable[[float], None],
        spent_j: Callable[[], float],
        *,
        load_w: float = 300.0,
        idle_w: float = 60.0,
        latency_s: float = 0.01,
    ) -> None:
        self.passage, self.power, self.total_j = passage, power, spent_j
        self.load_w, self.idle_w, self.latency_s = load_w, idle_w, latency_s
        self.spent_j: list[float] = []
        self.counts: list[int] = []
        self.events: dict[int, Callable[[], object]] = {}  # by the number of the call
        self.power(idle_w)

    def run_for(self, seconds: float) -> int:
        """Run inferences; the draw swings by 15 % as kernels come and go."""
        event = self.events.get(len(self.counts))
        before_j, end_s, count = self.total_j(), self.passage.at_s + seconds, 0
        while self.passage.at_s < end_s:
            steps = ceil(self.latency_s / STEP_S)
            for _ in range(steps):
                self.power(self.load_w * (1 + 0.15 * sin(2 * pi * 7.3 * self.passage.at_s)))
                self.passage.sleep(self.latency_s / steps)
            count += 1
            if event and self.passage.at_s > end_s - seconds / 2:
                event()
                event = None
        self.power(self.idle_w)
        self.spent_j.append(self.total_j() - before_j)
        self.counts.append(count)
        return count

    @property
    def truth_j(self) -> float:
        """Return the joules of an inference as the simulation spent them, the probe's apart."""
        return sum(self.spent_j[1:]) / sum(self.counts[1:])


def close(value: float, truth: float, share: float = 0.01) -> bool:
    return abs(value / truth - 1) <= share
