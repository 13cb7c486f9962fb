"""What a meter is: a way to read joules so far, or watts now; or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from xbench.errors import MeterError as MeterError  # raised by every meter


class Scope(StrEnum):
    """What the energy of a meter belongs to. Scopes overlap, so they are never added up."""

    PACKAGE = "package"  # the processor packages: cores, caches, memory controllers
    DRAM = "dram"  # memory modules, which are no part of the packages
    PLATFORM = "platform"  # psys: whatever the maker of the machine wired to it
    BOARD = "board"  # a whole accelerator card, or the input of a single-board computer
    RAIL = "rail"  # one supply line, of which several feed a chip


class Kind(StrEnum):
    """How a meter tells energy."""

    COUNTER = "counter"  # the hardware adds up joules
    POWER = "sampled"  # it tells watts, which are read often and added up here
    CONSTANT = "declared"  # nothing is read: the watts were given by somebody


def nothing() -> None:
    """Note nothing."""


def nobody(idle: bool) -> str | None:  # noqa: ARG001 -- the signature is that of `Meter.others`
    """Return None: nothing is known of others who use the device."""
    return None


@dataclass(frozen=True, slots=True)
class Meter:
    """Something that tells the energy of a device.

    Attributes:
        name: What reads it, and what it reads: ``nvml counter GPU-1234``.
        device: What it measures; two meters of one device and scope must agree.
        read: Joules since some start for a counter, which never fall; else watts. Raises
            `MeterError`.
        settle_s: For how long after a change of load it still tells of the time before.
        longest_gap_s: The time after which a reading may have missed a wrap.
        most_w: No more than this can be true.
        watch: Called as a window starts, so that ``others`` can tell what happened in it.
        others: Called as a window ends, with whether the model was idle: what else used the
            device in it, or None.
        notes: What a reader of its figures has to know.
    """

    name: str
    device: str
    scope: Scope
    kind: Kind
    read: Callable[[], float]
    settle_s: float = 0.0
    longest_gap_s: float = inf
    most_w: float = inf
    watch: Callable[[], None] = nothing
    others: Callable[[bool], str | None] = nobody
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """A meter that this machine does not have, or does not let us read: why, and what helps."""

    name: str
    device: str
    scope: Scope
    reason: str
    fix: str


def declared(watts: float, device: str, scope: Scope, source: str) -> Meter:
    """Return a meter that always tells the watts that somebody gave: an estimate.

    Args:
        watts: Such as what a wall meter showed under this load.
        device: What they belong to.
        scope: What of it.
        source: Who says so; the figure's label is ``estimated:`` and this.
    """
    return Meter(source, device, scope, Kind.CONSTANT, lambda: watts)
