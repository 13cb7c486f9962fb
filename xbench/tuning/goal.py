"""What a configuration is to be good at, and what it must keep to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log
from statistics import fmean, median

from xbench.load.slo import Slo
from xbench.tuning.space import Configuration


class Aim(StrEnum):
    """What is to be as good as it can."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Goal:
    """What is searched for.

    Attributes:
        slo: The limit on the latency of one inference, of its whole batch, or None.
        memory_bytes: The most that a worker may hold at its peak, or None.
    """

    aim: Aim = Aim.THROUGHPUT
    slo: Slo | None = None
    memory_bytes: int | None = None

    def worth(self, configuration: Configuration, latencies_ns: Sequence[float]) -> float:
        """Return the natural logarithm of how good some inferences were; more is better.

        Of inferences a second, all streams together; or of one over the median latency.
        """
        if self.aim is Aim.LATENCY:
            return -log(median(latencies_ns))
        return log(per_s(configuration, latencies_ns))


def per_s(configuration: Configuration, latencies_ns: Sequence[float]) -> float:
    """Return inferences a second in closed loops: each stream starts when its last one is done."""
    return configuration.streams * configuration.size * 1e9 / fmean(latencies_ns)
