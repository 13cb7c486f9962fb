"""An adapter whose inference takes a known time: statistics are tested without a framework."""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any, ClassVar

from xbench.adapter import Array, Availability, BoundModel, Facts, Limits
from xbench.authoring import require, unsupported

DEFAULT_US = 1000


class BusySession:
    """Spins for a known time; its outputs are right, so that it passes the parity gate.

    `bind`, which is never timed, computes the outputs with ``onnx.reference``. That is slow:
    use small models.
    """

    def __init__(self, model: BoundModel, run_ns: int) -> None:
        self._evaluator = _evaluator(model)
        self._names = model.outputs
        self._run_ns = run_ns
        self._bound: list[Array] = []
        self._outputs: list[Array] = []

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Compute the outputs that the next runs give."""
        outputs: Any = self._evaluator.run(list(self._names), dict(feeds))
        self._bound = list(outputs)

    def run(self) -> None:
        """Keep one CPU busy for the time."""
        end_ns = perf_counter_ns() + self._run_ns
        while perf_counter_ns() < end_ns:
            pass
        self._outputs = self._bound

    def synchronize(self) -> None:
        """Do nothing: `run` returns when the time is over."""

    def outputs(self) -> Mapping[str, Array]:
        """Return the outputs of the last run."""
        return dict(zip(self._names, self._outputs, strict=True))

    def facts(self) -> Facts:
        """Return what holds of one spinning thread."""
        return Facts(precision="fp32", threads=1)

    def close(self) -> None:
        """Forget the outputs."""
        self._bound, self._outputs = [], []


def _evaluator(model: BoundModel) -> Any:
    """Return the reference evaluator of a model; the error for a node it lacks names the node."""
    from onnx.reference import ReferenceEvaluator

    try:
        return ReferenceEvaluator(str(model.path))
    except NotImplementedError as error:
        if found := re.search(r"'(\w+)' (?:from|and) domain '([^']*)'", str(error)):
            detail = "onnx.reference does not know it"
            raise unsupported(model.path, found[1], detail, domain=found[2]) from error
        raise


class BusyAdapter:
    """An inference takes as many microseconds as the variant says: ``busy:1020``."""

    name: ClassVar[str] = "busy"
    variants: ClassVar[Mapping[str, str]] = {
        "": f"Takes {DEFAULT_US} µs an inference",
        **{str(us): f"Takes {us} µs an inference" for us in range(10, 20_001, 10)},
    }

    def __init__(self, variant: str = "") -> None:
        self._run_ns = int(variant or DEFAULT_US) * 1000

    def available(self) -> Availability:
        """Return that it can always run."""
        return Availability("1")

    def prepare(self, limits: Limits) -> str:  # noqa: ARG002 -- the protocol has it
        """Return a version; there is no framework."""
        return "1"

    def load(self, model: BoundModel, limits: Limits, precision: str) -> BusySession:
        """Return a session that spins."""
        require(limits, precision, backend=self.name)
        return BusySession(model, self._run_ns)
