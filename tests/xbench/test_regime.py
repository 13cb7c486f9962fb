"""What other programs take of the CPUs, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys
from time import monotonic_ns, process_time_ns, sleep

import pytest

from xbench.regime import TICK_NS, Others, Usage, busy_ns


def test_a_neighbour_is_seen_and_we_are_not() -> None:
    """Half a second beside a busy process: it used CPU time that was not ours."""
    cpus = tuple(sorted(os.sched_getaffinity(0)))

    def now() -> Usage:
        return Usage(monotonic_ns(), busy_ns(cpus), process_time_ns())

    spin = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        sleep(0.2)
        before = now()
        sleep(1.0)
        beside = before.others_cpus(now())
    finally:
        spin.kill()
        spin.wait()
    assert beside is not None
    assert beside > 0.3


def test_what_the_kernel_does_not_tell_is_unknown() -> None:
    assert busy_ns((4096,)) is None
    assert Usage(0, None, 0).others_cpus(Usage(10, None, 0)) is None
    assert Usage(0, 0, 0).others_cpus(Usage(0, 5, 0)) is None


def test_what_we_use_ourselves_is_nobody_else_s() -> None:
    assert Usage(0, 0, 0).others_cpus(Usage(100, 150, 150)) == 0.0
    assert Usage(0, 0, 0).others_cpus(Usage(100, 150, 50)) == 1.0
    assert Usage(0, 0, 0).others_cpus(Usage(100, 50, 60)) == 0.0  # ticks are coarse, never less


@pytest.mark.parametrize("cpus", [2, 16, 128])
def test_coarse_ticks_make_no_neighbour_however_many_cpus_work_together(cpus: int) -> None:
    """All work in rounds of 73 ms and rest for 11; the kernel counts whole ticks of each CPU.

    Once the account goes back far enough, it is off by no more than a calm machine may be.
    """
    work_ns, rest_ns = 73_000_000, 11_000_000
    others, told = Others(), []
    busy = at = 0

    def usage() -> Usage:
        return Usage(at, cpus * (busy // TICK_NS) * TICK_NS, cpus * busy)

    for _ in range(400):
        at += rest_ns
        before = usage()
        at, busy = at + work_ns, busy + work_ns
        told.append(others.cpus(before, usage(), cpus=cpus, workers=(1, 2)))
    settled = told[len(told) // 2 :]
    assert all(one is not None and one <= 0.15 for one in settled)


def test_a_neighbour_stays_seen_over_the_longer_stretch() -> None:
    others, told = Others(), []
    for number in range(100):
        start = number * 84_000_000
        end = start + 73_000_000
        before, after = (Usage(at, 17 * at, 16 * at) for at in (start, end))
        told.append(others.cpus(before, after, cpus=16, workers=(1,)))
    assert told[-1] == pytest.approx(1.0, rel=0.01)


def test_with_other_workers_the_account_begins_anew() -> None:
    """A worker that has gone took its CPU time with it: there is no account across that."""
    others = Others()
    first, second = Usage(0, 0, 500), Usage(100, 100, 600)
    assert others.cpus(first, second, cpus=2, workers=(1, 2)) == 0.0
    third, fourth = Usage(100, 100, 0), Usage(200, 200, 100)
    assert others.cpus(third, fourth, cpus=2, workers=(1,)) == 0.0
