"""An adapter that breaks, in a chosen way and at a chosen moment, in a real worker process.

``faulty:segfault-round`` works until the first round and ends there by a signal. Up to its
fault it runs the model as `xbench.testing.busy` does.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from time import sleep
from typing import ClassVar

from xbench.adapter import Array, Availability, BoundModel, Limits
from xbench.authoring import require
from xbench.testing.busy import BusySession

RUN_NS = 200_000
FLOOD_BYTES = 1 << 30
CHUNK_BYTES = 1 << 24
SPARE_BYTES = 1 << 30
HELD_BYTES = 200_000_000
CHILD_BYTES = 300_000_000
MOMENT_S = 0.2
EXIT_STATUS = 3
LATER = 4
MORE_THREADS = 3
MIDWAY = 150
SECOND = 2
STALL_S = 0.5

FAULTS = {
    "segfault": "reads address zero",
    "kill": "is killed by SIGKILL",
    "exit": f"leaves with exit status {EXIT_STATUS}",
    "hang": "never returns",
    "raise": "raises an exception",
    "flood": "prints a gigabyte, and works on",
    "memory": "takes memory until it is refused",
    "hold": "takes 200 MB more and keeps it, and works on",
    "child": "has a child that holds 300 MB for a moment, and works on",
    "threads": "starts threads that compute, whatever its cap, and works on",
    "stray": "does so on every CPU of the machine, whatever it was given, and works on",
    "stall": "sleeps for half a second, and works on",
    "fork": "has a copy of itself that holds 300 MB more for a moment, and works on",
}
MOMENTS = {
    "prepare": "when its framework would be imported",
    "convert": "when it makes a form of its own",
    "load": "when it loads the model",
    "run": "in the first inference",
    "warmup": "in the second inference",
    "round": "in the first inference after inputs were bound again",
    "later": f"in the first inference after inputs were bound {LATER} times",
    "midway": f"in the {MIDWAY}th inference after inputs were bound again",
    "outputs": "when its outputs are asked for",
}


class FaultyAdapter:
    """Breaks as its variant says: a fault of `FAULTS`, a dash, and a moment of `MOMENTS`."""

    name: ClassVar[str] = "faulty"
    variants: ClassVar[Mapping[str, str]] = {
        "": "Works",
        "wrong": "Its outputs are off by a hundredth",
        "second": "The outputs of its second session are off by a hundredth",
        **{f"{f}-{m}": f"It {FAULTS[f]} {MOMENTS[m]}" for f in FAULTS for m in MOMENTS},
    }

    def __init__(self, variant: str = "") -> None:
        self._fault, _, self._moment = variant.partition("-")
        self._loaded = 0

    def available(self) -> Availability:
        """Return that it can always run, though not for long."""
        return Availability("1")

    def prepare(self, limits: Limits) -> str:  # noqa: ARG002 -- the protocol has it
        """Return a version, or break."""
        self._reach("prepare")
        return "1"

    def convert(self, model: BoundModel, limits: Limits, precision: str) -> None:  # noqa: ARG002 -- the protocol has them
        """Do nothing, or break."""
        self._reach("convert")

    def load(self, model: BoundModel, limits: Limits, precision: str) -> FaultySession:
        """Return a session that will break, or break."""
        require(limits, precision, backend=self.name)
        self._reach("load")
        self._loaded += 1
        wrong = self._fault == "second" and self._loaded == SECOND
        return FaultySession(model, "wrong" if wrong else self._fault, self._moment)

    def _reach(self, moment: str) -> None:
        if moment == self._moment:
            inject(self._fault)


class FaultySession(BusySession):
    """Takes a fifth of a millisecond an inference, until its moment comes."""

    def __init__(self, model: BoundModel, fault: str, moment: str) -> None:
        super().__init__(model, RUN_NS)
        self._fault, self._moment = fault, moment
        self._runs = self._binds = self._since = 0

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Compute the outputs that the next runs give."""
        self._binds += 1
        self._since = 0
        super().bind(feeds)

    def run(self) -> None:
        """Spin, or break."""
        self._runs += 1
        self._since += 1
        if self._reached():
            self._moment = ""  # what returns happens once
            inject(self._fault)
        super().run()

    def outputs(self) -> Mapping[str, Array]:
        """Return the outputs of the last run, or break."""
        if self._moment == "outputs":
            inject(self._fault)
        outputs = super().outputs()
        if self._fault == "wrong":
            return {name: _off(array) for name, array in outputs.items()}
        return outputs

    def _reached(self) -> bool:
        match self._moment:
            case "run":
                return True
            case "warmup":
                return self._runs == 2
            case "round":
                return self._binds == 2
            case "later":
                return self._binds == LATER
            case "midway":
                return self._binds == SECOND and self._since == MIDWAY
        return False


def _off(array: Array) -> Array:
    import numpy as np

    return np.multiply(array, 1.01, dtype=array.dtype, casting="unsafe")


def inject(fault: str) -> None:
    """Break this process now. Faults that work on return.

    Raises:
        RuntimeError: For ``raise``.
        MemoryError: For ``memory``.
    """
    match fault:
        case "segfault":
            _read_address_zero()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(EXIT_STATUS)
        case "hang":
            while True:
                sleep(3600)
        case "raise":
            raise RuntimeError("a fault was injected")
        case "flood":
            _flood()
        case "memory":
            _take_all_memory()
        case "hold":
            _held.append(b"x" * HELD_BYTES)
        case "child":
            hold = f"import time; held = b'x' * {CHILD_BYTES}; time.sleep({MOMENT_S})"
            subprocess.run([sys.executable, "-c", hold], check=True)
        case "threads":
            _compute_beside()
        case "stray":
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
            _compute_beside()
        case "fork":
            _hold_in_a_copy()
        case "stall":
            sleep(STALL_S)
        case _:
            raise ValueError(f"there is no fault {fault!r}; there are {', '.join(FAULTS)}")


_held: list[bytes] = []


def _compute_beside() -> None:
    """Start threads that compute until this process ends; they inherit its affinity."""
    for _ in range(MORE_THREADS):
        Thread(target=_compute, daemon=True).start()


def _compute() -> None:
    data = b"x" * CHUNK_BYTES
    while True:
        hashlib.sha256(data)  # other threads run meanwhile: it releases the interpreter's lock


def _hold_in_a_copy() -> None:
    copy = os.fork()
    if not copy:
        held = b"x" * CHILD_BYTES
        sleep(MOMENT_S)
        os._exit(len(held) - CHILD_BYTES)
    os.waitpid(copy, 0)


def _read_address_zero() -> None:
    import ctypes

    signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # a fault handler of the tests' must not speak
    ctypes.string_at(0)


def _flood() -> None:
    line = b"the quick brown fox jumps over the lazy dog, again and again\n"
    chunk = line * (CHUNK_BYTES // len(line))
    written = 0
    while written < FLOOD_BYTES:
        written += os.write(1, chunk)


def _take_all_memory() -> None:
    """Raise `MemoryError`, after a gigabyte more at the latest: the machine is not ours alone."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPARE_BYTES, hard))
    taken = []
    while True:
        taken.append(b"x" * CHUNK_BYTES)  # zeros would be promised, and not taken
