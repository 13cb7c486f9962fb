"""Whether a model file is what it says: the checker's rules, and what the checker passes over.

A file may be damaged where no rule looks: in a name, in an element type, in the length of a
tensor. Runtimes then crash, or read something else; here it is one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench.errors import ModelError
from xbench.modelfile import (
    AGAIN,
    SMALL_ELEMENTS,
    all_nodes,
    elements,
    is_external,
    stored_bytes,
    stored_tensors,
    subgraphs,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message  # type: ignore[import-untyped] # ships none
    from onnx import ModelProto, TensorProto


def check_values(path: Path, model: ModelProto) -> None:
    """Return if a model's texts, types and tensors are whole; external data is another matter.

    Raises:
        ModelError: If one is not.
    """
    from onnx import TensorProto

    if any(isinstance(text, bytes) for text in _texts(model)):
        raise ModelError(f"{path} is damaged: it holds a name that is no text", AGAIN)
    for tensor in stored_tensors(model):
        if tensor.data_type not in TensorProto.DataType.values()[1:]:  # the first: undefined
            raise ModelError(f"{path} is damaged: it holds a tensor of no known type", AGAIN)
        if not is_external(tensor) and not _complete(tensor):
            reason = f"{path} is damaged: tensor {tensor.name!r} has not as many values as it says"
            raise ModelError(reason, AGAIN)


def check_rules(path: Path, model: ModelProto) -> None:
    """Return if a model keeps the rules of ONNX, by ONNX's own checker.

    Args:
        path: The model's file.
        model: Its message, as `xbench.modelfile.forget_large` leaves it.

    Raises:
        ModelError: If it does not.
    """
    import onnx

    light = onnx.ModelProto()
    light.CopyFrom(model)
    for tensor in stored_tensors(light):
        if elements(tensor) > SMALL_ELEMENTS:  # its values were checked and dropped
            tensor.dims[:] = [0] * len(tensor.dims)
    try:
        # By path the checker reads 436 MB of weights again, in 2.5 s instead of 0.03; only
        # sparse tensors have rules that hold between values and shape.
        onnx.checker.check_model(path if any(_sparse(model)) else light)
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = f"{path} breaks the rules of ONNX: {_first_line(error)}"
        raise ModelError(reason, "Export it again") from error


def _sparse(model: ModelProto) -> Iterator[bool]:
    """Yield whether each graph or attribute of the model holds a sparse tensor."""
    yield len(model.graph.sparse_initializer) > 0
    for node in all_nodes(model):
        for attribute in node.attribute:
            yield attribute.HasField("sparse_tensor") or len(attribute.sparse_tensors) > 0
        yield from (len(graph.sparse_initializer) > 0 for graph in subgraphs(node))


def _texts(message: Message) -> Iterator[str | bytes]:
    """Yield every text of a message and those that it holds; what is no UTF-8 comes as bytes."""
    from onnx import TensorProto

    if isinstance(message, TensorProto):  # its other fields are weights: large, and no text
        yield message.name
        return
    for field, value in message.ListFields():
        items: Any = value if field.is_repeated else [value]
        if field.type == field.TYPE_STRING:
            yield from items
        elif field.type == field.TYPE_MESSAGE:
            for item in items:
                yield from _texts(item)


def _complete(tensor: TensorProto) -> bool:
    """Return whether a tensor holds as many values as its shape says."""
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_field

    if tensor.HasField("raw_data"):
        return len(tensor.raw_data) == stored_bytes(tensor)
    held = len(getattr(tensor, tensor_dtype_to_field(tensor.data_type)))
    if tensor.data_type in {TensorProto.COMPLEX64, TensorProto.COMPLEX128}:
        return held == 2 * elements(tensor)
    packed = stored_bytes(tensor) < elements(tensor) and tensor.data_type != TensorProto.STRING
    return held == (stored_bytes(tensor) if packed else elements(tensor))


def _first_line(error: Exception) -> str:
    """Return what the checker found, without its addresses in the source and its context."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = lines[0] if lines else type(error).__name__
    return found[:300].rstrip(". ")
