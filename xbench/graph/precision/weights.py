"""Weights in another type: what is rounded, what is brought within range, and the file of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper, numpy_helper

from xbench.graph.precision.draft import Draft
from xbench.graph.precision.schemas import FLOAT

DATA = "weights.bin"
ONE_FILE_BYTES = 2**30  # of large weights: more lies beside the model
ALIGNED = 4096  # so that a runtime can map a weight from the file
PIECE = 1 << 22  # values at a time: what is in between takes memory too
STANDS_FOR_INFINITY = 1e30  # the bound of a mask, and no weight that was learnt
Array = NDArray[np.generic]


class Weights:
    """The narrow weights of a model.

    Attributes:
        beyond: The names of those with values beyond the range of the type, and their largest.
    """

    def __init__(self, draft: Draft, kind: int) -> None:
        self._draft, self._kind = draft, kind
        self._dtype = np.dtype(np.float16 if kind == TensorProto.FLOAT16 else ml_dtypes.bfloat16)
        self.beyond: dict[str, float] = {}

    def small(self, tensor: TensorProto) -> TensorProto:
        """Return a tensor that holds its own data in the narrow type, if it is float32."""
        if tensor.data_type != FLOAT:
            return tensor
        array = self._narrow(tensor.name, numpy_helper.to_array(tensor))
        return _tensor(tensor.name, self._kind, array)

    def put(
        self,
        graph: GraphProto,
        places: Mapping[str, Mapping[bool, str]],
        demanded: Mapping[str, set[bool]],
        *,
        main: bool,
    ) -> None:
        """Give a graph each initialiser in the types, and under the names, that its nodes use."""
        kept: list[TensorProto] = []
        for tensor in graph.initializer:
            if tensor.name not in demanded:
                kept.append(_copied(tensor))
            for is_narrow in sorted(demanded.get(tensor.name, ())):
                name = places[tensor.name][is_narrow]
                kept.append(self._put(tensor, name, is_narrow=is_narrow, main=main))
        del graph.initializer[:]
        graph.initializer.extend(kept)

    def _put(self, tensor: TensorProto, name: str, *, is_narrow: bool, main: bool) -> TensorProto:
        large = main and tensor.name in self._draft.stock
        copy = _copied(tensor)
        if large:
            self._draft.sources[name] = tensor.name
            copy.data_type = self._kind if is_narrow else FLOAT
        elif is_narrow:
            copy = self.small(tensor)
        copy.name = name
        return copy

    def write(self, graph: GraphProto, folder: Path) -> None:
        """Fill in the large weights, each read, narrowed and written before the next.

        Args:
            graph: The model's own.
            folder: Where they go if they are too many for the model's file.
        """
        large = [one for one in graph.initializer if one.name in self._draft.sources]
        sizes = (math.prod(one.dims) * _itemsize(one.data_type) for one in large)
        if sum(sizes) <= ONE_FILE_BYTES:
            for one in large:
                one.raw_data = self._array(one).tobytes()
            return
        with (folder / DATA).open("wb") as file:
            for one in large:
                file.write(b"\0" * (-file.tell() % ALIGNED))
                start = file.tell()
                self._array(one).tofile(file)
                _point(one, start, file.tell() - start)

    def _array(self, tensor: TensorProto) -> Array:
        array = self._draft.array(tensor.name)
        if tensor.data_type == self._kind and array.dtype == np.float32:
            array = self._narrow(self._draft.sources[tensor.name], array)
        return np.ascontiguousarray(array)

    def _narrow(self, name: str, array: Array) -> Array:
        """Return float32 values in the narrow type: finite ones stay finite, and none becomes 0.

        A bound such as -3.4e38 in a mask would be infinite, and two of them not a number; an
        epsilon would be 0, and what it guards a division by it.
        """
        flat = np.asarray(array, np.float32).reshape(-1)
        made = np.empty(flat.shape, self._dtype)
        for start in range(0, flat.size, PIECE):
            piece = slice(start, start + PIECE)
            made[piece] = self._piece(name, flat[piece])
        return made.reshape(array.shape)

    def _piece(self, name: str, array: NDArray[np.float32]) -> Array:
        limits: Any = ml_dtypes.finfo(self._dtype)  # type: ignore[no-untyped-call]
        largest, least = np.float32(limits.max), np.float32(limits.smallest_subnormal)
        size = np.abs(array)
        over = np.isfinite(size) & (size > largest)
        if (learnt := size[over & (size < STANDS_FOR_INFINITY)]).size:
            self.beyond[name] = max(float(learnt.max()), self.beyond.get(name, 0.0))
        with np.errstate(over="ignore", under="ignore"):
            made = array.astype(self._dtype)
        lost = (size > 0) & (made == 0)
        for places, value in ((over, largest), (lost, least)):
            if places.any():
                made[places] = np.copysign(value, array[places]).astype(self._dtype)
        return made


def _point(tensor: TensorProto, offset: int, length: int) -> None:
    """Say where a tensor's data lies."""
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", DATA), ("offset", offset), ("length", length)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)


def _tensor(name: str, kind: int, array: Array) -> TensorProto:
    return helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)


def _copied(tensor: TensorProto) -> TensorProto:
    copy = TensorProto()
    copy.CopyFrom(tensor)
    return copy


def _itemsize(kind: int) -> int:
    return int(helper.tensor_dtype_to_np_dtype(kind).itemsize)
