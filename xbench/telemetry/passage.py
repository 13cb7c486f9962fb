"""How time passes: for real here, by a simulation in tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Poll = Callable[[], float]  # does what is due; returns the seconds until it is to be called again


class Passage(Protocol):
    """A clock, a way to wait, and a way to do something now and then meanwhile."""

    def now(self) -> float:
        """Return seconds on a clock that is never set back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        ...

    def beside(self, poll: Poll) -> AbstractContextManager[None]:
        """Call ``poll`` whenever it is due while the block runs."""
        ...


class RealPassage:
    """The monotonic clock, and a thread that polls while the block runs.

    Meant for a parent that waits while a worker process runs: there the thread takes nothing
    from what is measured but the microseconds of its readings.
    """

    def now(self) -> float:
        """Return seconds of the monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        time.sleep(seconds)

    @contextmanager
    def beside(self, poll: Poll) -> Iterator[None]:
        """Call ``poll`` whenever it is due while the block runs; what it raises is raised here."""
        stop, raised = threading.Event(), []

        def loop() -> None:
            try:
                while not stop.wait(min(poll(), threading.TIMEOUT_MAX)):
                    pass
            except Exception as error:  # carried to the thread that waits
                raised.append(error)

        thread = threading.Thread(target=loop, name="xbench-telemetry", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if raised:
            raise raised[0]
