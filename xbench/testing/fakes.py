"""Sessions and adapters without a framework: one that does nothing, one that remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from xbench.adapter import Adapter, Array, Availability, BoundModel, Facts, Limits, Session


class NullSession:
    """Does nothing: what remains in a measurement is the harness itself."""

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Do nothing."""

    def run(self) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Do nothing."""

    def outputs(self) -> Mapping[str, Array]:
        """Return no outputs."""
        return {}

    def facts(self) -> Facts:
        """Return that nothing is known."""
        return Facts()

    def close(self) -> None:
        """Do nothing."""


class NullAdapter:
    """Loads any model as a `NullSession`."""

    name: ClassVar[str] = "null"
    variants: ClassVar[Mapping[str, str]] = {"": "Does nothing: measures the harness"}

    def __init__(self, variant: str = "") -> None:
        self.variant = variant

    def available(self) -> Availability:
        """Return that it can always run."""
        return Availability("0")

    def prepare(self, limits: Limits) -> str:  # noqa: ARG002 -- the protocol has it
        """Return a version; there is nothing to import."""
        return "0"

    def load(self, model: BoundModel, limits: Limits, precision: str) -> Session:  # noqa: ARG002 -- the protocol has them
        """Return a session that does nothing."""
        return NullSession()


class RecordingSession:
    """Passes every call on, and keeps the names of the calls in order.

    Attributes:
        calls: ``bind``, ``run``, ``synchronize``, ``outputs``, ``facts`` and ``close``, as called.
        feeds: The inputs that were bound, oldest first.
    """

    def __init__(self, inner: Session | None = None) -> None:
        self.inner: Session = inner or NullSession()
        self.calls: list[str] = []
        self.feeds: list[dict[str, Array]] = []

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Keep the inputs and pass them on."""
        self.calls.append("bind")
        self.feeds.append(dict(feeds))
        self.inner.bind(feeds)

    def run(self) -> None:
        """Pass on."""
        self.calls.append("run")
        self.inner.run()

    def synchronize(self) -> None:
        """Pass on."""
        self.calls.append("synchronize")
        self.inner.synchronize()

    def outputs(self) -> Mapping[str, Array]:
        """Return what the inner session gives."""
        self.calls.append("outputs")
        return self.inner.outputs()

    def facts(self) -> Facts:
        """Return what the inner session tells."""
        self.calls.append("facts")
        return self.inner.facts()

    def close(self) -> None:
        """Pass on."""
        self.calls.append("close")
        self.inner.close()


class RecordingAdapter:
    """Wraps an adapter; its sessions are recorded.

    Attributes:
        calls: ``available``, ``prepare`` and ``load``, as called.
        sessions: The sessions that were loaded, oldest first.
    """

    name: ClassVar[str] = "recording"
    variants: ClassVar[Mapping[str, str]] = {"": "Keeps what was asked of it"}

    def __init__(self, inner: Adapter | None = None) -> None:
        self.inner: Adapter = inner or NullAdapter()
        self.calls: list[str] = []
        self.sessions: list[RecordingSession] = []

    def available(self) -> Availability:
        """Return what the inner adapter says."""
        self.calls.append("available")
        return self.inner.available()

    def prepare(self, limits: Limits) -> str:
        """Return the inner adapter's version."""
        self.calls.append("prepare")
        return self.inner.prepare(limits)

    def load(self, model: BoundModel, limits: Limits, precision: str) -> RecordingSession:
        """Return the inner adapter's session, recorded."""
        self.calls.append("load")
        session = RecordingSession(self.inner.load(model, limits, precision))
        self.sessions.append(session)
        return session
