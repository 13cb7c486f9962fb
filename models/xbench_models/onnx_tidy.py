"""A converted graph brought into form: names, order and open axes of its ends, and no chatter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

from xbench.adapter import TensorSpec
from xbench.errors import ModelError

BATCH = "batch"


def legal_names(wanted: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Return names that are legal and differ from each other and from those that are taken."""
    found: list[str] = []
    used = set(taken)
    for name in wanted:
        plain = name.partition(":")[0]
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in plain)
        base = plain or "value"
        unique = next(n for n in _numbered(base) if n not in used)
        used.add(unique)
        found.append(unique)
    return tuple(found)


def _numbered(base: str) -> Iterator[str]:
    yield base
    place = 0
    while True:
        place += 1
        yield f"{base}_{place}"


def tidy(
    model: ModelProto,
    inputs: Sequence[tuple[str, TensorSpec]],
    outputs: Sequence[tuple[str, TensorSpec]],
) -> None:
    """Give a model its own names, order and axes, and drop what the converter noted.

    Args:
        model: It is changed.
        inputs: In order: the name that the converter gave, and what the file shall say. An input
            that nothing reads is declared again if the converter left it out.
        outputs: Likewise.
    """
    graph = model.graph
    names = {old: spec.name for old, spec in (*inputs, *outputs)}
    _rename(graph, {**_out_of_the_way(graph, names), **names})
    for ends, specs in ((graph.input, inputs), (graph.output, outputs)):
        known = {one.name: one for one in ends}
        ordered = [_declared(known.get(spec.name), spec) for _, spec in specs]
        del ends[:]
        ends.extend(ordered)
    for one in graphs(graph):
        one.doc_string = ""
        del one.value_info[:], one.metadata_props[:]
        for end in (*one.input, *one.output):
            for dim in end.type.tensor_type.shape.dim:
                if dim.dim_param != BATCH:
                    dim.ClearField("dim_param")  # a number that the converter made up
        for node in one.node:
            node.doc_string = ""
            del node.metadata_props[:]
    model.doc_string = ""
    model.producer_version = model.producer_version.partition(" ")[0]  # else a commit, or None
    graph.name = "main_graph"
    del model.metadata_props[:]


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and all graphs within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from graphs(inner)


def refuse_foreign(model: ModelProto, what: str) -> None:
    """Raise if a node is of no operator that ONNX has: the converter left it as it was.

    Raises:
        ModelError: It names the operators.
    """
    versions = {one.domain: one.version for one in model.opset_import}
    nodes: list[NodeProto] = [node for graph in graphs(model.graph) for node in graph.node]
    foreign = sorted({n.op_type for n in nodes if not _known(n, versions)})
    if foreign:
        raise ModelError(
            f"{what} cannot become an ONNX file: ONNX has nothing for {', '.join(foreign)}",
            "Leave that out of the model, or run it with the backends that take it as it is",
        )


def _known(node: NodeProto, versions: Mapping[str, int]) -> bool:
    return onnx.defs.has(node.op_type, versions.get(node.domain, 1), node.domain)


def _out_of_the_way(graph: GraphProto, names: Mapping[str, str]) -> dict[str, str]:
    """Return other names for values within that have a name which an end shall have."""
    inside = {
        name
        for one in graphs(graph)
        for name in (*(t.name for t in one.initializer), *(o for n in one.node for o in n.output))
    }
    clashing = sorted((inside & set(names.values())) - set(names))
    return dict(zip(clashing, legal_names(clashing, inside | set(names.values())), strict=True))


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    for one in graphs(graph):
        for value in (*one.input, *one.output, *one.initializer):
            value.name = names.get(value.name, value.name)
        for node in one.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]


def _declared(known: ValueInfoProto | None, spec: TensorSpec) -> ValueInfoProto:
    """Return an end as the file declares it; only the batch's axis has a name."""
    import numpy as np

    if known is not None and known.type.tensor_type.elem_type:
        code = known.type.tensor_type.elem_type
    else:
        code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    shape = [d if isinstance(d, int) or d == BATCH else None for d in spec.shape]
    return onnx.helper.make_tensor_value_info(spec.name, code, shape)
