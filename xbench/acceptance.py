"""Whether a backend takes a model: asked in a worker, since no framework loads in the parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from xbench.adapter import BoundModel, Limits
from xbench.crew import STATUS_OF
from xbench.errors import WorkerError
from xbench.interrupts import Interrupts
from xbench.process import WorkerProcess
from xbench.result import Status
from xbench.wire import Message, model_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedNode:
    """The first node of a model that a backend cannot run.

    Attributes:
        operator: With its domain before it, where that is not ONNX's own.
        version: Of its schema or its operator set; None where the backend does not tell.
        detail: Why it cannot be run.
    """

    name: str
    operator: str
    version: int | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one backend made of the model.

    Attributes:
        status: ``ok`` if it takes the model. Nothing was run, so it is no proof of outputs.
        backend_version: The framework's, or None where it could not be imported.
        how: ``loaded``: the model was loaded; ``checked``: the adapter looked at each node
            without loading; None where it did not get that far.
        node: The node that stops it, where it is a node.
    """

    backend: str
    status: Status
    backend_version: str | None = None
    how: str | None = None
    reason: str | None = None
    fix: str | None = None
    node: RefusedNode | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the answer as plain data."""
        return {**asdict(self), "status": self.status.value}


def ask(
    backend: str,
    model: BoundModel,
    limits: Limits,
    timeout_s: float,
    interrupts: Interrupts,
    precision: str = "fp32",
) -> Answer:
    """Return whether ``backend`` takes ``model``; whatever it does, its process ends.

    Args:
        backend: Such as ``pytorch`` or ``pytorch:compile``.
        model: The model with its dimensions decided.
        limits: What the worker may use.
        timeout_s: Seconds for each of importing and loading.
        interrupts: Wakes the wait when the user asks to stop.
        precision: What it must hold.

    Raises:
        InterruptedRunError: If the user asked to stop.
    """
    setting = {
        "backend": backend,
        "limits": asdict(limits),
        "model": model_to_json(model),
        "precision": precision,
    }
    version: str | None = None
    try:
        process = WorkerProcess("xbench.worker", limits, interrupts)
    except OSError as error:
        return _no(backend, version, {"status": Status.CRASHED, "reason": str(error)})
    try:
        told = process.ask({"do": "prepare", **setting}, timeout_s)
        if "error" not in told:
            version = told["version"]
            told = process.ask({"do": "check", **setting}, timeout_s)
    except WorkerError as error:
        problem = {"status": STATUS_OF[type(error)], "reason": error.reason, "fix": error.fix}
        return _no(backend, version, problem)
    finally:
        process.end()
    if "error" in told:
        return _no(backend, version, told["error"])
    return Answer(backend=backend, status=Status.OK, backend_version=version, how=told["how"])


def _no(backend: str, version: str | None, problem: Mapping[str, Any]) -> Answer:
    status = Status(problem["status"])
    fix = problem.get("fix") or None
    if status is Status.CRASHED:  # the fixes that it comes with speak of a run folder's log
        fix = f"What it printed is kept by: xbench compare MODEL --backends {backend}"
    return Answer(
        backend=backend,
        status=status,
        backend_version=version,
        reason=problem["reason"],
        fix=fix,
        node=_node(problem.get("node")),
    )


def _node(told: Message | None) -> RefusedNode | None:
    return RefusedNode(**{**told, "version": told["version"] or None}) if told else None
