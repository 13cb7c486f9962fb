"""What a quantised graph can do without: roundings that cost digits and spare no time.

The tool rounds what every convolution gives, since runtimes need that to compute it in int8. Where
a rectifier follows, the result is rounded again on another grid; and of the last ones, whose
results are the model's own, int8 is too coarse a type.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from onnx import GraphProto, ModelProto, NodeProto

from xbench.graph.precision.schemas import PRODUCTS

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
CLIPS = ("Relu", "Clip")
CONVOLUTIONS = ("Conv", "ConvTranspose")
PASSES = ("MaxPool",)  # gives none but values that it takes


class _Graph:
    """Who makes and who takes each value."""

    def __init__(self, graph: GraphProto) -> None:
        self.graph = graph
        self.results = {one.name for one in graph.output}
        self.takers: defaultdict[str, list[NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.takers[name].append(node)

    def only(self, name: str, *operators: str) -> NodeProto | None:
        """Return what alone takes a value, if it is of these operators."""
        takers = self.takers[name]
        fits = len(takers) == 1 and takers[0].op_type in operators and name not in self.results
        return takers[0] if fits else None


def tidy(model: ModelProto) -> None:
    """Drop the roundings of results, and let those before a rectifier use the grid after it."""
    _leave_results(model.graph)
    _share_scales(model.graph)


def _leave_results(graph: GraphProto) -> None:
    """Take the rounding away from what convolutions give, where no product is to follow."""
    known = _Graph(graph)
    leading = _leading_to_products(graph)
    dropped: set[str] = set()
    for node in graph.node:
        if node.op_type not in CONVOLUTIONS or node.output[0] in leading:
            continue
        quantize = known.only(node.output[0], QUANTIZE)
        dequantize = known.only(quantize.output[0], DEQUANTIZE) if quantize else None
        if quantize is None or dequantize is None:
            continue
        dropped |= {quantize.output[0], dequantize.output[0]}
        whole = dequantize.output[0]
        if whole in known.results:
            node.output[0] = whole
        for taker in known.takers[whole]:
            taker.input[:] = [node.output[0] if name == whole else name for name in taker.input]
    _drop(graph, dropped)


def _leading_to_products(graph: GraphProto) -> Collection[str]:
    """Return the values that a later product depends on by its first input or any."""
    leading: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in PRODUCTS or not leading.isdisjoint(node.output):
            leading.update(node.input)
    return leading


def _drop(graph: GraphProto, made: Collection[str]) -> None:
    """Remove the quantising nodes that make these values."""
    kept = []
    for node in graph.node:
        if node.op_type not in (QUANTIZE, DEQUANTIZE) or node.output[0] not in made:
            copy = NodeProto()
            copy.CopyFrom(node)
            kept.append(copy)
    del graph.node[:]
    graph.node.extend(kept)


def _share_scales(graph: GraphProto) -> None:
    """Give what stands before a rectifier the scale of what stands after it.

    What is negative there becomes 0 whatever it was, so that all of the grid is for the rest, and
    the second rounding changes nothing.
    """
    known = _Graph(graph)
    for node in graph.node:
        if node.op_type not in CONVOLUTIONS:
            continue
        before = known.only(node.output[0], QUANTIZE)
        whole = known.only(before.output[0], DEQUANTIZE) if before else None
        clip = known.only(whole.output[0], *CLIPS) if whole else None
        after = _next_rounding(known, clip.output[0]) if clip else None
        if before is not None and whole is not None and after is not None:
            before.input[1] = whole.input[1] = after.input[1]


def _next_rounding(known: _Graph, name: str) -> NodeProto | None:
    for taker in known.takers[name]:
        if taker.op_type == QUANTIZE:
            return taker
    passing = known.only(name, *PASSES)
    return _next_rounding(known, passing.output[0]) if passing else None
