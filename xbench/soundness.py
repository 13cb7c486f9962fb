"""Whether a model file is what it says: the checker's rules, and what the checker passes over.

A file may be damaged where no rule looks: in a name, in an element type, in the length of a
tensor. Runtimes then crash, or read something else; here it is one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench.errors import ModelError
from xbench.modelfile import AGAIN, elements, is_external, stored_bytes, stored_tensors

if TYPE_CHECKING:
    from google.protobuf.message import Message  # type: ignore[import-untyped] # ships none
    from onnx import ModelProto, TensorProto


def check(path: Path, model: ModelProto) -> None:
    """Return if a model file can be trusted; its external data must have been found.

    Raises:
        ModelError: If it cannot.
    """
    import onnx

    if any(isinstance(text, bytes) for text in _texts(model)):
        raise ModelError(f"{path} is damaged: it holds a name that is no text", AGAIN)
    for tensor in stored_tensors(model):
        if tensor.data_type not in onnx.TensorProto.DataType.values()[1:]:  # 0: undefined
            raise ModelError(f"{path} is damaged: it holds a tensor of no known type", AGAIN)
        if not is_external(tensor) and not _complete(tensor):
            reason = f"{path} is damaged: tensor {tensor.name!r} has not as many values as it says"
            raise ModelError(reason, AGAIN)
    try:
        onnx.checker.check_model(path)  # by path: what it reads may be larger than 2 GiB
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = f"{path} breaks the rules of ONNX: {_first_line(error)}"
        raise ModelError(reason, "Export it again") from error


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
