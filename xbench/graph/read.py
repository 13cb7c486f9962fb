"""A model file, or a ModelProto, as a light ModelProto and its weights.

Weights in files, the model's own or others, are mapped and not read, so that an importer's own
copy is the only one in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xbench.errors import ModelError
from xbench.graph.mapped import parse_light

if TYPE_CHECKING:
    import onnx

    from xbench.graph.plain import Array

Files = dict[Path, "Array"]
"""Whole files that are mapped, by path: a map for each weight would hold as many files open."""

_MOST_FILES = 256  # that are mapped: some models have a file for each of their weights


def read_model(model: onnx.ModelProto | Path | str) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Return a model without its weights, and the weights by name.

    A ModelProto that is passed in is left as it was.

    Raises:
        ModelError: If the file cannot be read as ONNX, or its external data is missing or
            lies outside its folder.
    """
    import onnx

    folder = own = None
    if not isinstance(model, onnx.ModelProto):
        path = Path(model)
        model, folder, own = _parse(path), path.parent, path.resolve()
    files: Files = {}
    weights = {one.name: tensor_array(one, folder, own, files) for one in model.graph.initializer}
    for one in model.graph.sparse_initializer:
        weights[one.values.name] = densified(one)
    # What was parsed from a file goes with the last use of it here, and its weights with it.
    model = _without_weights(model)
    if folder is not None:
        for nodes in (model.graph.node, *(one.node for one in model.functions)):
            _fill(nodes, folder, files)
    return model, weights


def tensor_array(
    tensor: onnx.TensorProto,
    folder: Path | None,
    own: Path | None = None,
    files: Files | None = None,
) -> Array:
    """Return the array of a tensor; from an external file it is mapped.

    Args:
        tensor: The message.
        folder: The folder that external files must lie in.
        own: The model's own file, wherever it lies.
        files: What is mapped already, which grows.

    Raises:
        ModelError: If the tensor's data is missing or malformed.
    """
    import onnx
    from onnx import numpy_helper

    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return _external(tensor, folder, own, {} if files is None else files)
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (TypeError, ValueError) as error:
        raise ModelError(f"tensor {tensor.name!r} is malformed: {error}") from error


def _parse(path: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships none

    try:
        model = parse_light(path) or onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path} is not an ONNX model: {error}") from error
    if not model.opset_import:
        raise ModelError(f"{path} is not an ONNX model: it imports no operator set")
    return model


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that shares no weights: copying them too would double the memory."""
    import onnx

    light = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            continue
        if field.message_type is not None or isinstance(value, list):
            getattr(light, field.name).extend(value)
        else:
            setattr(light, field.name, value)
    for field, value in model.graph.ListFields():
        if field.name in ("initializer", "sparse_initializer"):
            continue
        if field.name in ("name", "doc_string"):
            setattr(light.graph, field.name, value)
        else:
            getattr(light.graph, field.name).extend(value)
    return light


def _fill(nodes: Iterable[onnx.NodeProto], folder: Path, files: Files) -> None:
    """Read what attributes and graphs within nodes keep in files: little, unlike weights."""
    import onnx
    from onnx import numpy_helper

    from xbench.graph.subgraphs import subgraphs

    for node in nodes:
        inner = list(subgraphs(node))
        held = [one.t for one in node.attribute if one.HasField("t")]
        for tensor in [*held, *(one for graph in inner for one in graph.initializer)]:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                array = np.asarray(_external(tensor, folder, None, files))
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        for graph in inner:
            _fill(graph.node, folder, files)


def _external(
    tensor: onnx.TensorProto, folder: Path | None, own: Path | None, files: Files
) -> Array:
    from onnx import helper

    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ModelError(
            f"tensor {tensor.name!r} lies in {location!r}, but no folder is known",
            "Pass the model's path, or load its external data first",
        )
    path = (
        own if own and (folder / location).resolve() == own else _inside(folder, location, tensor)
    )
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    count = int(np.prod(tensor.dims, dtype=np.int64))
    if dtype.name in ("int4", "uint4", "float4_e2m1fn", "int2", "uint2"):
        raise ModelError(f"tensor {tensor.name!r} is packed {dtype.name} in an external file")
    offset, needed = int(entries.get("offset", 0)), count * dtype.itemsize
    if int(entries.get("length", needed)) < needed:
        raise ModelError(f"tensor {tensor.name!r} is malformed: it has too little data")
    if path.stat().st_size < offset + needed:
        raise ModelError(f"{path.name} ends before the data of tensor {tensor.name!r}")
    if count == 0:
        return np.zeros(tuple(tensor.dims), dtype)
    return _stretch(path, offset, needed, files).view(dtype).reshape(tuple(tensor.dims))


def _stretch(path: Path, offset: int, length: int, files: Files) -> Array:
    """Return bytes of a file: a part of its map, which all its tensors share."""
    if path not in files and len(files) >= _MOST_FILES:
        return np.fromfile(path, np.uint8, length, offset=offset)
    if path not in files:
        files[path] = _map(path)
    return files[path][offset : offset + length]


def _map(path: Path) -> Array:
    try:
        # Copy on write: the array can be handed on as writable, and the file never changes.
        return np.memmap(path, np.uint8, mode="c")
    except OSError:  # memory for as many copies may not be promised
        return np.memmap(path, np.uint8, mode="r")


def _inside(folder: Path, location: str, tensor: onnx.TensorProto) -> Path:
    path = (folder / location).resolve()
    if not location or not path.is_relative_to(folder.resolve()):
        raise ModelError(f"external data {location!r} of tensor {tensor.name!r} leaves its folder")
    if not path.is_file():
        raise ModelError(f"external data {location!r} of tensor {tensor.name!r} is missing")
    return path


def densified(sparse: onnx.SparseTensorProto) -> Array:
    """Return a sparse weight with its zeros filled in."""
    values = tensor_array(sparse.values, None)
    places = tensor_array(sparse.indices, None).astype(np.int64)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if places.ndim == 2:
        dense[tuple(places.T)] = values
    else:
        dense.reshape(-1)[places] = values
    return dense
