"""What was measured of each configuration, and how two of them compare.

Two that took turns in the same rounds compare by the ratio within each round. Others compare over
those that both met: the one that was best so far takes part in every round, and links them. Those
that nothing links compare by what each reached.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from math import sqrt

from xbench.launches import launch_interval
from xbench.result import Interval, Parity
from xbench.rounds import Round
from xbench.tuning.goal import Goal
from xbench.tuning.space import Space

FEWEST_QUIET = 3
FEWEST_COMMON = 2
FEWEST_LAUNCHES = 3
LAUNCH_SD = 0.015  # by which the median of a launch may differ from the next one's, as a share


@dataclass(slots=True)
class Seen:
    """What is known of one configuration.

    Attributes:
        latencies_ns: Of each round that it took part in.
        memory_bytes: The most that a worker held at its peak, over its launches.
        failure: Why it stopped: a value of `xbench.result.Status`, and the reason.
        parity: Whether its outputs agree with the reference; None before they were compared.
        broken: Why its caps did not hold, or None.
        finals: How many launches of its own it had at full effort.
        proofs: How often it ran by itself to prove its limit on latency.
    """

    latencies_ns: dict[Round, tuple[int, ...]] = field(default_factory=dict)
    memory_bytes: int | None = None
    failure: tuple[str, str] | None = None
    parity: Parity | None = None
    broken: str | None = None
    finals: int = 0
    proofs: int = 0

    @property
    def measured(self) -> bool:
        """Return whether it got through a round."""
        return bool(self.latencies_ns)

    @property
    def launches(self) -> int:
        """Return how many launches it was measured in."""
        return len({launch for launch, _ in self.latencies_ns})


@dataclass(frozen=True, slots=True)
class Gap:
    """How much better one configuration is than another: logarithms of ratios.

    Attributes:
        rounds: As the rounds alone tell, whichever launch they are of; 95 %.
        launches: As launches tell, which are the replicate; None unless both met in two.
        count: In how many launches they met; over others, in the fewest on the way.
    """

    rounds: Interval
    launches: Interval | None
    count: int

    @property
    def value(self) -> float:
        """Return the estimate."""
        return self.interval.value

    @property
    def interval(self) -> Interval:
        """Return what launches tell, where there are three.

        Before, it is what rounds tell, with room for what launches of one configuration may differ
        by: two standard errors.
        """
        if self.launches is not None and self.count >= FEWEST_LAUNCHES:
            return self.launches
        room = 2 * sqrt(2 / max(1, self.count)) * LAUNCH_SD
        return Interval(self.rounds.value, self.rounds.low - room, self.rounds.high + room)


SAME = Gap(Interval(0.0, 0.0, 0.0), Interval(0.0, 0.0, 0.0), FEWEST_LAUNCHES)


class Evidence:
    """What is known of all configurations; grows while they are measured.

    Attributes:
        seen: By id; those that were never started are not in it.
    """

    def __init__(self, space: Space, goal: Goal) -> None:
        self.seen: dict[int, Seen] = {}
        self._undisturbed: frozenset[Round] | None = None
        self._of = {one.id: one for one in space.configurations}
        self._goal = goal
        self._worth: dict[int, dict[Round, float]] = {}
        self._met: dict[int, set[int]] = {}
        self._at: dict[Round, set[int]] = {}
        self._found: dict[tuple[int, int], Gap] = {}

    @property
    def quiet(self) -> frozenset[Round] | None:
        """Return the rounds in which the machine was undisturbed; None where nothing tells."""
        return self._undisturbed

    @quiet.setter
    def quiet(self, rounds: frozenset[Round] | None) -> None:
        if rounds != self._undisturbed:
            self._undisturbed = rounds
            self._found.clear()

    def of(self, id_: int) -> Seen:
        """Return what is known of a configuration, which counts as started from now on."""
        return self.seen.setdefault(id_, Seen())

    def add(self, round_: Round, latencies_ns: Mapping[int, Sequence[int]]) -> None:
        """Take a round: by id, the latency of each inference, in nanoseconds."""
        here = self._at.setdefault(round_, set())
        for id_, taken in latencies_ns.items():
            self.of(id_).latencies_ns[round_] = tuple(taken)
            self._worth.setdefault(id_, {})[round_] = self._goal.worth(self._of[id_], taken)
        here |= latencies_ns.keys()
        self._found = {key: gap for key, gap in self._found.items() if here.isdisjoint(key)}
        for id_ in here:
            self._met.setdefault(id_, set()).update(here - {id_})

    def latencies_ns(self, id_: int) -> list[int]:
        """Return the latencies of a configuration in quiet rounds, or in all where too few were."""
        rounds = self.of(id_).latencies_ns
        return [one for key in self._quiet(rounds) for one in rounds[key]]

    def by_round(self, id_: int) -> list[tuple[int, ...]]:
        """Return the same, a tuple a round."""
        rounds = self.of(id_).latencies_ns
        return [rounds[key] for key in self._quiet(rounds)]

    def gap(self, of: int, over: int) -> Gap | None:
        """Return how much better ``of`` is than ``over``; None where one was not measured."""
        if not (self._worth.get(of) and self._worth.get(over)):
            return None
        path = self._path(over, of)
        if path is None:
            return self._apart(of, over)
        steps = [self._direct(b, a) for a, b in pairwise(path)]
        if not steps:
            return SAME
        if len(steps) == 1:
            return steps[0]
        return Gap(_sum([one.rounds for one in steps]), None, min(one.count for one in steps))

    def _direct(self, of: int, over: int) -> Gap:
        if (of, over) not in self._found:
            self._found[of, over] = self._compared(of, over)
        return self._found[of, over]

    def _compared(self, of: int, over: int) -> Gap:
        by_launch: dict[int, list[float]] = {}
        for key in self._common(of, over):
            better = self._worth[of][key] - self._worth[over][key]
            by_launch.setdefault(key[0], []).append(better)
        pooled = launch_interval([[one for rounds in by_launch.values() for one in rounds]])
        launches = launch_interval(list(by_launch.values())) if len(by_launch) > 1 else None
        return Gap(pooled, launches, len(by_launch))

    def _apart(self, of: int, over: int) -> Gap:
        """Return how two compare that nothing links, each by what it reached: less exactly."""
        mine, its = self._by_launch(of), self._by_launch(over)
        count = min(len(mine), len(its))
        pooled = _less(*(launch_interval([list(chain(*one))]) for one in (mine, its)))
        if count < FEWEST_COMMON:
            return Gap(pooled, None, count)
        return Gap(pooled, _less(launch_interval(mine), launch_interval(its)), count)

    def _by_launch(self, id_: int) -> list[list[float]]:
        found: dict[int, list[float]] = {}
        for key in self._quiet(self._worth[id_]):
            found.setdefault(key[0], []).append(self._worth[id_][key])
        return list(found.values())

    def _common(self, a: int, b: int) -> list[Round]:
        return self._quiet(self._worth.get(a, {}).keys() & self._worth.get(b, {}).keys())

    def _quiet(self, rounds: Iterable[Round]) -> list[Round]:
        every = sorted(rounds)
        quiet = [key for key in every if self.quiet is None or key in self.quiet]
        return quiet if len(quiet) >= FEWEST_QUIET else every

    def _path(self, start: int, end: int) -> list[int] | None:
        """Return the shortest chain of configurations that met each other, both ends in it."""
        before: dict[int, int | None] = {start: None}
        waiting = deque([start])
        while waiting and end not in before:
            here = waiting.popleft()
            for there in sorted(self._met.get(here, ())):
                if there not in before and len(self._common(here, there)) >= FEWEST_COMMON:
                    before[there] = here
                    waiting.append(there)
        if end not in before:
            return None
        path = [end]
        while (last := before[path[-1]]) is not None:
            path.append(last)
        return path[::-1]


def _sum(parts: Sequence[Interval]) -> Interval:
    """Return the sum of independent estimates: half-widths add as squares do."""
    value = sum(one.value for one in parts)
    half = sqrt(sum((one.high - one.value) ** 2 for one in parts))
    return Interval(value, value - half, value + half)


def _less(one: Interval, other: Interval) -> Interval:
    """Return the difference of independent estimates."""
    return _sum([one, Interval(-other.value, -other.high, -other.low)])
