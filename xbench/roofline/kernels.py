"""What reaches for the machine's limits with NumPy, in a process of its own under a row's caps.

Bandwidth by the loops of STREAM (McCalpin 1995, "Memory bandwidth and machine balance in current
high performance computers") and the reading one of his STREAM2, on arrays far larger than the
caches. Bytes are counted as STREAM does: what the loop reads and writes. Where the hardware reads a
line before it writes one (write-allocate) more is moved, and is not counted; `read` writes nothing.

FLOP/s by NumPy's product of square float32 matrices, two operations for each multiply-add.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from threading import Barrier, Thread
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from xbench.wire import Message
from xbench.worker import die_with_parent, open_pipes, serve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

ELEMENT_BYTES = 8
FEWEST_TRIES = 3  # of which the first is not counted: pages and threads are new to it
COUNTED = {"read": 3, "copy": 2, "add": 3}
"""Arrays that each loop reads or writes once."""


class Kernels:
    """The loops and products; a method a job."""

    def stream(self, job: Message) -> Message:
        """Return bytes a second of each loop, a number a try.

        Args:
            job: ``bytes`` of each of three arrays, the ``threads`` that share them, most ``tries``
                of a loop and about the ``seconds`` that it may take.
        """
        parts = _arrays(job["bytes"] // ELEMENT_BYTES, job["threads"])
        moved = sum(own[0].nbytes for own in parts)
        return {
            "rates": {
                name: [
                    moved * arrays * 1e9 / ns
                    for ns in _tries(lambda name=name: _together(LOOPS[name], parts), job)  # type: ignore[misc] # mypy knows no lambda's default
                ]
                for name, arrays in COUNTED.items()
            }
        }

    def multiply(self, job: Message) -> Message:
        """Return operations a second of products of each size, a number a try.

        Args:
            job: The ``sizes``, smallest first, most ``tries`` of one and about the ``seconds`` that
                it may take. One that would take longer for a single try is left out.
        """
        import numpy as np

        rates: dict[str, list[float]] = {}
        best = 0.0
        for size in job["sizes"]:
            flops = 2 * size**3
            if best and FEWEST_TRIES * flops / best > 4 * job["seconds"]:
                break
            rng = np.random.default_rng(size)
            a, b = rng.standard_normal((2, size, size), np.float32)
            out = np.empty_like(a)
            times_ns = _tries(lambda a=a, b=b, out=out: _timed(np.matmul, a, b, out), job)  # type: ignore[misc] # as above
            rates[str(size)] = [flops * 1e9 / ns for ns in times_ns]
            best = max(best, *rates[str(size)])
        return {"rates": rates}

    def version(self, _job: Message) -> Message:
        """Return NumPy's version."""
        import numpy as np

        return {"version": np.__version__}


def _read(own: Sequence[Doubles]) -> None:
    import numpy as np

    for array in own:  # all of them: what a cache keeps of one is gone when its turn comes again
        # As whole numbers of 32 bits: their maximum is one instruction for a whole register.
        np.maximum.reduce(array.view(np.int32))


def _copy(own: Sequence[Doubles]) -> None:
    import numpy as np

    np.copyto(own[2], own[0])


def _add(own: Sequence[Doubles]) -> None:
    import numpy as np

    np.add(own[0], own[1], out=own[2])


LOOPS: dict[str, Callable[[Sequence[Doubles]], None]] = {
    "read": _read,
    "copy": _copy,
    "add": _add,
}


def _arrays(elements: int, threads: int) -> list[list[Doubles]]:
    """Return three arrays for each thread, which together have so many elements each.

    The thread that will use them writes them first: the kernel gives pages near to who does.
    """
    import numpy as np

    parts: list[list[Doubles]] = [
        [np.empty(max(1, elements // threads)) for _ in range(3)] for _ in range(threads)
    ]

    def fill(own: Sequence[Doubles]) -> None:
        for value, array in enumerate(own):
            array.fill(value + 0.5)

    _together(fill, parts)
    return parts


def _together(work: Callable[[Sequence[Doubles]], None], parts: Sequence[Sequence[Doubles]]) -> int:
    """Return the nanoseconds from the first thread's start to the last one's end.

    NumPy lets go of the interpreter's lock within a call on large arrays, so one call a thread is
    all that waits for it.
    """
    cpus = sorted(os.sched_getaffinity(0))
    barrier, stamps_ns, problems = Barrier(len(parts)), [(0, 0)] * len(parts), []

    def run(at: int) -> None:
        try:
            os.sched_setaffinity(0, {cpus[at % len(cpus)]})  # of this thread alone
            barrier.wait()
            start_ns = perf_counter_ns()
            work(parts[at])
            stamps_ns[at] = (start_ns, perf_counter_ns())
        except Exception as error:
            problems.append(error)  # before the others tell that they waited in vain
            barrier.abort()

    threads = [Thread(target=run, args=(at,)) for at in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return max(end for _, end in stamps_ns) - min(start for start, _ in stamps_ns)


def _timed(function: Callable[..., Any], a: Any, b: Any, out: Any) -> int:
    start_ns = perf_counter_ns()
    function(a, b, out=out)
    return perf_counter_ns() - start_ns


def _tries(once: Callable[[], int], job: Message) -> list[int]:
    """Return the nanoseconds of each try but the first."""
    return list(_lasting(once, job["tries"], job["seconds"]))[1:]


def _lasting(once: Callable[[], int], most: int, seconds: float) -> Iterator[int]:
    end_ns = perf_counter_ns() + int(seconds * 1e9)
    for number in range(max(FEWEST_TRIES, most + 1)):
        if number >= FEWEST_TRIES and perf_counter_ns() >= end_ns:
            return
        yield max(1, once())


def main() -> None:
    """Serve the parent until it is done."""
    die_with_parent()
    jobs, replies = open_pipes(sys.argv[1:])
    serve(Kernels(), jobs, replies)


if __name__ == "__main__":
    main()
