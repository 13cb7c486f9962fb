"""From an imported graph to a LiteRT flatbuffer: as it is, or quantised after training.

What is here imports TensorFlow, which has no place in a process that measures LiteRT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from xbench.errors import UnsupportedNodeError
from xbench.graph.evaluate import evaluate
from xbench.graph.fusions import fuse
from xbench_adapters.litert.fit import fit
from xbench_adapters.tensorflow.draft import refused
from xbench_adapters.tensorflow.importer import lower, node_of
from xbench_adapters.tensorflow.registry import TABLE
from xbench_adapters.tensorflow.tensors import held, tf_dtype

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from xbench.adapter import Array
    from xbench.graph.plain import Graph

QDQ = "qdq"
"""The variant of a graph that is quantised already: its scales become the flatbuffer's."""
BYTE = 255.0
"""How many steps of its scale a number of 8 bits spans."""

NARROW = {"f16": "float16", "bf16": "bfloat16"}
TYPES = {"f8E4M3FN": "float8_e4m3fn", "f8E5M2": "float8_e5m2"}
BUILTINS, BUILTINS_INT8 = tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.TFLITE_BUILTINS_INT8


def read(model: onnx.ModelProto | Path, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """Return the graph that TensorFlow's importer lowers, and that `flatbuffer` takes.

    Raises:
        UnsupportedNodeError: If the importer has no lowering for a node.
        ModelError: If the model cannot be read or its nodes do not fit together.
        ShapeError: If a shape does not fit the model.
    """
    graph = fuse(evaluate(model, shapes, TABLE.handles))
    TABLE.check(graph)
    return graph


def flatbuffer(
    graph: Graph, variant: str = "", calibration: Sequence[Mapping[str, Array]] = ()
) -> bytes:
    """Return a graph as LiteRT reads it.

    Args:
        graph: What TensorFlow's importer lowers. Inputs and outputs keep their types.
        variant: ``""`` leaves the weights as they are; ``fp16`` keeps them in float16;
            ``int8`` computes in int8 where LiteRT has such a kernel, with a scale for each
            channel of the weights and one for each activation; ``qdq`` does so where the graph
            quantises, by the graph's own scales. Those of weights the converter finds anew, from
            the largest of each channel: the same numbers where the graph's take all 8 bits, and
            finer ones where they do not.
        calibration: For int8: input sets by name, which tell the range of each activation.

    Raises:
        UnsupportedNodeError: If LiteRT's own operators do not do, or compute something else.
    """
    _check_tensors(graph)
    whole = _traced(_named(fit(graph)) if variant == QDQ else fit(graph))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([whole], tf.Module())
    converter.target_spec.supported_ops = [BUILTINS]
    converter.canonicalizing_inf_as_min_max_float = False  # else no value equals infinity
    converter.exclude_conversion_metadata = True  # for which all weights would be copied again
    if variant and (variant != QDQ or _is_named(whole)):  # else all weights would be quantised
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if variant == "int8":
        converter.target_spec.supported_ops = [BUILTINS_INT8, BUILTINS]
        converter.representative_dataset = lambda: _sets(graph, calibration)
    try:
        found: bytes = converter.convert()
    except ConverterError as error:
        raise refusal(error, whole, graph) from error
    return found


def _named(graph: Graph) -> Graph:
    """Return a graph whose quantisations to 8 bits are operations that the converter knows."""
    nodes = [
        replace(node, attributes={**node.attributes, "named": 1})
        if node.operator == "FakeQuantize"
        and node.attributes["high"] - node.attributes["low"] == BYTE
        else node
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


def _is_named(traced: Any) -> bool:
    return any(one.type == "FakeQuantWithMinMaxArgs" for one in traced.graph.get_operations())


def _traced(graph: Graph) -> Any:
    """Return a function from ``input_0`` … to ``output_0`` …; its weights are there once."""

    def serve(*inputs: Any) -> dict[str, Any]:
        return {f"output_{place}": one for place, one in enumerate(lower(graph, inputs))}

    named = []
    for place, name in enumerate(graph.inputs):
        value = graph.value(name)
        shape = value.static
        assert shape is not None, "a session is of one shape"
        named.append(tf.TensorSpec(shape, tf_dtype(value.dtype), name=f"input_{place}"))
    return tf.function(serve, input_signature=named, autograph=False).get_concrete_function()


def _sets(graph: Graph, calibration: Sequence[Mapping[str, Array]]) -> Iterator[Any]:
    """Yield the input sets as the converter takes them."""
    for feeds in calibration:
        yield {f"input_{place}": held(feeds[name]) for place, name in enumerate(graph.inputs)}


def _check_tensors(graph: Graph) -> None:
    """Refuse inputs and outputs that are sequences or optionals: LiteRT takes and gives tensors."""
    for end, names in (("input", graph.inputs), ("output", graph.results)):
        for name in names:
            value = graph.value(name)
            if value.dtype is None:
                raise UnsupportedNodeError(name, end, 0, "LiteRT has tensors only, and it is none")
            if end == "input" and tf_dtype(value.dtype) is None:
                detail = f"LiteRT cannot take it: it is {value.dtype.name}"
                raise UnsupportedNodeError(name, end, 0, detail)


def refusal(error: Any, traced: Any, graph: Graph) -> UnsupportedNodeError:
    """Return the typed error behind a converter's error, which has the operations by name.

    Args:
        error: What the converter raised.
        traced: The function that it was given.
        graph: The model's own, whose nodes a user knows; names are the same.
    """
    if foreign := re.search(r"Failed to convert element type '(\w+)'", str(error)):
        return _without_type(graph, foreign[1])
    said = [one for one in error.errors if one.operator.name]
    kind = said[0].operator.name if said else "?"
    if kind != "?" and "neither a custom op nor a flex op" in said[0].error_message:
        narrow = re.search(rf"{re.escape(kind)}\(tensor<[^>]*?x?(b?f16)>", str(error))
        of_type = f" in {NARROW[narrow[1]]}" if narrow else ""
        detail = f"LiteRT has no {kind} of its own{of_type}, only TensorFlow's"
    else:
        text = said[0].error_message if said else str(error)
        detail = f"the converter to LiteRT says: {_plain(text)}"
    places = re.findall(r"@(\w+)_while_(?:body|cond)", str(error))
    places += [call.name.partition("@")[0] for one in said for call in one.location.call]
    for place in (*places, *_places(traced, kind.removeprefix("tf."))):
        if node := node_of(graph, place):
            return refused(node, detail)
    return UnsupportedNodeError("?", kind, 0, detail)


def _plain(text: str) -> str:
    """Return what the converter says on one line, without the numbers that it counts up."""
    return re.sub(r"(_(?:body|cond))_\d+", r"\1", " ".join(text.split()))[:200]


def _without_type(graph: Graph, name: str) -> UnsupportedNodeError:
    """Return the error of an element type that LiteRT has not, by the converter's name."""
    detail = f"LiteRT has no element type {name}"
    for node in graph.nodes:
        for value in map(graph.value, (*node.inputs, *node.outputs)):
            if value.dtype is not None and value.dtype.name == TYPES.get(name, name):
                return refused(node, detail)
    return UnsupportedNodeError("?", "?", 0, detail)


def _places(traced: Any, kind: str) -> Iterator[str]:
    """Yield where operations of a kind stand in what was traced, by their path of scopes."""
    graph = traced.graph.as_graph_def()
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            if node.op == kind:
                yield node.name
