"""The sessions of one worker: for each stream, one of every batch size that it may run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xbench.adapter import Array, Session
from xbench.load.open_loop import Run
from xbench.load.runs import run_of

Feeds = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Sessions:
    """What streams run on.

    Attributes:
        streams: For each stream its sessions, by how many requests one of their inferences takes.
        feeds: The input sets of each size, as many of one as of another.
    """

    streams: Sequence[Mapping[int, Session]]
    feeds: Mapping[int, Sequence[Feeds]]

    @property
    def runs(self) -> list[Run]:
        """Return for each stream what runs a batch of requests to its end."""
        return [run_of(own) for own in self.streams]

    def bind(self, feed: int) -> None:
        """Bind an input set to every session."""
        for own in self.streams:
            for size, session in own.items():
                sets = self.feeds[size]
                session.bind(sets[feed % len(sets)])

    def settle(self, times: int) -> None:
        """Run every session a few times, untimed."""
        for own in self.streams:
            for session in own.values():
                for _ in range(times):
                    session.run()
                session.synchronize()

    def at(self, stream: int, size: int | None) -> Session:
        """Return a stream's session of a size, or its smallest."""
        own = self.streams[stream % len(self.streams)]
        return own[min(own) if size is None else size]


class Repeated:
    """A session whose every run is several: a query of more samples than its batch."""

    def __init__(self, session: Session, times: int) -> None:
        self._session, self._times = session, times
        self.synchronize = session.synchronize

    def run(self) -> None:
        """Run it so many times."""
        for _ in range(self._times):
            self._session.run()
