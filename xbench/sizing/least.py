"""What no software can beat on a device: less arithmetic than is usually counted, and no luck.

The floor of `xbench.imitated` counts a convolution in its direct form. Winograd's and Fourier's
methods multiply less, so that such a floor can be beaten. Here a convolution counts one
multiplication for each output and input channel, which is what those methods come near to as tiles
grow (S. Winograd 1980, "Arithmetic Complexity of Computations": ``m + r - 1`` multiplications for
``m`` outputs of a filter with ``r`` taps), nodes count that depend on an input, and what depends
on data counts nothing. Whatever takes longer than that surely does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xbench.flops import UnknownShapeError, infer, node_flops, shapes_of
from xbench.following import follow_shapes
from xbench.imitated import CACHES_BYTES
from xbench.modelfile import graphs, subgraphs
from xbench.profiles import Profile, floor_latency_s
from xbench.roofline.work import Work, count

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from xbench.adapter import BoundModel

    Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Least:
    """One inference: what is counted, and what it cannot do without.

    Attributes:
        work: As rooflines count it.
        flops: Operations that no method saves.
        batch: Samples of it; None where the model does not tell.
    """

    work: Work
    flops: float
    batch: int | None = None

    def again_bytes(self, precision: str) -> float:
        """Return the bytes that must come from memory in each inference, at the least."""
        compulsory = self.work.compulsory_at(precision)
        return 0.0 if compulsory is None else max(0.0, compulsory - CACHES_BYTES)

    def taken_by(self, profile: Profile) -> bool:
        """Return whether a device takes batches of that size."""
        return profile.max_batch is None or (self.batch or 0) <= profile.max_batch

    def floor_s(
        self, profile: Profile, precision: str, accelerator: str | None = None
    ) -> float | None:
        """Return the least seconds of an inference on a device; None where its peak is not told.

        Args:
            profile: The device.
            precision: Of the arithmetic.
            accelerator: One of the device's, instead of all its cores.
        """
        again = self.again_bytes(precision)
        return floor_latency_s(profile, self.flops, again, precision, accelerator=accelerator)


def least_of(bound: BoundModel, batch: int | None = None) -> Least:
    """Return what one inference of a model, of so many samples, takes at the least."""
    model = follow_shapes(infer(bound))
    return Least(count(model), least_flops(model, {spec.name for spec in bound.inputs}), batch)


def least_flops(model: ModelProto, inputs: Iterable[str]) -> float:
    """Return the operations of one inference that no method of computing it saves.

    Args:
        model: With the shapes of its values, as `follow_shapes` finds them.
        inputs: The names of those that a run is given; all other values are constants.
    """
    shapes, needed, fed = shapes_of(model), _needed(model), set(inputs)
    total = 0.0
    for node in model.graph.node:
        if fed.isdisjoint({*node.input, *_captured(node)}):
            continue  # of constants alone: a runtime computes it once, when it loads
        fed |= set(node.output)
        if not needed.isdisjoint(node.output):
            total += _least(node, shapes)
    return total


def _needed(model: ModelProto) -> set[str]:
    """Return the values on which an output depends."""
    needed = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):  # ONNX keeps nodes in an order that can be run
        if not needed.isdisjoint(node.output):
            needed |= {*node.input, *_captured(node)}
    return needed


def _captured(node: NodeProto) -> set[str]:
    """Return the names that the graphs within a node read."""
    within = (inner for one in subgraphs(node) for graph in graphs(one) for inner in graph.node)
    return {name for inner in within for name in inner.input}


def _least(node: NodeProto, shapes: Shapes) -> float:
    try:
        flops = node_flops(node, shapes)
    except UnknownShapeError:
        return 0.0
    return float(flops / _taps(node, shapes) if "Conv" in node.op_type else flops)


def _taps(node: NodeProto, shapes: Shapes) -> float:
    """Return over how many positions the filter of a convolution reaches."""
    for attribute in node.attribute:
        if attribute.name == "kernel_shape" and attribute.ints:
            return float(math.prod(attribute.ints))
    filters = [shapes[name][2:] for name in node.input[1:] if len(shapes.get(name, ())) > 2]
    return math.prod(filters[0]) if filters else math.inf
