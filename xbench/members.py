"""A started worker, what it runs, and how much of it makes one turn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xbench.adapter import BoundModel
from xbench.load.scenario import Kind
from xbench.plan import Cell
from xbench.process import WorkerProcess
from xbench.wire import Message, model_to_json

EPOCH_S = 0.05  # short beside the machine's changes of regime, long beside a stop and a continue
LONGER_S = 0.15  # for up to FEW inferences: beside a neighbour, those right after a stop are faster
FEW = 7
MOST_ITERATIONS = 5000
SLOW_NS = 500_000_000  # one inference of this length is an epoch
SETTLE_SHARE = 0.1  # of an epoch's inferences, untimed, before it: caches were another's
WINDOW_S = (2.0, 10.0)  # of a server: the least, and the most that its requests may make of it
WINDOW_REQUESTS = 200


@dataclass(frozen=True, slots=True)
class Size:
    """The model at another batch size, and the input sets for it."""

    batch: int
    binding: int
    model: BoundModel
    feeds: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A cell with what it runs: the bound model, and the file of its input sets.

    Attributes:
        sizes: The batches of more than one request that a server may make.
        repeats: Inferences of a query: more than one where the model's batch is fixed and a query
            has more samples.
    """

    cell: Cell
    model: BoundModel
    feeds: Path
    feed_count: int
    sizes: tuple[Size, ...] = ()
    repeats: int = 1


@dataclass(slots=True)
class Member:
    """A started worker and the size of its turns."""

    job: Job
    process: WorkerProcess
    settled_ns: float = 0.0

    @property
    def query_ns(self) -> float:
        """Return about how long a query takes, in nanoseconds."""
        return self.settled_ns * self.job.repeats

    @property
    def iterations(self) -> int:
        """Return how many queries make an epoch."""
        if self.query_ns >= SLOW_NS:
            return 1
        usual, longer = (round(s * 1e9 / max(1.0, self.query_ns)) for s in (EPOCH_S, LONGER_S))
        return min(MOST_ITERATIONS, max(2, usual, min(FEW, longer)))

    @property
    def settle(self) -> int:
        """Return how many untimed inferences come before an epoch."""
        return max(1, round(self.iterations * SETTLE_SHARE))

    @property
    def seconds(self) -> float:
        """Return how long one turn of timed work takes, about."""
        load = self.job.cell.load
        if load.kind is Kind.SERVER:
            least, most = WINDOW_S
            return min(most, max(least, WINDOW_REQUESTS / max(load.rate_per_s, 1e-9)))
        own_s = self.iterations * self.query_ns / 1e9
        return max(2 * LONGER_S, 2 * own_s) if load.kind is Kind.STREAMS else own_s

    def turn(self, feed: int, seed: int) -> Message:
        """Return the job that is this cell's turn in a round.

        Args:
            feed: Which of the input sets.
            seed: Draws a server's arrivals, so that all cells of a round have the same.
        """
        load = self.job.cell.load
        own: Message = {"feed": feed, "settle": self.settle}
        if load.kind is Kind.SERVER:
            words = {"scenario": str(load), "seconds": self.seconds, "seed": seed}
            return {**own, "do": "serve", **words}
        if load.kind is Kind.STREAMS:
            return {**own, "do": "loop", "seconds": self.seconds}
        return {**own, "do": "epoch", "iterations": self.iterations}


def setting(job: Job) -> dict[str, Any]:
    """Return what a worker is told of a job."""
    sizes = [
        {"batch": one.batch, "model": model_to_json(one.model), "feeds": str(one.feeds)}
        for one in job.sizes
    ]
    return {
        "backend": job.cell.backend,
        "limits": asdict(job.cell.limits),
        "model": model_to_json(job.model),
        "precision": job.cell.precision,
        "boundary": job.cell.boundary,
        "feeds": str(job.feeds),
        "sizes": sizes,
        "streams": job.cell.load.streams,
        "repeats": job.repeats,
    }
