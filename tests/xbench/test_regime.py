"""What other programs take of the CPUs, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys
from time import monotonic_ns, process_time_ns, sleep

from xbench.regime import Usage, busy_ns


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
