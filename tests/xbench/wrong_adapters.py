"""A right adapter without a framework, and others, each of them wrong in one way."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from hashlib import pbkdf2_hmac
from typing import Any, ClassVar

from xbench.adapter import Array, Availability, BoundModel, Facts, Limits
from xbench.authoring import require
from xbench.errors import UnsupportedNodeError
from xbench.testing.busy import BusyAdapter, BusySession

ONE_THREAD = Limits(1)


class Quick(BusyAdapter):
    """A right adapter, which each of those below makes wrong in one way."""

    session: ClassVar[type[BusySession]] = BusySession

    def load(self, model: BoundModel, limits: Limits, precision: str) -> BusySession:
        super().load(model, limits, precision)  # refuses what it must
        return self.session(model, 1000)


class Incomplete(Quick):
    variants: ClassVar[Mapping[str, str]] = {"fast": "there is no default"}


class Unhelpful(Quick):
    def available(self) -> Availability:
        return Availability(None, reason="it does not run")


class Nameless(Quick):
    def prepare(self, limits: Limits) -> str:
        return ""


class ReversedSession(BusySession):
    def outputs(self) -> Mapping[str, Array]:
        return dict(reversed([*super().outputs().items()]))


class Reversed(Quick):
    session = ReversedSession


class DeafSession(BusySession):
    """Keeps the inputs that were bound first."""

    def bind(self, feeds: Mapping[str, Array]) -> None:
        if not self._bound:
            super().bind(feeds)


class Deaf(Quick):
    session = DeafSession


class HastySession(BusySession):
    """Shows the outputs of inputs that were bound and never run."""

    def outputs(self) -> Mapping[str, Array]:
        self._outputs = self._bound
        return super().outputs()


class Hasty(Quick):
    session = HastySession


class OverwritingSession(BusySession):
    """Gives arrays out that the next run writes to."""

    def run(self) -> None:
        before = self._outputs
        super().run()
        for old, new in zip(before, self._outputs, strict=False):
            old[...] = new
        self._outputs = before or [one.copy() for one in self._outputs]


class Overwriting(Quick):
    session = OverwritingSession


class ScribblingSession(BusySession):
    """Works in the memory of its inputs."""

    def bind(self, feeds: Mapping[str, Array]) -> None:
        super().bind(feeds)
        self.feeds = feeds

    def run(self) -> None:
        super().run()
        for array in self.feeds.values():
            array[...] = 0


class Scribbling(Quick):
    session = ScribblingSession


class BoastingSession(BusySession):
    """Tells more threads than it was asked for."""

    def facts(self) -> Facts:
        return Facts(precision="fp32", threads=64)


class Boasting(Quick):
    session = BoastingSession


class FragileSession(BusySession):
    def close(self) -> None:
        del self._evaluator


class Fragile(Quick):
    session = FragileSession


class SharingSession(BusySession):
    """All of its sessions have one set of outputs."""

    last: ClassVar[list[Array]] = []

    def run(self) -> None:
        super().run()
        type(self).last = self._outputs

    def outputs(self) -> Mapping[str, Array]:
        return dict(zip(self._names, self.last, strict=True))


class Sharing(Quick):
    session = SharingSession


class TensorFloatSession(BusySession):
    """Multiplies in TF32: float32 with ten bits of its mantissa."""

    def bind(self, feeds: Mapping[str, Array]) -> None:
        super().bind({name: _tf32(array) for name, array in feeds.items()})


class TensorFloat(Quick):
    session = TensorFloatSession


class StaleSession(BusySession):
    """Leaves its outputs on the device, and shows those that were on the host before."""

    boundary = "host"

    def at(self, boundary: str) -> None:
        self.boundary = boundary

    def device_ns(self) -> int:
        return 1

    def outputs(self) -> Mapping[str, Array]:
        if self.boundary == "host" or not hasattr(self, "shown"):
            self.shown = super().outputs()
        return self.shown


class Stale(Quick):
    session = StaleSession


class DoublingSession(BusySession):
    def outputs(self) -> Mapping[str, Array]:
        found: Mapping[str, Any] = super().outputs()
        return {name: array + array for name, array in found.items()}


class Doubling(Quick):
    """Takes a file of any precision, and computes something else."""

    def load(self, model: BoundModel, limits: Limits, precision: str) -> BusySession:
        return DoublingSession(model, 1000)


class GreedySession(BusySession):
    """Keeps a second thread busy, whatever it was asked for."""

    def bind(self, feeds: Mapping[str, Array]) -> None:
        super().bind(feeds)
        threading.Thread(target=self._spin, daemon=True).start()

    def _spin(self) -> None:
        """Hash for long at a time without the interpreter's lock: who waits for it takes turns."""
        while True:
            pbkdf2_hmac("sha256", b"", b"", 200_000)


class Greedy(Quick):
    session = GreedySession


class Vague(Quick):
    """Gives the framework's own error for an operator that it lacks."""

    def load(self, model: BoundModel, limits: Limits, precision: str) -> BusySession:
        from onnx.reference import ReferenceEvaluator

        ReferenceEvaluator(str(model.path))
        return super().load(model, limits, precision)


class Obliging(Quick):
    """Takes any device and any precision, and computes as it always does."""

    def load(self, model: BoundModel, limits: Limits, precision: str) -> BusySession:
        return super().load(model, ONE_THREAD, "fp32")


class Credulous(Quick):
    """Checks nothing, and says that it would load."""

    def check(self, model: BoundModel, limits: Limits, precision: str) -> None:
        require(limits, precision, backend=self.name)


class Timid(Quick):
    """Refuses with its own check what it loads."""

    def check(self, model: BoundModel, limits: Limits, precision: str) -> None:
        raise UnsupportedNodeError("nonsense_1", "xbench.testing::Nonsense", 1, "it may fail")


def _tf32(array: Any) -> Array:
    import numpy as np

    bits: Array = (array.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    return bits
