"""The ``.onnx`` file itself: parsing it, the tensors it stores, and the files they lie in.

A model may keep its tensors in other files. Those must lie in the model's own folder: a file
that was downloaded must not make us read, hash or publish something else of the user's.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from xbench.errors import ModelError
from xbench.units import format_bytes

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

ONE_FILE_BYTES = 2**31  # protobuf reads less than this of one file
SMALL_ELEMENTS = 1024  # shapes, axes and the like: what shape inference may need to read
AGAIN = "Copy or download it again, or export it again"
BESIDE = "Put the model's data files beside it under the names it uses, or export it again"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a tensor's bytes lie outside the model file."""

    path: Path
    offset: int


def parse(path: Path) -> ModelProto:
    """Return a model file's message, not yet checked; external data is left where it is.

    Raises:
        ModelError: If the file is missing, damaged or not ONNX.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # ships none

    _check_readable(path)
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path} is damaged, cut short or not an ONNX model", AGAIN) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", AGAIN) from error
    if not (model.ir_version and model.HasField("graph") and model.graph.output):
        raise ModelError(f"{path} is not an ONNX model: it holds no graph", AGAIN)
    return model


def initializers(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield the values of each initialiser of a graph and its subgraphs."""
    for one in graphs(graph):
        yield from one.initializer
        yield from (sparse.values for sparse in one.sparse_initializer)


def constants(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    """Yield each tensor that one of the nodes carries as an attribute."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                yield attribute.sparse_tensor.values
            yield from (sparse.values for sparse in attribute.sparse_tensors)


def large_constants(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield each tensor of several elements that a node carries: weights, in some exports."""
    nodes = (node for one in graphs(graph) for node in one.node)
    return (tensor for tensor in constants(nodes) if elements(tensor) > 1)


def stored_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor that the model stores, however deep; indices of sparse ones not."""
    for graph in _roots(model):
        yield from initializers(graph)
    yield from constants(all_nodes(model))


def all_nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Yield every node of a model: of its graphs, their subgraphs and its functions."""
    for graph in _roots(model):
        yield from (node for one in graphs(graph) for node in one.node)
    for function in model.functions:
        for node in function.node:
            yield node
            yield from (inner for g in subgraphs(node) for one in graphs(g) for inner in one.node)


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and all the graphs within it."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node carries: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def is_external(tensor: TensorProto) -> bool:
    """Return whether a tensor's bytes lie in another file."""
    from onnx import TensorProto

    return tensor.data_location == TensorProto.EXTERNAL


def external(tensor: TensorProto, folder: Path) -> Stretch:
    """Return where an external tensor's bytes lie, once sure that they are there.

    Raises:
        ModelError: If the file is outside the model's folder, missing or too short.
    """
    entry = {item.key: item.value for item in tensor.external_data}
    location = entry.get("location", "")
    path = _inside(folder, location)
    needed, size = stored_bytes(tensor), path.stat().st_size
    try:
        offset = int(entry.get("offset") or 0)
        length = int(entry.get("length") or needed)
    except ValueError:
        offset = length = -1
    if offset < 0 or length < needed:
        raise ModelError(f"the place of {tensor.name!r} in {location!r} is wrong", AGAIN)
    if offset + length > size:
        least = format_bytes(offset + length)
        raise ModelError(
            f"{location!r}, which holds the model's weights, is cut short:"
            f" it has {format_bytes(size)} of at least {least}",
            "Copy or download it again",
        )
    return Stretch(path, offset)


def external_files(model: ModelProto, folder: Path) -> dict[str, Path]:
    """Return each file that the model names for its tensors, by the name it uses, sorted.

    Raises:
        ModelError: If one is outside the model's folder, missing or too short.
    """
    found = {}
    for tensor in stored_tensors(model):
        if is_external(tensor):
            path = external(tensor, folder).path
            found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))


def content_sha256(path: Path, files: dict[str, Path]) -> str:
    """Return the SHA-256 of a model, wherever it lies and whatever its own file is called.

    For a model in one file it is that file's own. With external data it is that of one line
    a file, ``<sha256>  <name>``: the model first and without a name, then ``files`` in order.
    """
    own = _file_sha256(path)
    if not files:
        return own
    lines = [f"{own}  \n", *(f"{_file_sha256(file)}  {name}\n" for name, file in files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def elements(tensor: TensorProto) -> int:
    """Return how many elements a tensor has."""
    return math.prod(tensor.dims)


def stored_bytes(tensor: TensorProto) -> int:
    """Return the bytes of a tensor's elements; 0 for strings, whose length varies."""
    return (elements(tensor) * element_bits(tensor.data_type) + 7) // 8


def element_bits(data_type: int) -> int:
    """Return the bits of one stored element of an ONNX type; 0 for strings."""
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    if data_type in {TensorProto.UNDEFINED, TensorProto.STRING}:
        return 0
    name = TensorProto.DataType.Name(data_type)
    packed = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
    return packed.get(name) or int(tensor_dtype_to_np_dtype(data_type).itemsize) * 8


def forget_large(model: ModelProto, folder: Path) -> None:
    """Drop the values of large tensors and read in the small ones, in place.

    What is left weighs little, and shape inference still finds all that it looks at.
    """
    for tensor in stored_tensors(model):
        if elements(tensor) > SMALL_ELEMENTS:
            for values in ("raw", "float", "int32", "int64", "uint64", "double"):
                tensor.ClearField(f"{values}_data")
        elif is_external(tensor):
            stretch = external(tensor, folder)
            with stretch.path.open("rb") as file:
                file.seek(stretch.offset)
                tensor.raw_data = file.read(stored_bytes(tensor))
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def _roots(model: ModelProto) -> Iterator[GraphProto]:
    """Yield the graphs that a model holds itself: what it computes, and how it was trained."""
    yield model.graph
    for training in model.training_info:
        yield training.initialization
        yield training.algorithm


def _check_readable(path: Path) -> None:
    """Raise `ModelError` unless the path is of a file that may be a whole model."""
    if not path.exists():
        raise ModelError(f"there is no file {path}", "Check the path, or see `xbench models`")
    if path.is_dir():
        raise ModelError(f"{path} is a folder", "Name the .onnx file in it")
    if not path.is_file():
        raise ModelError(f"{path} is not a regular file", "Name an .onnx file")
    size = path.stat().st_size
    if size == 0:
        raise ModelError(f"{path} is empty", AGAIN)
    if size >= ONE_FILE_BYTES:
        raise ModelError(
            f"{path} has {format_bytes(size)}, and an ONNX file can have 2 GiB at most",
            "Export the model with its weights as external data",
        )


def _inside(folder: Path, location: str) -> Path:
    """Return the path of a file that a model names, once sure that it is in its folder."""
    if not location or "\0" in location:
        raise ModelError("the model does not name the file of its external data", AGAIN)
    pure, path = PurePosixPath(location), folder / location
    away = pure.is_absolute() or PureWindowsPath(location).drive or ".." in pure.parts
    if away or not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"its external data {location!r} is outside the model's folder", BESIDE)
    if not path.is_file():
        raise ModelError(f"its external data file {location!r} is missing", BESIDE)
    return path


def _file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
