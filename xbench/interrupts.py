"""Ctrl-C: the first finishes cleanly and reports, the second stops now."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """Hears SIGINT and SIGTERM while it is entered.

    The first sets ``requested`` and wakes whoever polls `wake_fd`; the second raises
    KeyboardInterrupt where the program stands, and every ``finally`` on the way out ends
    its workers. Outside the main thread Python delivers no signals, and nothing changes.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        self.wake_fd, self._wake_end = os.pipe()
        os.set_blocking(self._wake_end, False)
        self._on_first = on_first
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal() itself gave us
        self._before.clear()
        os.close(self.wake_fd)
        os.close(self._wake_end)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        os.write(self._wake_end, b"!")
        self._on_first()
