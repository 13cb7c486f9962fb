"""How fast a backend multiplies: a model of nothing but matrix products, run as any cell is.

It goes the way of every row: the file at the precision, a worker under the caps, the adapter, the
timed loop. What the runtime says it computed in decides what the rate is one of: a product that was
asked for in fp16 and computed in fp32 tells nothing of fp16.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.crew import Crew, Failed
from xbench.errors import InterruptedRunError, XbenchError
from xbench.inputs import save_feeds
from xbench.members import Job
from xbench.narrowing import narrowed
from xbench.plan import IN_THE_FILE, Cell
from xbench.progress import Silent
from xbench.registry import precisions
from xbench.store import RunFolder

if TYPE_CHECKING:
    from xbench.interrupts import Interrupts

LAYERS = 2
WIDTHS = (256, 512, 1024, 2048, 4096)
INFERENCE_S = 0.05  # about so long, at the rate that is known before
EPOCHS = 3
WARMUP_S = 0.6
TIMEOUT_S = 60.0
OPSET, IR_VERSION = 17, 8  # that every backend takes


class RefusedError(Exception):
    """A backend told nothing of a precision; the text says why."""


@dataclass(frozen=True, slots=True)
class Products:
    """The model, as it was written.

    Attributes:
        model: With inputs to choose scales by.
        feeds: The file of its inputs.
        flops: Of one inference.
        run: A folder for what workers print.
    """

    model: BoundModel
    feeds: Path
    flops: int
    run: RunFolder


def width_for(flops_per_s: float) -> int:
    """Return the side of matrices that are large, and still multiplied in about `INFERENCE_S`.

    Args:
        flops_per_s: What is known to be reached.
    """
    fitting = [side for side in WIDTHS if LAYERS * 2 * side**3 <= flops_per_s * INFERENCE_S]
    return max(fitting, default=WIDTHS[0])


def write_products(folder: Path, width: int) -> Products:
    """Return a new model of `LAYERS` products of square matrices, written to ``folder``."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(0)
    kind, shape = onnx.TensorProto.FLOAT, (width, width)
    scale = np.float32(width**-0.5)  # keeps the values of every layer near 1, within any range
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape, np.float32) * scale, f"w{at}")
        for at in range(LAYERS)
    ]
    nodes = [
        helper.make_node("MatMul", [f"x{at}", f"w{at}"], [f"x{at + 1}"], name=f"product{at}")
        for at in range(LAYERS)
    ]
    given, gives = (helper.make_tensor_value_info(f"x{at}", kind, shape) for at in (0, LAYERS))
    graph = helper.make_graph(nodes, "products", [given], [gives], weights)
    opsets = [helper.make_opsetid("", OPSET)]
    path, feeds = folder / "products.onnx", folder / "feeds.npz"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION), path)
    save_feeds(feeds, ({"x0": rng.standard_normal(shape, np.float32)},))
    spec = TensorSpec("x0", "float32", shape)
    model = BoundModel(path, (spec,), (f"x{LAYERS}",), {}, calibration=feeds)
    run = RunFolder.create(folder / "run")
    return Products(model, feeds, LAYERS * 2 * width**3, run)


def rates(
    backend: str, precision: str, products: Products, limits: Limits, stop: Interrupts
) -> list[float]:
    """Return operations a second of each timed inference of the products on a backend.

    Args:
        backend: Such as ``pytorch`` or ``openvino:bf16``.
        precision: That it must compute in, and say so.
        products: The model.
        limits: What the worker may use.
        stop: Wakes the wait when the user asks to stop.

    Raises:
        RefusedError: If it cannot, or computed in another precision.
        InterruptedRunError: If the user asked to stop.
    """
    by_file = precision in IN_THE_FILE and not precisions((backend,))
    model = _at(precision, products.model, stop) if by_file else products.model
    cell = _cell(backend, precision, limits)
    job = Job(cell=cell, model=model, feeds=products.feeds, feed_count=1)
    try:
        with Crew(0, products.run, stop, TIMEOUT_S, lambda _: None) as crew:
            computed = crew.start(job, WARMUP_S).facts.precision
            if computed != precision:
                raise RefusedError(_otherwise(computed))
            epochs = [crew.turn(cell.id, 0) for _ in range(EPOCHS)]
    except Failed as failed:
        raise RefusedError(failed.failure.reason) from failed
    return [products.flops * 1e9 / ns for epoch in epochs for ns in epoch["latencies_ns"]]


def candidates(backends: tuple[str, ...], precision: str) -> tuple[str, ...]:
    """Return the backends that may compute in a precision: those that are of no other."""
    own = precisions(backends)
    return tuple(dict.fromkeys(one for one in backends if own.get(one, precision) == precision))


def _otherwise(computed: str | None) -> str:
    return f"it computed in {computed}" if computed else "it does not tell what it computed in"


def _at(precision: str, model: BoundModel, stop: Interrupts) -> BoundModel:
    try:
        return narrowed(model, precision, Silent(), stop.wake_fd)
    except InterruptedRunError:
        raise
    except (XbenchError, MemoryError, RuntimeError) as error:
        raise RefusedError(f"no file of products could be made at {precision} ({error})") from error


def _cell(backend: str, precision: str, limits: Limits) -> Cell:
    return Cell(
        id=0,
        backend=backend,
        label=backend,
        batch=None,
        group=0,
        limits=limits,
        precision=precision,
        scenario="single-stream",
        boundary="host",
    )
