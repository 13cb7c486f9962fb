"""Values that are no tensors: sequences, lists while a graph is traced, and empty optionals.

How long a sequence is, and whether an optional is empty, is part of what is traced: another
length is another trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow.tensors import tf_dtype

if TYPE_CHECKING:
    import onnx


class Nothing:
    """What an empty optional holds: lowerings give None for what they cannot compute."""


NOTHING: Final = Nothing()

LENGTHS: Final = (2, 1, 4, 8)
"""How many elements sequences are made up with, to see whether a graph can be traced."""

RANKS: Final = (None, 1, 2, 3, 4)
"""The ranks that elements are made up with where the model does not tell theirs."""


def handed_in(given: Any) -> Any:
    """Return an input of a module as lowerings take it."""
    if isinstance(given, list | tuple):
        return [handed_in(one) for one in given]
    return NOTHING if given is None else given


def handed_out(found: Any) -> Any:
    """Return a value as a module gives it: None for an empty optional."""
    if isinstance(found, list):
        return [handed_out(one) for one in found]
    return None if found is NOTHING else found


def structure_of(value: Any) -> Any:
    """Return what a value is made of: two that are alike can stand for each other."""
    if isinstance(value, list | tuple):
        return tuple(structure_of(one) for one in value)
    return None if value is NOTHING else "tensor"


def flat(value: Any) -> list[Any]:
    """Return the tensors of a value, in order."""
    if isinstance(value, list | tuple):
        return [each for one in value for each in flat(one)]
    return [] if value is NOTHING else [value]


def packed(structure: Any, tensors: Iterator[Any]) -> Any:
    """Return a value that is made of tensors as another one was."""
    if isinstance(structure, tuple):
        return [packed(one, tensors) for one in structure]
    return NOTHING if structure is None else next(tensors)


def made_up(typed: onnx.TypeProto, name: str, length: int, rank: int | None) -> Any:
    """Return the specification of an input of a declared type.

    Args:
        typed: The type.
        name: The input's name, for a refusal.
        length: How many elements a sequence has.
        rank: The rank of elements, where the type does not tell it.

    Raises:
        UnsupportedNodeError: If TensorFlow has no such values.
    """
    kind = typed.WhichOneof("value")
    if kind == "optional_type":
        return made_up(typed.optional_type.elem_type, name, length, rank)
    if kind == "sequence_type":
        return [made_up(typed.sequence_type.elem_type, name, length, rank)] * length
    if kind != "tensor_type":
        raise UnsupportedNodeError(name, "input", 0, f"TensorFlow cannot take it: it is a {kind}")
    return _tensor(typed.tensor_type, name, rank)


def _tensor(typed: onnx.TypeProto.Tensor, name: str, rank: int | None) -> Any:
    from onnx import helper

    code = typed.elem_type
    dtype = tf_dtype(helper.tensor_dtype_to_np_dtype(code)) if code else None
    if dtype is None:
        raise UnsupportedNodeError(name, "input", 0, "TensorFlow cannot take elements of its type")
    if not typed.HasField("shape"):
        return tf.TensorSpec(None if rank is None else [None] * rank, dtype)
    dims = [one.dim_value if one.HasField("dim_value") else None for one in typed.shape.dim]
    return tf.TensorSpec(dims, dtype)


def tried(trace: Callable[..., Any], specs: Callable[[int, int | None], Sequence[Any]]) -> None:
    """Trace a graph for inputs that are made up; what no such inputs fit is left to the first call.

    Args:
        trace: Traces for specifications of all inputs.
        specs: Gives them, for sequences of so many elements, of so many axes.

    Raises:
        UnsupportedNodeError: If some node was refused whatever was made up.
    """
    refused: UnsupportedNodeError | None = None
    for rank in RANKS:
        for length in LENGTHS:
            try:
                trace(*specs(length, rank))
            except Exception as error:  # what was made up need not fit the graph
                refused = refused or (error if isinstance(error, UnsupportedNodeError) else None)
            else:
                return
    if refused is not None:
        raise refused
