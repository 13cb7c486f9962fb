"""Types of what operators outside ONNX's own domains give: ONNX infers none for them.

Each file of this package registers the rules of one family of operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import onnx

from xbench.graph.contrib.rules import RULES, Known, Rule
from xbench.graph.plain import Array


@cache
def _load() -> Mapping[tuple[str, str], Rule]:
    for family in iter_modules(__path__):
        import_module(f"{__name__}.{family.name}")
    return RULES


def contrib_types(
    node: onnx.NodeProto,
    attributes: Mapping[str, Any],
    types: Mapping[str, onnx.TypeProto],
    constants: Mapping[str, Array],
) -> dict[str, onnx.TypeProto]:
    """Return the type of each output of a node whose operator ONNX does not define."""
    rule = _load().get((node.domain, node.op_type))
    if rule is None:
        return {}
    found = rule(Known(node, attributes, types, constants))
    pairs = zip(node.output, found, strict=False)
    return {name: typed for name, typed in pairs if name and typed is not None}
