"""Optional values: None where they are empty when a module runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def nothing() -> None:
    """Return an empty optional."""


def is_there(x: Any) -> torch.Tensor:
    """Return whether an optional has an element."""
    device = x.device if isinstance(x, torch.Tensor) else None
    return torch.tensor(x is not None, device=device)


def element_of(x: Any) -> Any:
    """Return the element of an optional."""
    if x is None:
        raise ValueError("the optional is empty: it has no element to get")
    return x


@lowering("Optional", raw=True)
def optional(node: Node, to: Builder) -> torch.fx.Node:
    """Return the input, or an empty optional."""
    return to.value(node.inputs[0]) if node.input(0) else to.call(nothing)


@lowering("OptionalHasElement", raw=True)
def optional_has_element(node: Node, to: Builder) -> torch.fx.Node:
    """Return whether there is an element; an absent input has none, a tensor is one."""
    name = node.input(0)
    if not name or to.graph.value(name).dtype is not None:
        return to.fixed(node.outputs[0], np.array(bool(name)))
    return to.call(is_there, to.value(name))


@lowering("OptionalGetElement", raw=True)
def optional_get_element(node: Node, to: Builder) -> torch.fx.Node:
    """Return the element of an optional; a tensor or a sequence is its own."""
    if to.graph.value(node.inputs[0]).dtype is not None:
        return to.value(node.inputs[0])
    return to.call(element_of, to.value(node.inputs[0]))
