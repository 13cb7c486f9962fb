"""What a model file holds, what it costs, and which backends take it: `xbench inspect`.

Schema history (`SCHEMA` is in every document; docs/inspect.md says what is in it):

1. First version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xbench import costs, modelfile
from xbench.acceptance import Answer, ask
from xbench.adapter import BoundModel
from xbench.catalog import resolve
from xbench.costs import NodeCost, intensity, node_costs, total
from xbench.device import limits_for
from xbench.flops import infer, lengths_of
from xbench.following import follow_shapes
from xbench.inputs import save_feeds, seeded_feeds
from xbench.interrupts import Interrupts
from xbench.model import Model, bind, read_model
from xbench.progress import Progress, Silent
from xbench.registry import expand, precisions
from xbench.result import Status
from xbench.source import Terms

if TYPE_CHECKING:
    from onnx import ModelProto

SCHEMA = 1

CALIBRATION_SETS = 2  # to see whether a model can be quantised, not how well


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output at the shapes inspected.

    Attributes:
        shape: One entry a dimension, None where it depends on data; None where not even the
            number of dimensions is known.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Stored:
    """The parameters of one element type.

    Attributes:
        count: Elements of all initialisers, and of constants with more than one.
        bytes: Of the same; None for text, whose length varies.
    """

    dtype: str
    count: int
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCost:
    """All nodes of one operator; see `xbench.costs.NodeCost`.

    Attributes:
        nodes: How many there are, those in branches and loop bodies counted once each.
        flops: Of all of them; None if one is not known.
        bytes: Of all of them; None if one is not known.
    """

    domain: str
    operator: str
    version: int
    nodes: int
    flops: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """All that was found.

    Attributes:
        model: The file; its ``flops`` are those of one inference at the shapes inspected.
        lengths: What each open dimension of the file was decided to be.
        inputs: In the graph's order, as inspected.
        outputs: In the graph's order.
        parameters: By element type, largest first.
        nodes: In the file's order, functions of the model replaced by what they compute.
        backends: What each backend that was asked answered.
    """

    model: Model
    lengths: Mapping[str, int]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameters: tuple[Stored, ...]
    nodes: tuple[NodeCost, ...]
    backends: tuple[Answer, ...]

    @property
    def flops(self) -> int | None:
        """Return the operations of one inference, or None where that cannot be known."""
        return total(node.flops for node in self.nodes)

    @property
    def bytes(self) -> int | None:
        """Return the bytes moved by one inference, or None where that cannot be known."""
        return total(node.bytes for node in self.nodes)

    @property
    def operators(self) -> tuple[OperatorCost, ...]:
        """Return the nodes by operator: most operations first, then most bytes, then most nodes."""
        groups: dict[tuple[str, str, int], list[NodeCost]] = {}
        for node in self.nodes:
            groups.setdefault((node.domain, node.operator, node.version), []).append(node)
        return tuple(sorted((_grouped(nodes) for nodes in groups.values()), key=_heaviest))

    @property
    def exit_status(self) -> int:
        """Return 0 if every backend asked takes the model, 1 if one does not."""
        return 0 if all(one.status is Status.OK for one in self.backends) else 1

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` writes."""
        return {
            "schema": SCHEMA,
            "model": self.model.to_json(),
            "lengths": dict(self.lengths),
            "inputs": [asdict(one) for one in self.inputs],
            "outputs": [asdict(one) for one in self.outputs],
            "parameters": [asdict(one) for one in self.parameters],
            "counted": {"flops": costs.FLOPS, "bytes": costs.BYTES},
            "totals": {"nodes": len(self.nodes), **_cost(self.flops, self.bytes)},
            "operators": [{**asdict(one), **_cost(one.flops, one.bytes)} for one in self.operators],
            "nodes": [{**asdict(one), **_cost(one.flops, one.bytes)} for one in self.nodes],
            "backends": [one.to_json() for one in self.backends],
        }


def inspect(
    model: str | Path,
    backends: Sequence[str] = ("all",),
    *,
    batch: int | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    seed: int = 0,
    device: str = "cpu",
    timeout_s: float = 300.0,
    terms: Terms = Terms(),  # noqa: B008 -- it is frozen
    progress: Progress | None = None,
) -> Inspection:
    """Return what ``model`` holds and costs, and which of ``backends`` take it.

    Args:
        model: A path or a name, as `xbench compare` takes it.
        backends: ``adapter`` or ``adapter:variant``; empty asks none.
        batch: The length of the batch; None is the model's own, or 1.
        shapes: Shapes of inputs whose axes are open, by name.
        seed: Of the weights of a model that is built.
        device: What they are asked to run it on.
        timeout_s: Seconds that a backend may take to load the model.
        terms: What else the user says of the model.
        progress: Hears of each step.

    Raises:
        XbenchError: If the request cannot be met; a backend that cannot run it is an answer.
        InterruptedRunError: If the user asked to stop.
    """
    hears = progress or Silent()
    expand(backends)  # a wrong name is told before anything is built
    limits = limits_for(None, device)
    with Interrupts(lambda: hears.note("Stopping.")) as stop:
        resolved = resolve(str(model), seed, hears, stop.wake_fd, terms)
        hears.phase(f"reading {resolved.name}")
        known = read_model(resolved.path, resolved.name)
        bound = replace(bind(known, batch, shapes, resolved.symbols), native=resolved.native)
        found = examine(known, bound)
        wanted = dict.fromkeys(expand(backends, resolved.framework, device))
        held = precisions(tuple(wanted))
        answers = []
        with calibrated(known, bound, held.values(), seed) as bound:
            for name in wanted:
                hears.phase(f"asking {name}")
                precision = held.get(name, "fp32")
                answers.append(ask(name, bound, limits, timeout_s, stop, precision))
    return replace(found, backends=tuple(answers))


@contextmanager
def calibrated(
    model: Model, bound: BoundModel, precisions: Iterable[str], seed: int
) -> Iterator[BoundModel]:
    """Give the model with a few seeded input sets, where a backend chooses its scales by them."""
    if "int8" not in precisions:
        yield bound
        return
    with TemporaryDirectory(prefix="xbench-inspect-") as folder:
        path = Path(folder) / "calibration.npz"
        save_feeds(path, seeded_feeds(model, bound, seed, CALIBRATION_SETS)[0])
        yield replace(bound, calibration=path)


def examine(model: Model, bound: BoundModel) -> Inspection:
    """Return all that the file itself tells; no backend is asked.

    Args:
        model: The file.
        bound: The same, with its dimensions decided.
    """
    proto = modelfile.parse(model.path)
    modelfile.forget_large(proto, model.path.parent)
    inferred = follow_shapes(infer(bound, proto))
    nodes = node_costs(inferred)
    shapes = {value.name: lengths_of(value) for value in inferred.graph.output}
    return Inspection(
        model=replace(model, flops=total(node.flops for node in nodes)),
        lengths=_lengths(model, bound),
        inputs=tuple(Tensor(one.name, one.dtype, bound.shapes[one.name]) for one in bound.inputs),
        outputs=tuple(Tensor(one.name, one.dtype, shapes[one.name]) for one in model.outputs),
        parameters=_parameters(proto),
        nodes=nodes,
        backends=(),
    )


def _lengths(model: Model, bound: BoundModel) -> dict[str, int]:
    """Return the length that each open dimension of the inputs was given."""
    return {
        own: int(length)
        for spec, decided in zip(model.inputs, bound.inputs, strict=True)
        for own, length in zip(spec.shape, decided.shape, strict=True)
        if isinstance(own, str)
    }


def _parameters(proto: ModelProto) -> tuple[Stored, ...]:
    """Return what the file stores, by element type: what `Model.parameters` counts in all."""
    from onnx.helper import tensor_dtype_to_np_dtype

    tensors = [*modelfile.initializers(proto.graph), *modelfile.large_constants(proto.graph)]
    found = []
    for kind in {tensor.data_type for tensor in tensors}:
        own = [tensor for tensor in tensors if tensor.data_type == kind]
        count = sum(map(modelfile.elements, own))
        size = sum(map(modelfile.stored_bytes, own))
        sized = modelfile.element_bits(kind) > 0
        found.append(Stored(tensor_dtype_to_np_dtype(kind).name, count, size if sized else None))
    return tuple(sorted(found, key=lambda one: (-(one.bytes or 0), one.dtype)))


def _grouped(nodes: Sequence[NodeCost]) -> OperatorCost:
    first = nodes[0]
    return OperatorCost(
        domain=first.domain,
        operator=first.operator,
        version=first.version,
        nodes=len(nodes),
        flops=total(node.flops for node in nodes),
        bytes=total(node.bytes for node in nodes),
    )


def _heaviest(one: OperatorCost) -> tuple[Any, ...]:
    """Return the key by which operators stand in order; what is not known may be the heaviest."""
    unknown = float("inf")
    flops, moved = (unknown if count is None else count for count in (one.flops, one.bytes))
    return (-flops, -moved, -one.nodes, one.domain, one.operator, one.version)


def _cost(flops: int | None, moved_bytes: int | None) -> dict[str, Any]:
    return {"flops": flops, "bytes": moved_bytes, "intensity": intensity(flops, moved_bytes)}


def spelled(domain: str, operator: str) -> str:
    """Return an operator's name, with its domain before it where that is not ONNX's own."""
    return f"{domain}::{operator}" if domain else operator


def unknown_nodes(nodes: Iterable[NodeCost]) -> tuple[NodeCost, ...]:
    """Return the nodes of which a cost cannot be known."""
    return tuple(node for node in nodes if node.unknown is not None)
