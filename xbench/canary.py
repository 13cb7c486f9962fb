"""A small fixed matrix product in a process of its own: it tells the machine's regimes apart.

A virtual machine may put two CPUs on one core for seconds at a time; every runtime slows
down together, and nothing in the guest says so. The canary's time, taken before and after
each epoch, does. It runs apart because idle BLAS threads spin and would disturb the others.
"""

from __future__ import annotations

import sys
from statistics import median
from time import perf_counter_ns
from typing import Any

from xbench.wire import Message
from xbench.worker import die_with_parent, open_pipes, serve

SIZE = 384  # about a millisecond on two cores: long enough for both threads, short beside an epoch
PRODUCTS = 3


class Canary:
    """The product, with its operands made once."""

    def __init__(self) -> None:
        import numpy as np

        rng = np.random.default_rng(0)
        self.a, self.b = rng.standard_normal((2, SIZE, SIZE)).astype(np.float32)
        self.out: Any = np.empty((SIZE, SIZE), np.float32)
        self.multiply = np.matmul

    def load(self, _job: Message) -> Message:
        """Warm up until the threads exist and the caches are filled."""
        for _ in range(20):
            self.multiply(self.a, self.b, out=self.out)
        return {}

    def sing(self, _job: Message) -> Message:
        """Return the median time of a few products, in nanoseconds; the first is not counted."""
        times_ns = []
        for _ in range(PRODUCTS + 1):
            start_ns = perf_counter_ns()
            self.multiply(self.a, self.b, out=self.out)
            times_ns.append(perf_counter_ns() - start_ns)
        return {"ns": int(median(times_ns[1:]))}


def main() -> None:
    """Serve the parent until it is done."""
    die_with_parent()
    jobs, replies = open_pipes(sys.argv[1:])
    serve(Canary(), jobs, replies)


if __name__ == "__main__":
    main()
