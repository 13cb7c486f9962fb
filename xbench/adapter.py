"""The protocols between the harness and a framework.

The harness owns the clock. An adapter loads a model and hands back a session; a session
binds inputs, runs, waits and shows its outputs. `xbench.testing` has the conformance
suite that every adapter passes, and `adapters/README.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
else:  # numpy is heavy, and `xbench --help` must not pay for it
    Array = Any


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model.

    Attributes:
        name: As the ONNX graph spells it.
        dtype: NumPy's name for the element type, such as ``float32``.
        shape: One entry a dimension: a length, or the symbol of a dimension that is open.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Native:
    """What a model was before it became an ONNX file: its own framework may run it as it is.

    Its inputs and outputs are those of the ONNX file, in the same order.

    Attributes:
        framework: The adapter that runs it: ``pytorch``, ``keras`` or ``litert``.
        form: What it is; see `xbench.source`.
        target: The path of a file or folder, or ``module:factory``.
        seed: Of the weights that a factory draws.
        trusted: Whether the user allows what may run code when it is loaded.
    """

    framework: str
    form: str
    target: str
    seed: int = 0
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class BoundModel:
    """A model file with every input dimension decided.

    The file itself is never rewritten: an adapter fixes the dimensions by its own means.

    Attributes:
        path: The ``.onnx`` file; external data lies beside it.
        inputs: The graph's inputs in order; every dimension is a length.
        outputs: The names of the graph's outputs, in order.
        symbols: The length given to each named dimension, such as ``{"batch": 1}``.
        native: What the file was made from, where that can be run as well.
        calibration: An ``.npz`` of input sets, as `xbench.inputs.load_feeds` reads them, for
            backends that choose scales by what they see: drawn apart from those that are timed, or
            the user's.
    """

    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    symbols: Mapping[str, int]
    native: Native | None = None
    calibration: Path | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each input, by name."""
        return {spec.name: tuple(int(d) for d in spec.shape) for spec in self.inputs}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may use. The parent imposes it before the worker starts: `xbench.caps`.

    Attributes:
        threads: Threads for one inference; adapters give this to their framework explicitly.
        cpus: The CPUs that the worker may run on.
        memory_bytes: The cap on the memory of the worker and all that it starts, or None.
        device: ``cpu``, or a GPU as the driver counts them: ``cuda:0``.
        uuid: That GPU's UUID. The worker sees no other, so that its framework counts it as 0.
        quota_cpus: The cap on CPU time where that is less than ``threads``, such as 0.5, or None.
        profile: The device that these caps imitate, by its name in `xbench profiles`, or None.
        streams: Inferences at once, each with ``threads`` of its own; adapters need not know.
    """

    threads: int
    cpus: tuple[int, ...] = ()
    memory_bytes: int | None = None
    device: str = "cpu"
    uuid: str | None = None
    quota_cpus: float | None = None
    profile: str | None = None
    streams: int = 1

    @property
    def all_threads(self) -> int:
        """Return the threads of all inferences at once."""
        return self.threads * self.streams

    @property
    def helpers(self) -> Limits:
        """Return the limits of what helps to measure: the same CPUs, and no cap on what it needs.

        A canary or a reference is no part of the device that a profile imitates.
        """
        return replace(self, memory_bytes=None, quota_cpus=None, profile=None, streams=1)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can run here. Found without importing its framework.

    Attributes:
        version: The framework's version, or None where it is not installed.
        devices: Devices that it can use, such as ``("cpu",)``.
        reason: Why it cannot run, or None.
        fix: The command that helps, or None.
    """

    version: str | None
    devices: tuple[str, ...] = ("cpu",)
    reason: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """Nodes that ran somewhere else than asked.

    Attributes:
        nodes: How many.
        names: The first few, by name.
        where: The device or provider that ran them.
    """

    nodes: int
    names: tuple[str, ...]
    where: str


AS_GIVEN = "as it is"
"""How `Facts.importer` begins where the model ran in the form that it was given in."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a session can tell about itself; None where its runtime does not say.

    Attributes:
        precision: Precision of the arithmetic, read back from the runtime.
        threads: Threads of one inference, read back from the runtime.
        fallback: Nodes off the requested device; None where the runtime does not tell.
        importer: How the ONNX graph reached the framework, where that is not the framework's own;
            ``as it is: …`` where a model in the framework's own form was run.
        convert_s: Seconds spent turning the ONNX graph into the framework's own form.
        allocator_bytes: Memory that the framework's own allocator holds.
        options: Settings worth keeping, such as ``{"graph_optimization": "all"}``.
    """

    precision: str | None = None
    threads: int | None = None
    fallback: Fallback | None = None
    importer: str | None = None
    convert_s: float | None = None
    allocator_bytes: int | None = None
    options: Mapping[str, str] | None = None


@runtime_checkable
class Session(Protocol):
    """A loaded model, ready to run. One thread uses it."""

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Take the inputs of the next runs, by name. Never inside the timed region."""

    def run(self) -> None:
        """Start one inference on the bound inputs; the timed region."""

    def synchronize(self) -> None:
        """Return when the last run is finished and its outputs are readable; timed too."""

    def outputs(self) -> Mapping[str, Array]:
        """Return the outputs of the last run, by name, in the graph's order, as NumPy arrays."""

    def facts(self) -> Facts:
        """Return what the runtime tells about this session. Asked for after the first run."""

    def close(self) -> None:
        """Give everything back."""


BOUNDARIES = ("host", "device", "compute")
"""Where a timed run begins and ends; see `Resident.at`."""


@runtime_checkable
class Resident(Protocol):
    """What a session on an accelerator may have besides: runs that leave the data there.

    It starts at ``host``. A session without this knows no other boundary.
    """

    def at(self, boundary: str) -> None:
        """Have the next runs begin and end there; called when none is under way.

        ``host``: NumPy arrays in, NumPy arrays out, as everywhere. ``device``: the bound inputs
        lie on the device already, and the outputs stay there; `Session.outputs` still returns them,
        outside the timed region. ``compute``: as ``device``, and the device's own events are
        recorded before and after the run.

        Raises:
            UsageError: If it cannot, as where outputs have no fixed shape.
        """

    def device_ns(self) -> int:
        """Return the nanoseconds between the events of the last run at ``compute``.

        Asked for after `Session.synchronize`.
        """


@runtime_checkable
class Adapter(Protocol):
    """A framework behind a backend name. Created with the variant that was asked for.

    An entry point of the group ``xbench.adapters`` names a class (or any callable) that
    takes a variant and returns one of these.
    """

    name: ClassVar[str]
    variants: ClassVar[Mapping[str, str]]
    """Each variant and what it does, in one line; ``""`` is the default one.

    Besides, an adapter may have ``hidden`` (variants that no listing shows), ``takes_onnx`` (False:
    it runs models in a form of its own only, and is in ``all`` where one is given so), ``kinds``
    (of devices that it is made for, such as ``cuda``: it is in ``all`` on these), ``variant_kinds``
    (the same of each variant that is made for others) and ``precisions`` (the precision of each
    variant that computes in that one only).
    """

    def available(self) -> Availability:
        """Return whether this backend can run here, without importing its framework."""

    def prepare(self, limits: Limits) -> str:
        """Import the framework, set its process-wide limits, and return its version.

        Raises:
            BackendUnavailableError: If it cannot be imported.
        """

    def load(self, model: BoundModel, limits: Limits, precision: str) -> Session:
        """Return a session that runs ``model`` within ``limits`` at ``precision``.

        At ``fp16``, ``bf16`` and ``int8`` the file itself has that arithmetic already, see
        `xbench.graph.precision`; but for a variant that is in ``precisions``, which is given the
        model as it was and narrows it by its own means.

        Raises:
            UnsupportedNodeError: If a node of the model cannot be run.
            UsageError: If the precision or device cannot be held.
        """


@runtime_checkable
class Checks(Protocol):
    """What an adapter may have besides: an answer that is cheaper than loading.

    `xbench inspect` asks it in a worker, after `Adapter.prepare`; of an adapter without it the
    model is loaded.
    """

    def check(self, model: BoundModel, limits: Limits, precision: str) -> None:
        """Raise what `Adapter.load` would raise, or return: then it would load.

        Raises:
            UnsupportedNodeError: If a node of the model cannot be run.
            UsageError: If the precision or device cannot be held.
        """


@runtime_checkable
class Converts(Protocol):
    """What an adapter may have besides: a form of its own that it makes of the model and keeps.

    The worker asks for it between `Adapter.prepare` and `Adapter.load`, in a phase of its own: the
    memory that making takes is none that running takes. It belongs in another process.
    """

    def convert(self, model: BoundModel, limits: Limits, precision: str) -> None:
        """Make what `Adapter.load` will read, unless it is there; raise as that does."""
