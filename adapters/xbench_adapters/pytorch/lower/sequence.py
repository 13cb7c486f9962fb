"""Sequences: Python lists of tensors, or of NumPy arrays of text, when a module runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared.moved import joined, moves, stacked
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def empty_sequence() -> list[Any]:
    """Return a sequence of nothing."""
    return []


def sequence_of(*values: Any) -> list[Any]:
    """Return a sequence of values."""
    return list(values)


def element_at(sequence: Sequence[Any], position: int) -> Any:
    """Return an element; a negative position counts from the end."""
    return sequence[position]


def length_of(sequence: Sequence[Any]) -> torch.Tensor:
    """Return the number of elements, as a tensor where the elements are."""
    first = sequence[0] if sequence else None
    device = first.device if isinstance(first, torch.Tensor) else None
    return torch.tensor(len(sequence), dtype=torch.int64, device=device)


def with_element(sequence: Sequence[Any], value: Any, position: int | None) -> list[Any]:
    """Return a sequence with one more element, before ``position`` or at the end."""
    longer = list(sequence)
    place = len(longer) if position is None else position
    if not -len(longer) <= place <= len(longer):
        raise IndexError(f"position {place} is out of range for {len(longer)} elements")
    longer.insert(place, value)
    return longer


def without_element(sequence: Sequence[Any], position: int | None) -> list[Any]:
    """Return a sequence without the element at ``position``, or without the last."""
    shorter = list(sequence)
    del shorter[-1 if position is None else position]
    return shorter


@moves
def pieces(x: torch.Tensor, split: int | list[int], axis: int) -> tuple[torch.Tensor, ...]:
    """Return parts of ``split`` elements each, the last one shorter, or of these lengths."""
    if not isinstance(split, list):
        return torch.split(x, split, axis) if x.shape[axis] else ()
    if min(split, default=0) < 0 or sum(split) != x.shape[axis]:
        raise ValueError(f"an axis of {x.shape[axis]} cannot be split into {split}")
    return torch.split(x, split, axis)


@moves
def slices(x: torch.Tensor, axis: int) -> tuple[torch.Tensor, ...]:
    """Return the slices at each place along an axis, without that axis."""
    return tuple(torch.unbind(x, axis))


def split_into(x: Any, split: int | list[int], axis: int) -> list[Any]:
    """Return parts along an axis as a sequence; see `pieces`."""
    return list(pieces(x, split, axis))


def split_by(x: Any, split: torch.Tensor, axis: int) -> list[Any]:
    """Return parts along an axis: of one length for a scalar, else of these lengths."""
    found = split.tolist()
    return list(pieces(x, found, axis))


def slices_of(x: Any, axis: int) -> list[Any]:
    """Return the slices at each place along an axis as a sequence."""
    return list(slices(x, axis))


@lowering("SequenceEmpty", raw=True)
def sequence_empty(_node: Node, to: Builder) -> torch.fx.Node:
    """Return a sequence of nothing."""
    return to.call(empty_sequence)


@lowering("SequenceConstruct", raw=True)
def sequence_construct(node: Node, to: Builder) -> torch.fx.Node:
    """Return a sequence of the inputs."""
    return to.call(sequence_of, *map(to.value, node.inputs))


@lowering("SequenceAt", raw=True)
def sequence_at(node: Node, to: Builder) -> torch.fx.Node:
    """Return one element."""
    return to.call(element_at, to.value(node.inputs[0]), to.number(node.inputs[1]))


@lowering("SequenceLength", raw=True)
def sequence_length(node: Node, to: Builder) -> torch.fx.Node:
    """Return the number of elements."""
    return to.call(length_of, to.value(node.inputs[0]))


@lowering("SequenceInsert", raw=True)
def sequence_insert(node: Node, to: Builder) -> torch.fx.Node:
    """Return the sequence with one more element."""
    position = to.number(node.inputs[2]) if node.input(2) else None
    return to.call(with_element, to.value(node.inputs[0]), to.value(node.inputs[1]), position)


@lowering("SequenceErase", raw=True)
def sequence_erase(node: Node, to: Builder) -> torch.fx.Node:
    """Return the sequence with one element less."""
    position = to.number(node.inputs[1]) if node.input(1) else None
    return to.call(without_element, to.value(node.inputs[0]), position)


@lowering("SplitToSequence", raw=True)
def split_to_sequence(node: Node, to: Builder) -> torch.fx.Node:
    """Return the parts of a tensor along an axis, as a sequence."""
    x, axis = to.value(node.inputs[0]), int(node.attributes["axis"])
    split = node.input(1)
    if not split:
        keeps = node.attributes.get("keepdims", 1)
        return to.call(split_into, x, 1, axis) if keeps else to.call(slices_of, x, axis)
    rank = to.graph.value(split).rank
    if rank is None:
        return to.call(split_by, x, to.value(split), axis)
    return to.call(split_into, x, to.numbers(split) if rank else to.number(split), axis)


@lowering("ConcatFromSequence", raw=True)
def concat_from_sequence(node: Node, to: Builder) -> torch.fx.Node:
    """Return the elements of a sequence in one tensor, along an axis of theirs or a new one."""
    join = stacked if node.attributes.get("new_axis") else joined
    return to.call(join, to.value(node.inputs[0]), int(node.attributes["axis"]))
