"""A model file read without the weights in it: they are left where they are, and mapped.

Protobuf's own parser copies every byte of a file. Here its messages are walked by their lengths
alone, and each large tensor among the graph's weights is replaced by one that says where in the
file its data lies, in the form that ONNX has for data in another file. What is left is small,
and is parsed as usual. See the protobuf encoding for the wire format:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

LARGE = 4096  # bytes of data, from which on it stays in the file
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # kinds of fields on the wire
GRAPH = 7  # of ModelProto
INITIALIZER = 5  # of GraphProto
DATA_TYPE, RAW_DATA = 2, 9  # of TensorProto
WHOLE_BYTES = frozenset({*range(1, 8), *range(9, 21), 24})
"""TensorProto's data types whose elements take whole bytes, text left out."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A field of a message: its number, its kind, and where it and its content lie."""

    number: int
    kind: int
    start: int
    content: int
    end: int


def light_bytes(path: Path) -> bytes | None:
    """Return the message in a file with large weights told by their place; None if it is none.

    Whether the rest is ONNX is for its parser to say.
    """
    with path.open("rb") as file:
        try:
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                return _model(data, path.name)
        except (ValueError, IndexError):
            return None  # an empty file, or lengths that do not fit together


def _model(data: mmap, name: str) -> bytes:
    parts = []
    for piece in _pieces(data, 0, len(data)):
        if piece.number == GRAPH and piece.kind == BYTES:
            parts.append(_field(GRAPH, _graph(data, piece, name)))
        else:
            parts.append(data[piece.start : piece.end])
    return b"".join(parts)


def _graph(data: mmap, graph: Piece, name: str) -> bytes:
    parts = []
    for piece in _pieces(data, graph.content, graph.end):
        weight = piece.number == INITIALIZER and piece.end - piece.content >= LARGE
        found = _told(data, piece, name) if weight else None
        parts.append(data[piece.start : piece.end] if found is None else _field(INITIALIZER, found))
    return b"".join(parts)


def _told(data: mmap, tensor: Piece, name: str) -> bytes | None:
    """Return a tensor that tells where its data lies; None for one that must stay as it is."""
    import onnx

    pieces = list(_pieces(data, tensor.content, tensor.end))
    raw = [one for one in pieces if one.number == RAW_DATA and one.kind == BYTES]
    if len(raw) != 1 or raw[0].end - raw[0].content < LARGE:
        return None
    rest = b"".join(data[one.start : one.end] for one in pieces if one is not raw[0])
    told = onnx.TensorProto.FromString(rest)
    if told.data_type not in WHOLE_BYTES or told.data_location == onnx.TensorProto.EXTERNAL:
        return None
    told.data_location = onnx.TensorProto.EXTERNAL
    place = {"location": name, "offset": raw[0].content, "length": raw[0].end - raw[0].content}
    for key, value in place.items():
        told.external_data.add(key=key, value=str(value))
    return bytes(told.SerializeToString())


def _pieces(data: mmap, start: int, end: int) -> Iterator[Piece]:
    """Yield the fields of the message between two places.

    Raises:
        ValueError: If they do not fill it exactly.
    """
    at = start
    while at < end:
        key, content = _varint(data, at, end)
        kind = key & 7
        if kind == BYTES:
            length, content = _varint(data, content, end)
        elif kind == VARINT:
            length = _varint(data, content, end)[1] - content
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"no field starts with {key}")
        if content + length > end:
            raise ValueError("a field reaches beyond its message")
        yield Piece(key >> 3, kind, at, content, content + length)
        at = content + length


def _varint(data: mmap, at: int, end: int) -> tuple[int, int]:
    """Return the number that starts at a place, and the place after it."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number does not end")


def _field(number: int, content: bytes) -> bytes:
    return _as_varint(number << 3 | BYTES) + _as_varint(len(content)) + content


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def parse_light(path: Path) -> onnx.ModelProto | None:
    """Return the model in a binary file, its large weights told by their place; None elsewise.

    Raises:
        OSError: If the file cannot be read.
        google.protobuf.message.DecodeError: If what is left is no ONNX model.
    """
    import onnx

    light = light_bytes(path)
    return None if light is None else onnx.ModelProto.FromString(light)
