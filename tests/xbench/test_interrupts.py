"""Ctrl-C: once to finish, twice to stop."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from xbench.interrupts import Interrupts


def test_the_first_signal_is_kept_and_wakes_who_waits() -> None:
    heard: list[str] = []
    with Interrupts(lambda: heard.append("first")) as interrupts:
        assert not interrupts.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert select.select([interrupts.wake_fd], [], [], 5)[0]
        assert interrupts.requested
    assert heard == ["first"]


def test_the_second_signal_stops_at_once() -> None:
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


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
