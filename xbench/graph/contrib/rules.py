"""How the types of outputs follow from those of inputs, by domain and operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from xbench.graph.plain import Array, Dim, Value
from xbench.graph.types import value_of


@dataclass(frozen=True, slots=True)
class Known:
    """A node, and what is known of its inputs."""

    node: onnx.NodeProto
    attributes: Mapping[str, Any]
    types: Mapping[str, onnx.TypeProto]
    constants: Mapping[str, Array]

    def value(self, place: int) -> Value:
        """Return what is known of an input: nothing, where it is absent."""
        name = self.node.input[place] if place < len(self.node.input) else ""
        return value_of(self.types[name]) if name in self.types else Value()

    def constant(self, place: int) -> Array | None:
        """Return the value of an input, if it is known."""
        name = self.node.input[place] if place < len(self.node.input) else ""
        return self.constants.get(name)


Rule = Callable[[Known], Sequence[onnx.TypeProto | None]]

RULES: dict[tuple[str, str], Rule] = {}


def typed(operator: str, domain: str = "com.microsoft") -> Callable[[Rule], Rule]:
    """Register the rule for an operator."""

    def register(rule: Rule) -> Rule:
        RULES[domain, operator] = rule
        return rule

    return register


def tensor(dtype: np.dtype[Any] | None, shape: Sequence[Dim] | None) -> onnx.TypeProto | None:
    """Return the type of a tensor; None where not even its element type is known."""
    if dtype is None:
        return None
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), shape)


def like(known: Known, place: int = 0) -> onnx.TypeProto | None:
    """Return the type of an input, for an output that has the same."""
    value = known.value(place)
    return tensor(value.dtype, value.shape)
