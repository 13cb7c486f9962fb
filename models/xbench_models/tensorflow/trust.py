"""Which SavedModels do more than compute, told before anything of them is loaded.

TensorFlow's models are programs: a graph may read and write files, talk to others, or hold another
graph in one of its constants, and parts of it run as soon as it is loaded. Lists of what is known
to be abused have been got around before, so an operation is let through only if TensorFlow knows
it, it has no state, or state of a kind that computing needs, and it is none of those that reach
outside all the same. What saves and restores variables is let through where nothing but the
checkpoint's own machinery can call it. The list was made from all operations of TensorFlow 2.21.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from xbench.errors import ModelError
from xbench_models.factory import one_line

REACHES_OUTSIDE = re.compile(
    r"^_|File|Dataset|Reader|PyFunc|Custom(Call|Aggregator)|TPU|Tpu|Rpc|^Debug|^Copy|^Abort$"
    r"|Xla(Launch|Call|Host|Send|Recv)|ImmutableConst|VocabRemapping|(En|De)codeProto|MlirPass"
)
"""Has no state, or state of a kind that is let through, and touches more than its inputs."""

COMPUTES_WITH_STATE = re.compile(
    r"VarHandleOp|ReadVariableOp|Assign(Add|Sub)?VariableOp|VarIsInitializedOp|VariableShape"
    r"|Variable(V2)?|TemporaryVariable|DestroyResourceOp|DisableCopyOnRead"
    r"|Resource(Gather(Nd)?|Scatter\w+|(Sparse)?Apply\w+|StridedSliceAssign)"
    r"|StatefulPartitionedCall|While|If|Case|Assert|CheckNumerics(V2)?|Print|Empty|GuaranteeConst"
    r"|Random\w+|TruncatedNormal|ParameterizedTruncatedNormal|Multinomial|Stateful\w+|Rng\w+"
    r"|NonDeterministicInts|StatelessRandomGetAlg|SampleDistortedBoundingBox(V2)?|DeviceIndex"
    r"|(Anonymous)?(Mutable(Dense)?)?HashTable\w*|LookupTable\w+V2|InitializeTableV2"
    r"|TensorArray\w*|Stack\w*|CudnnRNN\w*"
)

Part = tuple[str, str]
"""A node of the graph or a function of its library, by its name."""

NODE = "node"

RESTORES = frozenset({"RestoreV2", "Restore", "RestoreSlice"})
SAVES = frozenset({"SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints", "ShardedFilename"})


def refuse_unsafe(folder: Path) -> None:
    """Raise if a SavedModel holds operations that do more than compute.

    Raises:
        ModelError: It names them; or if the folder cannot be read.
    """
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    try:
        saved = parse_saved_model(str(folder))  # what `tf.saved_model.load` reads, in its order
    except Exception as error:  # a damaged one raises whatever it makes of it
        raise ModelError(
            f"{folder.name} cannot be read: {one_line(error)}", "Save it again"
        ) from error
    found = sorted({name for graph in saved.meta_graphs for name in unsafe(graph)})
    if found:
        raise ModelError(
            f"{folder.name} holds operations that may reach files, processes or other machines, or "
            f"that TensorFlow does not know: {', '.join(found)}",
            "If you trust whoever made it, add --trust",
        )


def unsafe(meta_graph: Any) -> set[str]:
    """Return the operations of a graph that do more than compute, wherever they stand."""
    parts = _Parts(meta_graph)
    saver = meta_graph.saver_def
    saving = parts.reached([_node(saver.save_tensor_name)])
    restoring = parts.reached([_node(saver.restore_op_name)])
    roots = parts.all() - saving - restoring
    rest = parts.reached([*roots, *parts.asked_for()])
    return (
        parts.unsafe(rest)
        | (parts.unsafe(saving) - SAVES - RESTORES)
        | (parts.unsafe(restoring) - RESTORES)  # it runs when an older SavedModel is loaded
    )


def computes(operation: str) -> bool:
    """Return whether TensorFlow knows an operation, and it does no more than compute."""
    from tensorflow.python.framework import op_def_registry

    known = op_def_registry.get(operation)
    if known is None or REACHES_OUTSIDE.search(operation):
        return False
    return not known.is_stateful or COMPUTES_WITH_STATE.fullmatch(operation) is not None


class _Parts:
    """The nodes of a graph and the functions of its library, and what each needs."""

    def __init__(self, meta_graph: Any) -> None:
        self._meta = meta_graph
        graph = meta_graph.graph_def
        self._bodies: dict[Part, list[Any]] = {}
        for function in graph.library.function:  # a name given twice counts twice
            body = self._bodies.setdefault(_function(function.signature.name), [])
            body += function.node_def
        for node in graph.node:
            self._bodies.setdefault(_node(node.name), []).append(node)
        self._gradients = {
            _function(one.function_name): _function(one.gradient_func)
            for one in graph.library.gradient
        }

    def all(self) -> set[Part]:
        return set(self._bodies)

    def asked_for(self) -> Iterator[Part]:
        """Yield what loading or a user runs."""
        for signature in self._meta.signature_def.values():
            for end in signature.outputs.values():
                yield _node(end.name)
        for collection in self._meta.collection_def.values():
            yield from map(_node, collection.node_list.value)
        objects = self._meta.object_graph_def
        yield from map(_function, objects.concrete_functions)
        for one in objects.nodes:
            yield from map(_function, one.function.concrete_functions)
            yield _function(one.bare_concrete_function.concrete_function_name)

    def reached(self, roots: Iterable[Part]) -> set[Part]:
        """Return the parts that run when ``roots`` do, themselves included."""
        found: set[Part] = set()
        pending = list(roots)
        while pending:
            one = pending.pop()
            if one in self._bodies and one not in found:
                found.add(one)
                pending += self._needs(one)
        return found

    def unsafe(self, parts: Iterable[Part]) -> set[str]:
        """Return the operations in ``parts`` that do more than compute."""
        operations = {node.op for part in parts for node in self._bodies[part]}
        called = {one for one in operations if _function(one) in self._bodies}
        return {one for one in operations - called if not computes(one)}

    def _needs(self, part: Part) -> Iterator[Part]:
        if part in self._gradients:
            yield self._gradients[part]
        for node in self._bodies[part]:
            if part[0] == NODE:
                yield from map(_node, node.input)
            yield _function(node.op)  # a function may be called as if it were an operation
            for value in node.attr.values():
                yield from map(_function, _called(value))


def _called(value: Any) -> Iterator[str]:
    """Yield the functions that an attribute names, at any depth."""
    for one in (value.func, *value.list.func):
        if one.name:
            yield one.name
        for inner in one.attr.values():
            yield from _called(inner)


def _function(name: str) -> Part:
    return ("function", name)


def _node(name: str) -> Part:
    return (NODE, name.removeprefix("^").partition(":")[0])
