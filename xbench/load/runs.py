"""What a stream runs a batch with: sessions of fixed sizes, of which the smallest that holds it."""

from __future__ import annotations

from collections.abc import Mapping

from xbench.adapter import Session
from xbench.load.open_loop import Run


def sizes_for(max_batch: int) -> tuple[int, ...]:
    """Return the batch sizes that a server loads a model at: powers of two, and the most.

    An inference has one shape. A batch of five runs as one of eight, as servers do that have
    compiled a model for a few sizes; its latency is that of eight.
    """
    if max_batch < 1:
        raise ValueError(f"a batch holds at least one request, got {max_batch=}")
    powers = (2**power for power in range(max_batch.bit_length()))
    return tuple(sorted({*powers, max_batch}))


def run_of(sessions: Mapping[int, Session]) -> Run:
    """Return what runs a batch on the smallest session that holds it, to its end.

    Args:
        sessions: By batch size, with their inputs bound; the largest holds every batch.
    """
    sizes = sorted(sessions)
    chosen = [sessions[next(size for size in sizes if size >= n)] for n in range(sizes[-1] + 1)]
    calls = [(session.run, session.synchronize) for session in chosen]

    def run(size: int) -> None:
        start, finish = calls[size]
        start()
        finish()

    return run
