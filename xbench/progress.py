"""What a long run tells while it runs, so that only `cli/` needs to know how to show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xbench.result import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands after a round.

    Attributes:
        launch: Number of the launch, from 1.
        launches: Most launches there will be.
        round: Number of the round within the launch, from 1.
        ratios: For each candidate's label, its ratio to the baseline so far.
        elapsed_s: Seconds since the first worker's start.
        remaining_s: At most this many seconds are left.
    """

    launch: int
    launches: int
    round: int
    ratios: tuple[tuple[str, Interval | None], ...]
    elapsed_s: float
    remaining_s: float


class Progress(Protocol):
    """Hears of each step. Called between measurements, never during one."""

    def phase(self, text: str) -> None:
        """Hear what begins now, such as ``launch 2 of 5: loading openvino``."""

    def standing(self, standing: Standing) -> None:
        """Hear where the run stands after a round."""

    def note(self, text: str) -> None:
        """Hear of something that the user should know at once, such as a cell that failed."""


class Silent:
    """A progress that nobody watches."""

    def phase(self, text: str) -> None:
        """Do nothing."""

    def standing(self, standing: Standing) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""
