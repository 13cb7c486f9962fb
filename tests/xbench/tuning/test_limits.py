"""Whether a limit on latency is kept: what inferences prove, and what they leave open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.load.slo import Slo
from xbench.result import PERCENTILES
from xbench.stats import samples_needed
from xbench.tuning.limits import Keeps, keeps, seems_to_keep

P99 = Slo("p99", 0.020)
MS = 1_000_000


def test_without_a_limit_it_is_kept() -> None:
    assert keeps(None, []) is Keeps.HOLDS
    assert seems_to_keep(None, [])
    assert not seems_to_keep(Slo("p99", 0.02), [])


@pytest.mark.parametrize("name", sorted(PERCENTILES))
def test_a_percentile_is_proven_by_as_many_inferences_as_it_needs(name: str) -> None:
    slo, needed = Slo(name, 0.020), samples_needed(PERCENTILES[name])
    assert keeps(slo, [[19 * MS] * needed]) is Keeps.HOLDS
    assert keeps(slo, [[19 * MS] * (needed - 1)]) is Keeps.OPEN


def test_a_few_rounds_beyond_the_limit_break_it() -> None:
    assert keeps(P99, [[21 * MS] * 5] * 3) is Keeps.BREAKS
    assert keeps(P99, [[21 * MS] * 5] * 2) is Keeps.OPEN


def test_one_stall_breaks_nothing() -> None:
    """Five slow inferences of 45 are too many to be chance, if they were independent."""
    rounds = [[10 * MS] * 5 for _ in range(8)] + [[90 * MS] * 5]
    assert keeps(P99, rounds) is Keeps.OPEN


@given(st.integers(0, 2**32), st.integers(3, 200), st.floats(0.5, 2))
def test_one_that_is_far_from_the_limit_is_never_judged_wrongly(
    seed: int, rounds: int, factor: float
) -> None:
    """Lognormal latencies: half of them lie beyond a factor of the limit, or none do."""
    if abs(factor - 1) < 0.1:
        return
    rng = np.random.default_rng(seed)
    latencies = 20 * MS * factor * np.exp(rng.normal(0, 0.005, (rounds, 7)))
    found = keeps(P99, [[int(one) for one in taken] for taken in latencies])
    assert found in ((Keeps.HOLDS, Keeps.OPEN) if factor < 1 else (Keeps.BREAKS,))
