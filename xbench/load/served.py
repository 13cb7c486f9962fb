"""What became of the requests of a server: raw, as it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Batch(NamedTuple):
    """Requests that ran together; times in nanoseconds, from the start of the schedule.

    Attributes:
        first: The place of its first request in the schedule.
        size: How many requests it holds.
        stream: Which stream ran it.
        free_ns: Since when that stream had been free.
        due_ns: When it was to start: once its requests were there and its stream was free.
        start_ns: When it started.
        end_ns: When it was done.
    """

    first: int
    size: int
    stream: int
    free_ns: int
    due_ns: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Served:
    """One window of a server.

    Attributes:
        schedule_ns: When each request was due, from the start.
        streams: How many streams served.
        batches: What ran, in the order of the requests. Requests after the last batch were not
            served: they still waited when the grace was over.
    """

    schedule_ns: tuple[int, ...]
    streams: int
    batches: tuple[Batch, ...]

    @property
    def unserved(self) -> int:
        """Return how many requests were not served."""
        return len(self.schedule_ns) - sum(batch.size for batch in self.batches)

    def to_json(self) -> dict[str, Any]:
        """Return this as lists and numbers, for the pipe and the run folder."""
        return {
            "schedule_ns": list(self.schedule_ns),
            "streams": self.streams,
            "batches": [list(batch) for batch in self.batches],
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Served:
        """Return what `to_json` wrote."""
        batches: Sequence[Sequence[int]] = told["batches"]
        return cls(
            tuple(told["schedule_ns"]), told["streams"], tuple(Batch(*one) for one in batches)
        )
