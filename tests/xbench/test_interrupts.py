"""Ctrl-C: once to finish, twice to stop.

The signals are sent in an interpreter of their own: a framework that another test has loaded
into this one may hear them first.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from xbench.interrupts import Interrupts

FIRST = """
import os, select, signal
from xbench.interrupts import Interrupts

heard = []
with Interrupts(lambda: heard.append("first")) as interrupts:
    assert not interrupts.requested
    os.kill(os.getpid(), signal.SIGINT)
    assert select.select([interrupts.wake_fd], [], [], 5)[0]
    assert interrupts.requested
assert heard == ["first"]
"""

SECOND = """
import os, signal
from xbench.interrupts import Interrupts

with Interrupts() as interrupts:
    os.kill(os.getpid(), signal.SIGINT)
    assert interrupts.requested
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("stopped")
"""


def ran(script: str) -> str:
    """Return what the script printed, once sure that it ended well."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_signal_is_kept_and_wakes_who_waits() -> None:
    ran(FIRST)


def test_the_second_signal_stops_at_once() -> None:
    assert ran(SECOND) == "stopped\n"


def test_what_heard_the_signal_before_hears_it_again_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_is_changed() -> None:
    """`xbench.compare` may be called from any thread; only the main one can hear signals."""
    seen: list[object] = []

    def enter() -> None:
        with Interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
