"""A program as one graph of plain operations, its weights as constants."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from xbench.errors import ModelError
from xbench_models.factory import one_line
from xbench_models.quiet import quiet
from xbench_models.silent import silent
from xbench_models.tensorflow.program import Program

CHANGES = "each inference changes its variables: it keeps state, or draws random numbers"
COMPILED = "_XlaMustCompile"
PLAIN = "_plain"
MOST_BYTES = 2**31 - 2**20


@lru_cache(maxsize=1)
def traced(program: Program) -> Any:
    """Return the program as one concrete function, its open axes open; the last one is kept."""
    return program.traced()


@lru_cache(maxsize=1)
def frozen(program: Program) -> Any:
    """Return the program as a function whose weights are constants; the last one is kept.

    Loops stay whole: the converter knows them so, and not as the jumps that they lower to.

    Raises:
        ModelError: If its weights do not fit in one graph, or it changes them.
    """
    with quiet(), silent():
        whole = traced(program)
        size = sum(v.shape.num_elements() * v.dtype.size for v in whole.graph.variables)
        if size > MOST_BYTES:
            reason = f"{program.target} has {size / 1e9:.1f} GB of weights"
            raise ModelError(reason, "More than 2 GB in a graph is beyond TensorFlow's freezing")
        try:
            return _uncompiled(_constant(whole))
        except Exception as error:  # the graph may hold whatever TensorFlow has
            changes = any(node.op.startswith("Assign") for node in _nodes(whole))
            raise not_convertible(program, CHANGES if changes else one_line(error)) from error


def not_convertible(program: Program, said: str) -> ModelError:
    """Return the error that says why a program has no ONNX file."""
    return ModelError(
        f"{program.target} cannot become an ONNX file: {said}",
        "Run it with the backends that take it as it is, or give an ONNX file of your own",
    )


def _constant(function: Any) -> Any:
    from tensorflow.python.framework import convert_to_constants

    return convert_to_constants.convert_variables_to_constants_v2(
        function, lower_control_flow=False, aggressive_inlining=True
    )


def _uncompiled(function: Any) -> Any:
    """Return a function without the parts that XLA would compile, in place of what they compute.

    Keras has XLA compile grouped convolutions, and what is marked so is not put in line.
    """
    import tensorflow as tf

    if not any(COMPILED in node.attr for node in _nodes(function)):
        return function
    graph = function.graph.as_graph_def()
    names = {inner.signature.name for inner in graph.library.function}
    for inner in graph.library.function:
        inner.signature.name += PLAIN  # what TensorFlow knows already cannot be another one
        inner.attr.pop(COMPILED, None)
    for node in _of_graph(graph):
        node.attr.pop(COMPILED, None)
        for value in node.attr.values():
            for called in (value.func, *value.list.func):
                if called.name in names:
                    called.name += PLAIN
    whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    ends = (
        [whole.graph.get_tensor_by_name(tensor.name) for tensor in tensors]
        for tensors in (function.inputs, function.outputs)
    )
    return _constant(whole.prune(*ends))


def _nodes(function: Any) -> Iterator[Any]:
    return _of_graph(function.graph.as_graph_def())


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for inner in graph.library.function:
        yield from inner.node_def
