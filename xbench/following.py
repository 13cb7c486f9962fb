"""Shapes that ONNX's own inference does not find: those that follow from shape arithmetic.

Exporters compute lengths from the shapes of inputs, over many small nodes. Once the inputs'
shapes are decided the lengths are too, but only for who computes them: `xbench.graph` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from xbench.costs import node_costs, total
from xbench.flops import infer, set_shape, shapes_of
from xbench.modelfile import SMALL_ELEMENTS, elements

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

    from xbench.adapter import BoundModel
    from xbench.graph.plain import Value


def inference_flops(bound: BoundModel) -> int | None:
    """Return the floating-point operations of one inference, or None where data decides them.

    What `xbench.flops.count_flops` counts, with shapes followed as well.
    """
    return total(node.flops for node in node_costs(follow_shapes(infer(bound))))


def follow_shapes(model: ModelProto) -> ModelProto:
    """Return the model with a shape on every value of which one is known before a run.

    Args:
        model: As `xbench.flops.infer` gives it, its large tensors without their values.
    """
    known = shapes_of(model)
    named = (name for node in model.graph.node for name in node.output)
    unknown = list(dict.fromkeys(name for name in named if name and name not in known))
    return _with_values(model, _evaluated(model, unknown)) if unknown else model


def _evaluated(model: ModelProto, names: Iterable[str]) -> dict[str, Value]:
    """Return what is known of some values once all is computed that can be."""
    from xbench.graph.evaluate import evaluate

    try:
        graph = evaluate(_asking_for(model, names))
    except Exception:  # the file was checked; where this gets stuck a shape stays unknown
        return {}
    results = dict(zip(graph.outputs, graph.results, strict=True))
    return {name: graph.value(results[name]) for name in names if name in results}


def _asking_for(model: ModelProto, names: Iterable[str]) -> ModelProto:
    """Return a copy that gives the values too, and takes tensors without values as inputs."""
    from onnx import ModelProto, ValueInfoProto

    own = ModelProto()
    own.CopyFrom(model)
    graph = own.graph
    given = {value.name for value in graph.output}
    graph.output.extend(ValueInfoProto(name=name) for name in names if name not in given)
    for tensor in [one for one in graph.initializer if elements(one) > SMALL_ELEMENTS]:
        _take_as_input(own, tensor.name, tensor)
        graph.initializer.remove(tensor)
    for node in [one for one in graph.node if _large_constant(one) is not None]:
        tensor = _large_constant(node)
        assert tensor is not None
        _take_as_input(own, node.output[0], tensor)
        graph.node.remove(node)
    return own


def _large_constant(node: NodeProto) -> TensorProto | None:
    """Return the tensor of a `Constant` whose values were dropped."""
    found = [one.t for one in node.attribute if one.name == "value" and node.op_type == "Constant"]
    return found[0] if found and elements(found[0]) > SMALL_ELEMENTS else None


def _take_as_input(model: ModelProto, name: str, tensor: TensorProto) -> None:
    from onnx.helper import make_tensor_value_info

    graph = model.graph
    for value in [one for one in graph.input if one.name == name]:
        graph.input.remove(value)
    graph.input.append(make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))


def _with_values(model: ModelProto, found: dict[str, Value]) -> ModelProto:
    """Write the shapes that are whole into the model's own values."""
    from onnx.helper import make_tensor_value_info, np_dtype_to_tensor_dtype

    graph = model.graph
    own = {value.name: value for value in [*graph.value_info, *graph.output]}
    for name, value in found.items():
        if value.static is None or value.dtype is None:
            continue
        if name in own:
            set_shape(own[name], value.static)
        else:
            kind = np_dtype_to_tensor_dtype(value.dtype)
            graph.value_info.append(make_tensor_value_info(name, kind, value.static))
    return model
