"""A cap that did not hold is told from one that did, by what the kernel said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.adapter import Facts, Limits
from xbench.caps import Proof, of_row, prove
from xbench.caps.groups import PERIOD_US
from xbench.caps.proof import cpus_allowed
from xbench.samples import Epoch, Launched

CAP_BYTES = 2**29
LIMITS = Limits(1, (0,), memory_bytes=CAP_BYTES, profile="small")
IN_GROUP = {"memory": "cgroup v1 memory.limit_in_bytes", "quota": "cgroup v1 cpu.cfs_quota_us"}
BY_SPACE = {"memory": "RLIMIT_AS (no control group: Read-only file system)"}


def launched(
    by: dict[str, str] | None = None, peak_bytes: int = 2**27, busy: int = 1, **read: Any
) -> Launched:
    found: dict[str, Any] = {
        "memory_limit_bytes": CAP_BYTES,
        "memory_peak_bytes": 2**27,
        "memory_kills": 0,
        "address_space_bytes": None,
        "quota_cpus": None,
        "cpus": [0],
        "processes": 1,
    }
    return Launched(
        cell=0,
        launch=0,
        version="1",
        import_s=0.1,
        load_s=0.1,
        first_inference_ns=1,
        warmup_s=0.1,
        warmup_inferences=9,
        steady=True,
        busy_threads=busy,
        cpus=(0,),
        overhead_ns=1.0,
        facts=Facts(),
        memory={"phases": {"load": {"peak": peak_bytes}, "convert": {"peak": 2**40}}},
        caps={"by": by or IN_GROUP, "read": found | read},
    )


def epochs(cpus: float, wall_ns: int = 50_000_000) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(
            cell=0,
            launch=0,
            round=number,
            position=0,
            feed=0,
            latencies_ns=(wall_ns,),
            wall_ns=wall_ns,
            cpu_ns=round(cpus * wall_ns),
            canary_ns=None,
            others_cpus=None,
        )
        for number in range(9)
    )


def broken(
    limits: Limits = LIMITS, *told: Launched, cpus: float = 0.99, device: str = "cpu"
) -> tuple[str, ...]:
    return prove(limits, told or (launched(),), epochs(cpus)).broken(device)


def test_caps_that_held_are_proven() -> None:
    assert broken() == ()
    row = of_row(LIMITS, (launched(),), epochs(0.99))
    assert row["broken"] == []
    assert row["words"] == "host, capped to 1 thread and 512 MiB"
    assert row["by"]["memory"] == "cgroup v1 memory.limit_in_bytes"
    assert row["held"]["cpus_used"] == pytest.approx(0.99)
    assert row["held"]["memory_limit_bytes"] == CAP_BYTES
    assert row["held"]["resident_peak_bytes"] == 2**27


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"busy": 2}, "2 threads were busy and used 0.99 CPUs; 1 allowed"),
        ({"cpus": [0, 3]}, "could run on CPU 3"),
        ({"memory_limit_bytes": None}, "in force was none, not 512 MiB"),
        ({"memory_limit_bytes": 2**30}, "in force was 1 GiB, not 512 MiB"),
        ({"memory_peak_bytes": 2**30}, "1 GiB were charged to it, and 512 MiB allowed"),
        ({"memory_kills": 1}, "the kernel killed 1 of its processes"),
        ({"peak_bytes": 2**30}, "it had 1 GiB resident"),
        ({"by": BY_SPACE}, "in force was none, not 512 MiB"),
        ({"by": BY_SPACE, "address_space_bytes": 2**30}, "in force was 1 GiB, not 512 MiB"),
    ],
)
def test_each_cap_that_did_not_hold_says_so(told: dict[str, Any], words: str) -> None:
    (why,) = broken(LIMITS, launched(**told))
    assert words in why


def test_address_space_alone_proves_a_cap_by_address_space() -> None:
    """The groups that this process is in may have limits of their own, or none."""
    told = launched(by=BY_SPACE, address_space_bytes=CAP_BYTES, memory_limit_bytes=None)
    assert broken(LIMITS, told) == ()


@pytest.mark.parametrize(("cpus", "held"), [(1.03, True), (1.031, False)])
def test_cpu_seconds_over_wall_seconds_decide_at_3_percent(cpus: float, held: bool) -> None:
    assert (broken(cpus=cpus) == ()) is held


def test_one_launch_beside_a_neighbour_breaks_no_cap() -> None:
    """Busy threads are counted with those that wait for a CPU; a cap is ignored in every launch."""
    assert broken(LIMITS, launched(), launched(busy=2), launched()) == ()
    assert broken(LIMITS, launched(busy=2), launched(busy=2), launched()) != ()


def test_threads_of_the_host_are_no_cap_on_a_gpu() -> None:
    assert broken(LIMITS, launched(busy=3, cpus=[0, 1]), cpus=1.9, device="cuda:0") == ()
    assert broken(LIMITS, launched(memory_limit_bytes=None), device="cuda:0") != ()


def test_a_quota_that_is_not_in_force_breaks_it() -> None:
    limits = replace(LIMITS, quota_cpus=0.5)
    assert broken(limits, launched(quota_cpus=0.5), cpus=0.51) == ()
    (why,) = broken(limits, launched(quota_cpus=None), cpus=0.51)
    assert why == "the quota of CPU time in force was none, not 0.5"
    assert "0.5 CPUs' time, allowed" in broken(limits, launched(quota_cpus=0.5), cpus=0.9)[0]


def test_a_row_that_did_not_run_has_caps_and_no_proof() -> None:
    row = of_row(LIMITS, (), ())
    assert (row["held"], row["broken"], row["by"]) == (None, [], None)
    assert row["profile"] == "small"


def test_a_run_from_before_caps_were_read_is_not_judged_by_them() -> None:
    old = replace(launched(), caps=None)
    assert prove(replace(LIMITS, memory_bytes=None), (old,), epochs(0.9)).broken("cpu") == ()


def used_ns(phase_ns: int, wall_ns: int, quota: float, threads: int, left_ns: float) -> float:
    """Return the CPU time of ``threads`` that never rest, handed out by periods as the kernel does.

    Args:
        phase_ns: How far the first period is when the time begins.
        wall_ns: The time.
        quota: CPUs' time in a period.
        threads: All of them run until the budget is spent.
        left_ns: What is left of the first period's budget.
    """
    period_ns, at_ns, used = PERIOD_US * 1000, 0.0, 0.0
    ends_ns, budget_ns = float(period_ns - phase_ns), left_ns
    while at_ns < wall_ns:
        until_ns = min(ends_ns, wall_ns)
        used += min(budget_ns, (until_ns - at_ns) * threads)
        at_ns, budget_ns = until_ns, quota * period_ns
        ends_ns += period_ns
    return used


@given(
    st.integers(0, PERIOD_US * 1000 - 1),
    st.integers(10**6, 2 * 10**8),
    st.integers(1, 4),
    st.floats(0.05, 0.99),
)
def test_no_quota_that_the_kernel_keeps_is_said_to_be_broken(
    phase_ns: int, wall_ns: int, threads: int, share: float
) -> None:
    """Whatever the phase of the first period, with its whole budget left: the worst case."""
    quota = share * threads
    left_ns = quota * PERIOD_US * 1000
    limits = Limits(threads, quota_cpus=quota)
    used = used_ns(phase_ns, wall_ns, quota, threads, left_ns)
    assert used / wall_ns <= cpus_allowed(limits, wall_ns) * (1 + 1e-9)


def test_over_a_long_time_the_quota_is_what_is_allowed() -> None:
    assert cpus_allowed(Limits(1, quota_cpus=0.5), 60e9) == pytest.approx(0.5, rel=1e-3)
    assert cpus_allowed(Limits(2), 1e6) == 2
    assert isinstance(prove(LIMITS, (launched(),), epochs(0.5)), Proof)
