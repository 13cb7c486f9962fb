"""The part of TensorRT's bindings that reads an ONNX file: parser, network, layers, tensors."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto
from onnx.helper import make_tensor_value_info

from tests.adapters.tensorrt.double import recorded
from tests.adapters.tensorrt.double_engine import data_type


class LayerType(Enum):
    """The kinds of layers that a network of the tests has."""

    CONVOLUTION = 0
    MATRIX_MULTIPLY = 1
    QUANTIZE = 2
    ELEMENTWISE = 3
    DEQUANTIZE = 4
    SHUFFLE = 5
    CAST = 6


KINDS = {
    "Conv": LayerType.CONVOLUTION,
    "MatMul": LayerType.MATRIX_MULTIPLY,
    "Gemm": LayerType.MATRIX_MULTIPLY,
    "QuantizeLinear": LayerType.QUANTIZE,
    "DequantizeLinear": LayerType.DEQUANTIZE,
    "Reshape": LayerType.SHUFFLE,
    "Transpose": LayerType.SHUFFLE,
    "Cast": LayerType.CAST,
}


class ErrorCode(Enum):
    """What a parser may say."""

    MEM_ALLOC_FAILED = 2
    MODEL_DESERIALIZE_FAILED = 3
    UNSUPPORTED_NODE = 8


class ITensor:
    """A tensor of a network; -1 is a dimension that is open."""

    def __init__(self, value: ValueInfoProto) -> None:
        kind = value.type.tensor_type
        self.name = value.name
        self.dtype = data_type(kind.elem_type)
        self.shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
        self.is_shape_tensor = value.name == "decides_shapes"


class ILayer:
    """A layer: one for each node."""

    def __init__(self, node: NodeProto, types: Mapping[str, ITensor]) -> None:
        self.type = KINDS.get(node.op_type, LayerType.ELEMENTWISE)
        self._outputs = [types[name] for name in node.output if name in types]
        self._inputs = [types.get(name) for name in node.input]
        self.num_outputs = len(self._outputs)

    def get_input(self, index: int) -> ITensor | None:
        return self._inputs[index] if index < len(self._inputs) else None

    def get_output(self, index: int) -> ITensor:
        return self._outputs[index]


class INetworkDefinition:
    """What the parser fills."""

    model: ModelProto

    def fill(self, model: ModelProto) -> None:
        """Take a model that the parser accepts."""
        graph = onnx.shape_inference.infer_shapes(model).graph
        values = [*graph.value_info, *graph.output, *graph.input]
        values += [make_tensor_value_info(w.name, w.data_type, w.dims) for w in graph.initializer]
        types = {value.name: ITensor(value) for value in values}
        constants = {one.name for one in graph.initializer}
        self.model = model
        self._inputs = [types[v.name] for v in graph.input if v.name not in constants]
        self._outputs = [types[value.name] for value in graph.output]
        self._layers = [ILayer(node, types) for node in graph.node]
        self.num_inputs, self.num_outputs = len(self._inputs), len(self._outputs)
        self.num_layers = len(self._layers)

    def get_input(self, index: int) -> ITensor:
        return self._inputs[index]

    def get_output(self, index: int) -> ITensor:
        return self._outputs[index]

    def get_layer(self, index: int) -> ILayer:
        return self._layers[index]


class ParserError:
    """One thing that the parser does not accept."""

    def __init__(self, code: ErrorCode, desc: str, name: str = "", operator: str = "") -> None:
        self._told = code, desc, name, operator

    def code(self) -> ErrorCode:
        return self._told[0]

    def desc(self) -> str:
        return self._told[1]

    def node_name(self) -> str:
        return self._told[2]

    def node_operator(self) -> str:
        return self._told[3]


class OnnxParser:
    """A parser that knows ONNX's own operators."""

    def __init__(self, network: INetworkDefinition, logger: Any) -> None:
        self._network, self._errors = network, list[ParserError]()

    @recorded
    def parse_from_file(self, model: str) -> bool:
        assert isinstance(model, str)
        try:
            parsed = onnx.load(Path(model))
        except Exception as error:
            self._errors = [ParserError(ErrorCode.MODEL_DESERIALIZE_FAILED, str(error))]
            return False
        known = {schema.name for schema in onnx.defs.get_all_schemas()}
        unknown = [node for node in parsed.graph.node if node.op_type not in known or node.domain]
        why = "Plugin not found, are the plugin name, version, and namespace correct?"
        self._errors = [
            ParserError(ErrorCode.UNSUPPORTED_NODE, why, node.name, node.op_type)
            for node in unknown
        ]
        if not self._errors:
            self._network.fill(parsed)
        return not self._errors

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]
