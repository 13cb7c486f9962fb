"""How time passes while requests are served: for real here, by a simulation in tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import perf_counter_ns, sleep
from typing import Protocol

SPIN_NS = 200_000  # a sleep may end this much late; what is left after it is spun away


class Clock(Protocol):
    """A clock, a way to wait for a point in time, and a way to do several things at once."""

    def now_ns(self) -> int:
        """Return nanoseconds on a clock that is never set back."""
        ...

    def wait_until(self, due_ns: int) -> None:
        """Return when the clock has reached ``due_ns``."""
        ...

    def together(self, works: Sequence[Callable[[], None]]) -> None:
        """Do all ``works`` at once and return when each has ended; raise what one raised."""
        ...


class RealClock:
    """The machine's clock, and a thread a work.

    The first work stays in the thread that asks: a session may have to be used where it was made.
    """

    now_ns = staticmethod(perf_counter_ns)  # itself: a method around it would double its cost

    def wait_until(self, due_ns: int) -> None:
        """Return at that time: late by microseconds, as the last fifth of a millisecond is spun.

        Each turn of the spin gives the interpreter's lock away, which another stream may need.
        """
        while (left_ns := due_ns - perf_counter_ns()) > 0:
            sleep((left_ns - SPIN_NS) / 1e9 if left_ns > SPIN_NS else 0)

    def together(self, works: Sequence[Callable[[], None]]) -> None:
        """Do the first work here and each other in a thread of its own."""
        raised: list[BaseException] = []

        def guarded(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:  # carried to the thread that waits
                raised.append(error)

        threads = [
            threading.Thread(target=guarded, args=(work,), name=f"xbench-stream-{number}")
            for number, work in enumerate(works[1:], 1)
        ]
        for thread in threads:
            thread.start()
        guarded(works[0])
        for thread in threads:
            thread.join()
        if raised:
            raise raised[0]
