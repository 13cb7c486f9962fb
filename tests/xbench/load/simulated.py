"""Time that a simulation passes, for the servers of `xbench.load`: exact, and free to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from xbench.load.open_loop import Run


class SimulatedClock:
    """A clock that moves only when all who use it wait, to the earliest time waited for.

    Works that run together are threads, as they are for real, but one at a time: who waits for the
    earliest time is next, and of two that wait for the same the one that came first.
    """

    def __init__(self) -> None:
        self._now_ns = 0
        self._turn = threading.Condition()
        self._running = 1
        self._waiting: list[tuple[int, int]] = []
        self._tickets = 0

    def now_ns(self) -> int:
        """Return the simulated time."""
        return self._now_ns

    def wait_until(self, due_ns: int) -> None:
        """Let the others run until it is that late."""
        with self._turn:
            self._tickets += 1
            own = (max(due_ns, self._now_ns), self._tickets)
            self._waiting.append(own)
            self._running -= 1
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._running == 0 and min(self._waiting) == own)
            self._waiting.remove(own)
            self._running += 1
            self._now_ns = own[0]

    def together(self, works: Sequence[Callable[[], None]]) -> None:
        """Run all works to their end, in simulated time."""
        raised: list[BaseException] = []
        self._running += len(works) - 1  # the one that asks only waits for them

        def guarded(work: Callable[[], None]) -> None:
            try:
                self.wait_until(self._now_ns)  # so that they begin in order
                work()
            except BaseException as error:
                raised.append(error)
            finally:
                with self._turn:
                    self._running -= 1
                    self._turn.notify_all()

        threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._running += 1
        if raised:
            raise raised[0]


def server(clock: SimulatedClock, service_ns: Callable[[int], float]) -> Run:
    """Return what runs a batch for the time that ``service_ns`` says of its size."""

    def run(size: int) -> None:
        clock.wait_until(clock.now_ns() + round(service_ns(size)))

    return run


def exponential(mean_ns: float, seed: int) -> Callable[[int], float]:
    """Return service times that are drawn from an exponential distribution."""
    rng = np.random.default_rng((seed, 1))  # no gap of a schedule is drawn from the same numbers
    drawn = iter(rng.exponential(mean_ns, 1_000_000).tolist())
    return lambda _: next(drawn)


def constant(time_ns: float) -> Callable[[int], float]:
    """Return service times that are all alike."""
    return lambda _: time_ns
