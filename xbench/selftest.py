"""The harness measured on this machine: what it adds, and what it says of no difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

from xbench.comparison import run
from xbench.errors import UsageError
from xbench.measure import measure
from xbench.plan import Spec
from xbench.progress import Progress
from xbench.result import Comparison, Run
from xbench.testing import NullSession

ITERATIONS = 50_000
REPEATS = 11


@dataclass(frozen=True, slots=True)
class Overhead:
    """Cost of one inference that does nothing, in nanoseconds.

    Attributes:
        bare_loop: A Python loop that only reads the clock twice.
        total: The harness's loop on a session that does nothing.
        in_sample: What of ``total`` lies between the two readings, and so in every sample.
    """

    bare_loop: float
    total: float
    in_sample: float


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the harness costs, and its verdict on a backend against itself."""

    overhead_ns: Overhead
    backend: str
    comparison: Comparison
    parent_cpu_share: float | None
    run: Run

    def to_json(self) -> dict[str, Any]:
        """Return what ``xbench selftest --json`` writes."""
        ratio = self.comparison.ratio
        return {
            "overhead_ns": asdict(self.overhead_ns),
            "aa": {
                "backend": self.backend,
                "ratio": asdict(ratio) if ratio else None,
                "verdict": self.comparison.verdict.value,
            },
            "parent_cpu_share": self.parent_cpu_share,
        }


def selftest(
    backend: str,
    *,
    progress: Progress,
    model: str = "mobilenet_v2",
    seconds: float = 60.0,
    out: Path | None = None,
) -> SelfTest:
    """Return the harness's cost and its verdict on ``backend`` compared with itself.

    Args:
        backend: The backend that runs on both sides.
        progress: Hears of each step.
        model: What both sides run.
        seconds: The time budget of the comparison.
        out: Where its run folder goes.

    Raises:
        UsageError: If the backend did not run.
    """
    progress.phase("measuring the harness on a session that does nothing")
    cost = overhead()
    spec = Spec(model=model, backends=(backend, backend), time_budget_s=seconds, energy=False)
    found = run(spec, out=out, progress=progress)
    if not found.comparisons:
        reasons = "; ".join(row.reason for row in found.results if row.reason)
        raise UsageError(f"{backend} could not be compared with itself: {reasons}")
    share = found.timing["parent_cpu_share"]
    return SelfTest(cost, backend, found.comparisons[0], share, found)


def overhead() -> Overhead:
    """Return the cost of the timed loop on a null session, the median of several repeats."""
    session = NullSession()

    def harness() -> list[int]:
        return measure(session, ITERATIONS)

    loops = [_per_iteration_ns(_bare_loop) for _ in range(REPEATS)]
    totals = [_per_iteration_ns(harness) for _ in range(REPEATS)]
    return Overhead(median(loops), median(totals), median(harness()))


def _per_iteration_ns(loop: Callable[[], object]) -> float:
    start_ns = perf_counter_ns()
    loop()
    return (perf_counter_ns() - start_ns) / ITERATIONS


def _bare_loop() -> list[int]:
    clock = perf_counter_ns
    latencies_ns = [0] * ITERATIONS
    for i in range(ITERATIONS):
        start_ns = clock()
        latencies_ns[i] = clock() - start_ns
    return latencies_ns
