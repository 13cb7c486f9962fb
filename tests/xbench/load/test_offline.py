"""The batch at which throughput saturates, and the sessions that batches run on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.load.offline import GAIN, Refused, saturating_batch
from xbench.load.runs import run_of, sizes_for
from xbench.result import Interval
from xbench.testing import NullSession, RecordingSession


def device(
    fixed_s: float, each_s: float, noise: float = 0.0, seed: int = 0
) -> Callable[[int], Interval]:
    """Return a device that takes a fixed time a batch and some for each sample."""
    rng = np.random.default_rng(seed)

    def measure(batch: int) -> Interval:
        per_s = batch / (fixed_s + batch * each_s) * float(np.exp(rng.normal(0, noise)))
        return Interval(per_s, per_s * (1 - 2 * noise), per_s * (1 + 2 * noise))

    return measure


@given(st.floats(1e-5, 1e-1), st.floats(1e-5, 1e-2))
def test_the_batch_found_is_the_smallest_with_all_but_the_best(fixed: float, each: float) -> None:
    found = saturating_batch(device(fixed, each), largest=2**30)
    assert found.stopped == "saturated"
    best = max(one.value for one in found.per_s.values())
    assert found.per_s[found.batch].value >= (1 - GAIN) * best
    smaller = [one.value for size, one in found.per_s.items() if size < found.batch]
    assert all(value < (1 - GAIN) * best for value in smaller)
    assert best >= (1 - 2 * GAIN) / each


@given(st.integers(0, 2**32))
def test_noise_does_not_make_it_go_on(seed: int) -> None:
    """A device that gains nothing from batches: noise of 1 % is no gain."""
    found = saturating_batch(device(0.0, 1e-3, noise=0.01, seed=seed))
    assert found.stopped == "saturated"
    assert max(found.per_s) <= 16


def test_one_size_that_the_kernels_do_not_like_is_passed_over() -> None:
    def measure(batch: int) -> Interval:
        per_s = {1: 100.0, 2: 180.0, 4: 150.0, 8: 400.0}.get(batch, 405.0)
        return Interval(per_s, per_s, per_s)

    found = saturating_batch(measure)
    assert found.batch == 8
    assert list(found.per_s) == [1, 2, 4, 8, 16, 32]


def test_what_does_not_fit_ends_the_doubling_and_says_why() -> None:
    def measure(batch: int) -> Interval:
        if batch > 8:
            raise Refused("out of memory")
        return Interval(batch, batch, batch)

    found = saturating_batch(measure)
    assert (found.batch, found.stopped, found.reason) == (8, "refused", "out of memory")
    with pytest.raises(Refused, match="memory"):
        saturating_batch(measure, first=16)


def test_it_goes_no_further_than_it_may() -> None:
    found = saturating_batch(device(1.0, 1e-9), largest=20)
    assert (found.batch, found.stopped, list(found.per_s)) == (16, "largest", [1, 2, 4, 8, 16])


@given(st.integers(1, 4096))
def test_every_batch_fits_a_session_less_than_twice_its_size(most: int) -> None:
    sizes = sizes_for(most)
    assert sizes[-1] == most
    for batch in range(1, most + 1):
        assert min(size for size in sizes if size >= batch) < 2 * batch


def test_a_batch_runs_to_its_end_on_the_smallest_session_that_holds_it() -> None:
    sessions = {size: RecordingSession(NullSession()) for size in sizes_for(5)}
    run = run_of(sessions)
    for batch in (1, 3, 4, 5):
        run(batch)
    calls = {size: session.calls for size, session in sessions.items()}
    assert calls == {
        1: ["run", "synchronize"],
        2: [],
        4: ["run", "synchronize"] * 2,
        5: ["run", "synchronize"],
    }
