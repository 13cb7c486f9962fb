"""The canary as the conductor hears it: the machine's regime around each epoch."""

from __future__ import annotations

from time import monotonic

from xbench.adapter import Limits
from xbench.errors import WorkerError
from xbench.interrupts import Interrupts
from xbench.process import WorkerProcess
from xbench.progress import Progress

TIMEOUT_S = 60.0


class Regime:
    """A canary in a process of its own. Without one, measuring goes on, and rows say so.

    Attributes:
        seconds: Spent listening, in all.
    """

    def __init__(self, progress: Progress) -> None:
        self.seconds = 0.0
        self._progress = progress
        self._canary: WorkerProcess | None = None

    def start(self, limits: Limits, interrupts: Interrupts) -> None:
        """Start the canary on the CPUs and threads that the cells have.

        Raises:
            InterruptedRunError: If the user asked to stop.
        """
        self._canary = WorkerProcess("xbench.canary", limits, interrupts)
        try:
            self._canary.ask({"do": "load"}, TIMEOUT_S)
        except WorkerError as error:
            self._lose(error)

    def canary_ns(self) -> int | None:
        """Return the canary's time now, in nanoseconds, or None without a canary."""
        if not self._canary:
            return None
        start_s = monotonic()
        try:
            return int(self._canary.ask({"do": "sing"}, TIMEOUT_S, patient=True)["ns"])
        except (WorkerError, KeyError) as error:
            self._lose(error)
            return None
        finally:
            self.seconds += monotonic() - start_s

    def end(self) -> None:
        """End the canary's process."""
        if self._canary:
            self._canary.end()
            self._canary = None

    def _lose(self, error: Exception) -> None:
        self.end()
        self._progress.note(f"The canary is gone: {error} Disturbed rounds cannot be told apart.")
