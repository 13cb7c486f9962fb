"""What a lowering builds with: values of the graph in, PyTorch calls out."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
import torch.fx
from torch import nn

from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch.lengths import Lengths
from xbench_adapters.pytorch.stand_in import StandIn, stand_in
from xbench_adapters.pytorch.tensors import DTYPES, as_text, tensor_of, text_array, torch_dtype

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Graph, Node

Argument = torch.fx.Node | float | int

Numbers = list[int] | torch.fx.Node
"""Whole numbers that are known, or a node that gives their list when a module runs."""

Held = dict[tuple[Any, ...], tuple["Array", nn.Parameter]]
"""Parameters made so far, by the place of the weight in memory."""


class Builder:
    """The PyTorch module that grows while the nodes of a graph are lowered in order."""

    def __init__(self, graph: Graph, lower: Callable[[Graph], torch.fx.GraphModule]) -> None:
        self.graph = graph
        self.root = nn.Module()
        self.fx = torch.fx.Graph()
        self.inner = lower
        self.lengths = Lengths(self)
        self.node: Node | None = None
        self._made: dict[str, torch.fx.Node] = {}
        self._stand_ins: dict[str, StandIn] = {}
        self._standing: dict[str, torch.fx.Node] = {}
        self.held: Held = {}
        self._targets: set[str] = set()

    def begin(self, node: Node, *, raw: bool = False) -> None:
        """Take ``node`` as the one that is lowered now.

        Args:
            node: The node.
            raw: Whether it is given every element type as it is held, without stand-ins.
        """
        self.node = node
        self._stand_ins, self._standing = {}, {}
        if raw:
            return
        for name in (*node.inputs, *node.outputs):
            dtype = self.graph.value(name).dtype
            found = stand_in(dtype.name, node.operator) if name and dtype is not None else None
            if isinstance(found, str):
                self.refuse(found)
            if found is not None:
                self._stand_ins[name] = found

    def refuse(self, detail: str) -> NoReturn:
        """Say that the node at hand cannot be run as ONNX defines it."""
        node = self.node
        assert node is not None
        spelled = f"{node.domain}::{node.operator}" if node.domain else node.operator
        raise UnsupportedNodeError(node.name, spelled, node.version, detail)

    # What is known of the values

    def constant(self, name: str) -> Array | None:
        """Return the value of ``name`` if it is known before the first run."""
        return self.graph.constants.get(name)

    def need(self, name: str, what: str) -> Array:
        """Return the value of ``name``, or refuse the node because it is not known."""
        array = self.constant(name)
        if array is None:
            self.refuse(f"its {what} must be known before the first run (give input shapes)")
        return array

    def ints(self, name: str, what: str) -> list[int]:
        """Return a vector that must be known, as whole numbers."""
        return [int(one) for one in self.need(name, what).reshape(-1)]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a shape that must be known."""
        shape = self.graph.value(name).static
        if shape is None:
            self.refuse(f"the shape of {name!r} must be known (give input shapes)")
        return shape

    def rank(self, name: str) -> int:
        """Return a number of dimensions that must be known."""
        rank = self.graph.value(name).rank
        if rank is None:
            self.refuse(f"the rank of {name!r} must be known (give input shapes)")
        return rank

    def dtype(self, name: str) -> torch.dtype:
        """Return an element type that must be known: the one that is computed with."""
        if name in self._stand_ins:
            return self._stand_ins[name].dtype
        dtype = torch_dtype(self.graph.value(name).dtype)
        if dtype is None:
            self.refuse(f"the element type of {name!r} must be known")
        return dtype

    def floating(self, name: str) -> bool:
        """Return whether the elements of ``name`` are floats."""
        return self.dtype(name).is_floating_point

    def axis(self, axis: int, rank: int) -> int:
        """Return an axis counted from the front, or refuse one that is out of range."""
        if not -rank <= axis < max(rank, 1):
            self.refuse(f"axis {axis} is out of range for rank {rank}")
        return axis % rank if rank else 0

    # What is built

    def value(self, name: str) -> torch.fx.Node:
        """Return the value of ``name``; a constant becomes a parameter or a buffer once."""
        standing = self._stand_ins.get(name)
        if standing is None:
            return self.raw(name)
        if name not in self._standing:
            self._standing[name] = self.call(standing.into, self.raw(name))
        return self._standing[name]

    def raw(self, name: str) -> torch.fx.Node:
        """Return the value of ``name`` in the type that holds it, without a stand-in."""
        if name not in self._made:
            array = self.constant(name)
            assert array is not None, name
            self._made[name] = self._constant(name, array)
        return self._made[name]

    def numbers(self, name: str) -> Numbers:
        """Return whole numbers: those of a constant, or a node that gives their list."""
        array = self.constant(name)
        if array is not None:
            return [int(one) for one in array.reshape(-1)]
        return self.lengths.of(name)

    def number(self, name: str) -> int | torch.fx.Node:
        """Return a whole number: that of a constant, or a node that gives it."""
        found = self.numbers(name)
        return self.item(found, 0) if isinstance(found, torch.fx.Node) else found[0]

    def optional(self, name: str) -> torch.fx.Node | None:
        """Return the value of ``name``, or None for an input that is absent."""
        return self.value(name) if name else None

    def operand(self, name: str, beside: str) -> Argument:
        """Return a single constant as a plain number where it changes no type or shape.

        Args:
            name: The value wanted.
            beside: The other operand, which decides type and rank.
        """
        array, other = self.constant(name), self.graph.value(beside)
        if array is None or array.size != 1 or self.constant(beside) is not None:
            return self.value(name)
        same = other.dtype == array.dtype and array.dtype.kind in "if"
        if not same or other.rank is None or array.ndim > other.rank:
            return self.value(name)
        number = array.reshape(-1)[0]
        return float(number) if array.dtype.kind == "f" else int(number)

    def define(self, name: str, node: torch.fx.Node) -> None:
        """Take ``node`` as the value of ``name``, in the type that holds it."""
        self._made[name] = node

    def give(self, name: str, node: torch.fx.Node) -> None:
        """Take ``node`` as the value of ``name``, in the type that the node at hand computes."""
        standing = self._stand_ins.get(name)
        self.define(name, node if standing is None else self.call(standing.back, node))

    def parameter(self, array: Array) -> nn.Parameter:
        """Return a weight as a parameter that asks for no gradient; the same memory, the same one.

        Embeddings and the layer after them often share a weight, natively too.
        """
        place = array.__array_interface__["data"][0]
        key = (place, array.shape, array.strides, array.dtype.str)
        if key not in self.held:
            made = nn.Parameter(tensor_of(array), requires_grad=False)
            self.held[key] = array, made  # the array stays: its place must not be taken again
        return self.held[key][1]

    def _constant(self, name: str, array: Array) -> torch.fx.Node:
        """Return a constant that the module holds: floats as a parameter, others as a buffer."""
        if array.dtype.name == "object":
            return self.call(text_array, tuple(map(as_text, array.reshape(-1))), array.shape)
        if not DTYPES[array.dtype.name].is_floating_point:
            return self.fixed(name, array)
        target = self._free(name)
        self.root.register_parameter(target, self.parameter(array))
        return self.fx.get_attr(target)

    def fixed(self, name: str, array: Array) -> torch.fx.Node:
        """Return an array that a lowering worked out, as a buffer of the module."""
        target = self._free(name)
        self.root.register_buffer(target, tensor_of(np.asarray(array)))
        return self.fx.get_attr(target)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.fx.Node:
        """Return the result of a function."""
        return self.fx.call_function(function, args, kwargs)

    def module(self, module: nn.Module, *args: Any) -> torch.fx.Node:
        """Return the result of a module, which is named after the node at hand."""
        assert self.node is not None
        target = self._free(self.node.name)
        self.root.add_module(target, module)
        return self.fx.call_module(target, args)

    def item(self, node: torch.fx.Node, place: int) -> torch.fx.Node:
        """Return one of several results."""
        import operator

        return self.call(operator.getitem, node, place)

    def items(self, node: torch.fx.Node, count: int) -> tuple[torch.fx.Node, ...]:
        """Return each of several results."""
        return tuple(self.item(node, place) for place in range(count))

    def finish(self, results: Sequence[str]) -> torch.fx.GraphModule:
        """Return the module that gives ``results`` as a tuple."""
        self.fx.output(tuple(self.raw(name) for name in results))
        # Lengths that were followed as numbers are not needed as tensors.
        self.fx.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
        self.fx.lint()
        # fx copies what the graph names off the root; parameters are shared, not copied.
        module = torch.fx.GraphModule(self.root, self.fx)
        return module.eval()

    def _free(self, name: str) -> str:
        stem = re.sub(r"\W+", "_", name).strip("_") or "value"
        if stem[0].isdigit() or keyword.iskeyword(stem) or hasattr(nn.Module, stem):
            stem = f"_{stem}"
        elif hasattr(torch.fx.GraphModule, stem) or stem == "meta":
            stem = f"{stem}_"
        target, count = stem, 1
        while target in self._targets or hasattr(self.root, target):
            target, count = f"{stem}_{count}", count + 1
        self._targets.add(target)
        return target
