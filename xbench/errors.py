"""Every error that xbench raises on purpose, as one tree.

::

    XbenchError
    ├── UsageError                  the request cannot be understood or met as written
    │   ├── UnknownNameError        no such backend, model, device: with "did you mean"
    │   └── ShapeError              a shape that the model does not accept
    ├── ModelError                  the model file cannot be read or trusted
    │   └── UnsupportedNodeError    a node that a backend cannot run
    ├── BackendUnavailableError     the framework behind a backend cannot run here
    ├── DeviceMemoryError           a GPU has too little memory left
    ├── MeterError                  a meter or a driver does not tell, or not the truth
    ├── WorkerError                 a worker did not do its job
    │   ├── WorkerCrashedError      it ended by itself, or by a signal
    │   ├── WorkerTimeoutError      it did not answer in time
    │   └── WorkerMemoryError       it ran out of memory
    └── InterruptedRunError         the user asked to stop

Each says what happened and what to do next, carries its data as attributes, and
survives pickling.
"""

from __future__ import annotations


class XbenchError(Exception):
    """Anything that xbench raises on purpose: what happened, and the next step."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason, fix)
        self.reason = reason
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.reason}. {self.fix}." if self.fix else f"{self.reason}."


class UsageError(XbenchError):
    """The request cannot be understood, or met as written."""


class UnknownNameError(UsageError):
    """No backend, model or device has the name asked for."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...], listing: str) -> None:
        from difflib import get_close_matches

        close = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        super().__init__(f"there is no {kind} {name!r}", f"{hint}`{listing}` lists them all")
        self.args = (kind, name, known, listing)
        self.name = name
        self.suggestion = close[0] if close else None


class ShapeError(UsageError):
    """A shape was asked for that the model does not accept."""


class ModelError(XbenchError):
    """A model file cannot be read, or cannot be trusted."""


class UnsupportedNodeError(ModelError):
    """A node of the model that a backend cannot run; ``?`` stands for what is not known of it."""

    def __init__(self, node: str, operator: str, version: int, detail: str) -> None:
        of = f" ({operator})" if operator != "?" else ""
        named = f"node {node!r} ({operator}, version {version})"
        super().__init__(
            f"{named if node != '?' else f'a node{of}'} is not supported: {detail}",
            "Another backend may run it; the other cells are not affected",
        )
        self.args = (node, operator, version, detail)
        self.node = node
        self.operator = operator
        self.version = version
        self.detail = detail


class BackendUnavailableError(XbenchError):
    """The framework behind a backend cannot run on this machine."""

    def __init__(self, backend: str, reason: str, fix: str) -> None:
        super().__init__(f"{backend}: {reason}", fix)
        self.args = (backend, reason, fix)
        self.backend = backend


class DeviceMemoryError(XbenchError):
    """A GPU has too little memory left."""


class MeterError(XbenchError):
    """A meter or a driver cannot be read, or what it says cannot be true."""


class WorkerError(XbenchError):
    """A worker process did not do its job."""


class WorkerCrashedError(WorkerError):
    """A worker ended by itself, by a signal, or with an exception."""


class WorkerTimeoutError(WorkerError):
    """A worker did not answer in the time it was given."""


class WorkerMemoryError(WorkerError):
    """A worker ran out of memory, or was killed for it."""


class InterruptedRunError(XbenchError):
    """The user asked to stop."""

    def __init__(self, reason: str = "interrupted", fix: str = "") -> None:
        super().__init__(reason, fix)
