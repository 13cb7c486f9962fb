"""Configurations whose speed is known, measured with noise in time that costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp

import numpy as np

from xbench.result import Parity
from xbench.tuning.evidence import Evidence
from xbench.tuning.goal import Goal
from xbench.tuning.space import Configuration, Space

AGREES = Parity("agrees", reference="simulated")
START_S = 1.5
EPOCH_S = 0.05
FEWEST = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How long an inference takes: a fixed part, and a part for each sample.

    Attributes:
        fixed_ms: Whatever the batch.
        each_ms: For a sample, on one thread.
        scaling: Twice the threads divide the part of the samples by two to this power.
        sync_ms: What each thread beyond the first adds.
        cache: Samples beyond which each costs a third more; None for no such batch.
    """

    fixed_ms: float
    each_ms: float
    scaling: float = 0.8
    sync_ms: float = 0.0
    cache: int | None = None
    mb: float = 100.0
    mb_each: float = 5.0

    def latency_ns(self, one: Configuration) -> float:
        """Return the true latency."""
        beyond = max(0, one.size - self.cache) if self.cache else 0
        samples = one.size + beyond / 3
        crowd = float(one.streams**0.1)  # streams take a little from each other
        work_ms = self.each_ms * samples / float(one.threads**self.scaling)
        fixed_ms = self.fixed_ms + self.sync_ms * (one.threads - 1)
        return 1e6 * crowd * (fixed_ms + work_ms)

    def memory_bytes(self, one: Configuration) -> int:
        """Return what it holds at its peak."""
        return round(1e6 * (self.mb + self.mb_each * one.size * one.streams))


@dataclass
class Simulation:
    """A `Bench` that makes up what it measures.

    Attributes:
        noise: Standard deviation of a round, as a share; the machine's own change comes on top,
            which all of a round share.
        launch_noise: The same of a launch.
        wrong: Backends whose outputs disagree.
        refused: Why configurations fail when they are started.
        spent: Simulated seconds.
    """

    space: Space
    goal: Goal
    runtimes: Mapping[str, Runtime]
    seed: int = 0
    noise: float = 0.01
    launch_noise: float = 0.003
    tail: float = 1.0
    wrong: frozenset[str] = frozenset()
    refused: Callable[[Configuration], tuple[str, str] | None] = lambda _: None
    spent: float = 0.0
    starts: int = 0
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.evidence = Evidence(self.space, self.goal)
        self._rng = np.random.default_rng(self.seed)
        self._launch = self._number = 0
        self._alive: dict[int, float] = {}

    def true(self, id_: int) -> float:
        """Return the true throughput, or speed, of a configuration."""
        one = self.space.configurations[id_]
        latency = self.runtimes[one.backend].latency_ns(one)
        return exp(self.goal.worth(one, [latency]))

    def fits(self, id_: int) -> bool:
        """Return whether a configuration keeps all limits, in truth."""
        one = self.space.configurations[id_]
        runtime = self.runtimes[one.backend]
        goal = self.goal
        slow = goal.slo and self._slow(runtime.latency_ns(one)) > goal.slo.limit_s * 1e9
        large = goal.memory_bytes and runtime.memory_bytes(one) > goal.memory_bytes
        return not (slow or large or one.backend in self.wrong or self.refused(one))

    def best(self) -> float:
        """Return the true throughput of the best that keeps all limits; 0 where none does."""
        ids = [one.id for one in self.space.configurations if self.fits(one.id)]
        return max((self.true(id_) for id_ in ids), default=0.0)

    def look(self, ids: Sequence[int], beside: int | None, enough: Callable[[int], bool]) -> None:
        self.steps.append("look")
        self._alive = {id_: held for id_, held in self._alive.items() if id_ == beside}
        if beside is not None and beside not in self._alive:
            self._start(beside, 4)
        for id_ in ids:
            self._start(id_, 4)
        rounds = 0
        while self._alive.keys() & set(ids) and not enough(rounds):
            self._round(0)
            rounds += 1

    def check(self, ids: Sequence[int]) -> None:
        self.steps.append("check")
        self._alive = {}
        for id_ in ids:
            wrong = self.space.configurations[id_].backend in self.wrong
            parity = Parity("disagrees", reason="off by a half") if wrong else AGREES
            self.evidence.of(id_).parity = parity

    def final(self, ids: Sequence[int], rounds: int) -> None:
        self.steps.append("final")
        self._alive, self._launch = {}, self._launch + 1
        for id_ in ids:
            self._start(id_, 12)
            self.evidence.of(id_).finals += 1
        for _ in range(rounds):
            self._round(self._launch)
        self._alive = {}

    def prove(self, id_: int, inferences: int) -> None:
        self.steps.append("prove")
        self._alive, self._launch = {}, self._launch + 1
        self.evidence.of(id_).proofs += 1
        self._start(id_, 12)
        before = len(self.evidence.latencies_ns(id_))
        while self._alive and len(self.evidence.latencies_ns(id_)) - before < inferences:
            self._round(self._launch)
        self._alive = {}

    def spent_s(self) -> float:
        return self.spent

    def winner_is_within(self, share: float, winner: int) -> bool:
        """Return whether a winner's true worth is that close to the best."""
        return self.true(winner) >= (1 - share) * self.best()

    def _slow(self, latency_ns: float) -> float:
        """Return the p99 of latencies around a median: they are lognormal within a round."""
        return latency_ns * exp(2.326 * 0.01 * self.tail)

    def _start(self, id_: int, runs: int) -> None:
        one = self.space.configurations[id_]
        seen = self.evidence.of(id_)
        self.starts += 1
        self.spent += START_S
        if failure := self.refused(one):
            seen.failure = failure
            return
        runtime = self.runtimes[one.backend]
        seen.memory_bytes = runtime.memory_bytes(one)
        self._alive[id_] = exp(self._rng.normal(0, self.launch_noise))
        self.spent += runs * runtime.latency_ns(one) / 1e9

    def _round(self, launch: int) -> None:
        if not self._alive:
            return
        machine = exp(self._rng.normal(0, 0.05))
        taken: dict[int, list[int]] = {}
        for id_, held in self._alive.items():
            one = self.space.configurations[id_]
            own = self.runtimes[one.backend].latency_ns(one) * held
            count = max(2, round(EPOCH_S * 1e9 / own), min(FEWEST, round(0.15 * 1e9 / own)))
            centre = own * exp(self._rng.normal(0, self.noise))
            spread = np.exp(self._rng.normal(0, 0.01 * self.tail, count))
            shared = 1.0 if self.goal.slo else machine  # a limit on latency needs a steady machine
            taken[id_] = [round(shared * centre * float(one_of)) for one_of in spread]
            self.spent += sum(taken[id_]) / 1e9
        self.evidence.add((launch, self._number), taken)
        self._number += 1
