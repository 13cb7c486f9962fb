"""The open-loop server, on simulated time; once on the real clock, for its structure only."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.load.simulated import SimulatedClock, constant, server
from xbench.load.open_loop import Batching, serve
from xbench.load.served import Served

MS = 1_000_000
gaps_ms = st.lists(st.integers(0, 20), min_size=1, max_size=60)


def simulate(
    schedule_ms: list[int], service_ms: float, streams: int = 1, most: int = 1, wait_ms: int = 0
) -> Served:
    """Return what becomes of requests whose batches all take as long."""
    clock = SimulatedClock()
    runs = [server(clock, constant(service_ms * MS)) for _ in range(streams)]
    schedule_ns = [one * MS for one in schedule_ms]
    return serve(runs, schedule_ns, Batching(most, wait_ms * MS), clock)


def timed(served: Served) -> list[tuple[int, int, float, float]]:
    """Return each batch's first request, size, start and end in milliseconds."""
    return [(b.first, b.size, b.start_ns / MS, b.end_ns / MS) for b in served.batches]


def test_requests_run_in_order_each_when_it_is_due_or_the_one_before_is_done() -> None:
    found = simulate([0, 1, 20], 5)
    assert timed(found) == [(0, 1, 0, 5), (1, 1, 5, 10), (2, 1, 20, 25)]


def test_two_streams_take_turns() -> None:
    """The second request does not wait for the first; the third waits for whichever is free."""
    found = simulate([0, 1, 2], 5, streams=2)
    assert timed(found) == [(0, 1, 0, 5), (1, 1, 1, 6), (2, 1, 5, 10)]
    assert found.batches[0].stream != found.batches[1].stream


def test_a_free_stream_takes_all_that_have_come_up_to_the_most() -> None:
    found = simulate([0, 1, 2, 3, 4], 10, most=3)
    assert timed(found) == [(0, 1, 0, 10), (1, 3, 10, 20), (4, 1, 20, 30)]


def test_a_batch_waits_until_it_is_full() -> None:
    found = simulate([0, 3, 6, 30, 31], 5, most=3, wait_ms=10)
    assert timed(found)[0] == (0, 3, 6, 11)


def test_a_batch_waits_no_longer_than_its_first_request_may() -> None:
    found = simulate([0, 3, 11, 12], 5, most=3, wait_ms=10)
    assert timed(found) == [(0, 2, 10, 15), (2, 2, 21, 26)]


def test_what_has_waited_while_the_stream_was_busy_waits_no_more() -> None:
    found = simulate([0, 1, 2], 50, most=2, wait_ms=10)
    assert timed(found) == [(0, 2, 1, 51), (2, 1, 51, 101)]


def test_two_free_streams_do_not_share_out_what_is_one_batch() -> None:
    found = simulate([0, 1, 2, 3], 5, streams=2, most=2, wait_ms=10)
    assert timed(found) == [(0, 2, 1, 6), (2, 2, 3, 8)]


@settings(max_examples=60, deadline=None)
@given(gaps_ms, st.integers(1, 15), st.integers(1, 3), st.integers(1, 5), st.integers(0, 12))
def test_every_request_is_served_once_in_order_and_not_before_it_is_due(
    gaps: list[int], service_ms: int, streams: int, most: int, wait_ms: int
) -> None:
    schedule_ms = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    served = simulate(schedule_ms, service_ms, streams, most, wait_ms)
    assert served.unserved == 0
    place = 0
    for batch in served.batches:
        assert batch.first == place
        place += batch.size
        assert 1 <= batch.size <= most
        assert batch.start_ns == batch.due_ns  # simulated time is never late
        assert batch.start_ns >= served.schedule_ns[place - 1]
        assert batch.end_ns == batch.start_ns + service_ms * MS
        waited_ns = batch.start_ns - served.schedule_ns[batch.first]
        assert waited_ns <= wait_ms * MS or batch.start_ns == batch.free_ns
        left = served.schedule_ns[place : place + 1]
        assert batch.size == most or not left or left[0] > batch.start_ns  # none is left behind
    for stream in range(streams):
        own = [batch for batch in served.batches if batch.stream == stream]
        assert all(after.start_ns >= before.end_ns for before, after in pairwise(own))


def test_a_server_that_cannot_keep_up_ends_after_the_grace() -> None:
    """Ten times its capacity for 10 s: it gets through 10 s and a quarter of that, not 100."""
    served = simulate(list(range(0, 10_000, 10)), 100)
    assert served.unserved == 1000 - 125
    assert served.batches[-1].start_ns <= 12.5e9


def test_what_a_stream_raises_ends_the_others_and_is_raised() -> None:
    clock = SimulatedClock()

    def broken(_: int) -> None:
        raise MemoryError("planted")

    served: list[int] = []
    with pytest.raises(MemoryError, match="planted"):
        serve([broken, served.append], [MS, 2 * MS, *range(3 * MS, 100 * MS, MS)], clock=clock)
    assert len(served) <= 2  # what it had taken when the other broke


@pytest.mark.parametrize(("streams", "schedule"), [(0, [1]), (1, [])])
def test_a_server_without_streams_or_requests_is_refused(streams: int, schedule: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        serve([lambda _: None] * streams, schedule)


def test_on_the_real_clock_each_stream_has_a_thread_and_the_first_is_the_callers() -> None:
    """What a session needs that is used by one thread, where it was made."""
    threads: list[set[str]] = [set(), set()]
    both = threading.Barrier(2, timeout=60)

    def run(stream: int) -> None:
        threads[stream].add(threading.current_thread().name)
        both.wait()  # so that each stream serves every other request

    served = serve([lambda _: run(0), lambda _: run(1)], [10_000 * place for place in range(20)])
    assert served.unserved == 0
    assert [batch.first for batch in served.batches] == list(range(20))
    assert all(batch.due_ns <= batch.start_ns <= batch.end_ns for batch in served.batches)
    assert threads[0] == {threading.current_thread().name} != threads[1]
    assert len(threads[1]) == 1


def test_what_was_served_survives_json() -> None:
    served = simulate([0, 1, 2, 30], 5, streams=2, most=2)
    assert Served.from_json(served.to_json()) == served
