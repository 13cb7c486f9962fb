"""The inputs of a comparison: drawn from a seed or taken from the user, the same for every cell.

Random numbers that a model cannot take prove nothing, and zeros make hardware look faster
than it is: each input gets what its type and its part in the model call for.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.adapter import Array, BoundModel, TensorSpec
from xbench.drawing import Drawn, draw, dtype_of, how
from xbench.errors import UsageError
from xbench.lengths import batch_symbols, input_hint
from xbench.units import format_bytes, format_shape

if TYPE_CHECKING:
    import numpy as np

    from xbench.model import Model

Feeds = dict[str, Array]

NPZ = "Write it with numpy.savez(path, name=array, ...), one array an input"
KINDS = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}  # a number keeps its value going up, not down


@dataclass(frozen=True, slots=True)
class InputsInfo:
    """How the inputs came to be, and what is doubtful about them.

    Attributes:
        drawn: How each was drawn, in the model's order; empty where the user gave them.
        doubts: A line for each input that may not be what the model is made for.
    """

    drawn: tuple[Drawn, ...] = ()
    doubts: tuple[str, ...] = ()


def seeded_feeds(
    model: Model, bound: BoundModel, seed: int, count: int
) -> tuple[tuple[Feeds, ...], InputsInfo]:
    """Return ``count`` sets of inputs, and how they were drawn.

    The same seed gives the same bytes in any process, and each input of each set has a
    stream of its own, so that adding one changes no other.

    Raises:
        UsageError: If an input cannot be drawn, or the sets do not fit in memory.
    """
    longest = _longest(model, bound)
    drawn = tuple(how(spec, model.tables.get(spec.name), longest) for spec in bound.inputs)
    _check_memory(bound, count)
    pairs = list(zip(bound.inputs, drawn, strict=True))
    feeds = tuple(
        {spec.name: draw(spec, one, seed, index) for spec, one in pairs} for index in range(count)
    )
    return feeds, InputsInfo(drawn, tuple(f"{one.name}: {one.doubt}" for one in drawn if one.doubt))


def user_feeds(path: Path, model: Model) -> tuple[tuple[Feeds, ...], InputsInfo]:
    """Return the sets of inputs in the user's ``.npz``, and what was done to them.

    Each array is named as its input and has its rank, or one more axis in front that counts
    the sets; an array without it serves every set. Their shapes decide the model's open
    dimensions: give those of a set to `xbench.model.bind`, which also checks them.

    Raises:
        UsageError: If it is no such file, or an array does not fit its input.
    """
    arrays = _read_npz(path)
    specs = {spec.name: spec for spec in model.inputs}
    for name in arrays.keys() ^ specs.keys():
        what = "holds no array for input" if name in specs else "holds an array for no input:"
        raise UsageError(f"{path} {what} {name!r}", input_hint(model.inputs, name))
    doubts: list[str] = []
    fitted = {name: _fitted(arrays[name], spec, doubts) for name, spec in specs.items()}
    counts = {len(a) for name, a in fitted.items() if a.ndim > len(specs[name].shape)}
    if len(counts) > 1 or 0 in counts:
        reason = f"{path} holds {' and '.join(map(str, sorted(counts)))} sets of inputs"
        raise UsageError(reason, "Give every array the same count of sets, at least one")
    feeds = tuple(
        {name: a[i] if a.ndim > len(specs[name].shape) else a for name, a in fitted.items()}
        for i in range(next(iter(counts), 1))
    )
    return feeds, InputsInfo(doubts=tuple(doubts))


def save_feeds(path: Path, feeds: Sequence[Mapping[str, Array]]) -> None:
    """Write sets of named arrays to one ``.npz``, whatever their names and types hold."""
    import numpy as np

    # Names of arrays are names of files inside the archive: a model's may hold slashes or
    # clash by case. And NumPy forgets the types that it does not know itself.
    names = [[(name, array.dtype.name) for name, array in one.items()] for one in feeds]
    arrays = {
        f"{index}-{at}": _plain(array)
        for index, one in enumerate(feeds)
        for at, array in enumerate(one.values())
    }
    index = np.frombuffer(json.dumps(names).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, index=index, **arrays)  # type: ignore[arg-type] # no key is its flag


def load_feeds(path: Path) -> tuple[Feeds, ...]:
    """Return the sets of named arrays that `save_feeds` wrote."""
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        names = json.loads(stored["index"].tobytes())
        return tuple(
            {name: _typed(stored[f"{index}-{at}"], dtype) for at, (name, dtype) in enumerate(one)}
            for index, one in enumerate(names)
        )


def feeds_sha256(feeds: Sequence[Mapping[str, Array]]) -> str:
    """Return the SHA-256 of sets of named arrays: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for one in feeds:
        for name, array in sorted(one.items()):
            plain = _plain(array)
            header = json.dumps([name, array.dtype.name, plain.dtype.str, list(array.shape)])
            digest.update(header.encode())
            digest.update(plain.tobytes())
    return digest.hexdigest()


def _read_npz(path: Path) -> Feeds:
    """Return the arrays of an archive that a user wrote; nothing in it is executed."""
    import zipfile
    import zlib

    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive:
            _check_free(sum(member.file_size for member in archive.infolist()), str(path))
        with np.load(path, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name]) for name in stored.files}
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}", NPZ) from error
    except (
        *(OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error),
        RuntimeError,  # what zipfile says of encryption and of versions that it does not know
    ) as error:
        pickled = "allow_pickle" in str(error)
        what = "holds Python objects" if pickled else "is not an .npz file, or is damaged"
        raise UsageError(f"{path} {what}", NPZ) from error


def _fitted(array: Array, spec: TensorSpec, doubts: list[str]) -> Array:
    """Return an array as its input's type, once sure of its rank and that no value is lost."""
    import numpy as np

    if array.ndim not in {len(spec.shape), len(spec.shape) + 1}:
        reason = f"{format_shape(array.shape)} does not fit input {spec.name!r}"
        raise UsageError(f"{reason}, which is {format_shape(spec.shape)}", NPZ)
    target = dtype_of(spec.dtype)
    if array.dtype != target:
        array = _converted(array, target, spec.name, doubts)
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        doubts.append(f"{spec.name}: holds values that are infinite or not a number")
    return array


def _converted(array: Array, target: np.dtype[np.generic], name: str, doubts: list[str]) -> Array:
    """Return an array as another type; floats may be rounded, and nothing else may change."""
    raw = array.dtype.kind == "V" and array.dtype.names is None and target.kind == "V"
    if raw and array.dtype.itemsize == target.itemsize:
        return array.view(target)  # NumPy forgets the names of types that it does not know
    converted = _same_values(array, target)
    if converted is None:
        reason = f"{array.dtype} cannot become {target} without a change of value"
        raise UsageError(f"input {name!r}: {reason}", "Write the array in the input's own type")
    doubts.append(f"{name}: converted from {array.dtype} to {target}")
    return converted


def _same_values(array: Array, target: np.dtype[np.generic]) -> Array | None:
    """Return an array as another type, floats perhaps rounded; None if a value would change."""
    import numpy as np

    if array.dtype.kind in "SU" and target.kind == "O":
        return array.astype(target)
    own, new = _kind(array.dtype), _kind(target)
    if own is None or new is None or own > new:
        return None
    with np.errstate(all="ignore"):
        converted = array.astype(target)
        if own == new >= KINDS["f"]:
            same = np.isfinite(array) == np.isfinite(converted)
        else:
            same = converted.astype(array.dtype) == array
    return converted if np.all(same) else None


def _kind(dtype: np.dtype[np.generic]) -> int | None:
    """Return how much a type can hold: truth, whole, real or complex numbers; None if other."""
    if dtype.kind == "V" and dtype.names is None:  # one of ONNX's own, by its name
        return KINDS["i" if "int" in dtype.name else "f"] if "void" not in dtype.name else None
    return KINDS.get(dtype.kind)


def _longest(model: Model, bound: BoundModel) -> int | None:
    """Return the length of a whole sequence: the longest axis that is open and not the batch.

    Where none is open, it is the axis after the first of the first input that has one.
    """
    batches = batch_symbols(model.inputs)
    pairs = [
        (own, int(length))
        for spec, decided in zip(model.inputs, bound.inputs, strict=True)
        for own, length in zip(spec.shape, decided.shape, strict=True)
    ]
    opened = [n for own, n in pairs if isinstance(own, str) and own not in batches]
    second = [int(spec.shape[1]) for spec in bound.inputs if len(spec.shape) > 1]
    return max(opened) if opened else next(iter(second), None)


def _check_memory(bound: BoundModel, count: int) -> None:
    """Raise `UsageError` if that many sets of inputs do not fit in the memory that is free."""
    sizes = (
        math.prod(int(d) for d in spec.shape) * dtype_of(spec.dtype).itemsize
        for spec in bound.inputs
    )
    _check_free(count * sum(sizes), f"{count} sets of inputs")


def _check_free(needed_bytes: int, what: str) -> None:
    """Raise `UsageError` if something does not fit in the memory that is free."""
    import psutil

    free_bytes = psutil.virtual_memory().available
    if needed_bytes > free_bytes:
        sizes = f"{format_bytes(needed_bytes)} of memory, and {format_bytes(free_bytes)} is free"
        raise UsageError(f"{what} would take {sizes}", "Ask for a smaller batch or shape")


def _plain(array: Array) -> Array:
    """Return an array as types that ``.npz`` keeps without a pickle."""
    import numpy as np

    native = array.dtype.newbyteorder("=")
    array = np.ascontiguousarray(array, native).reshape(array.shape)
    if array.dtype == object:
        return array.astype(str)
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" else array


def _typed(array: Array, dtype: str) -> Array:
    """Return an array as the type that it had before `_plain`."""
    if dtype == "object":
        return array.astype(object)
    return array if array.dtype.kind in "SU" else array.view(dtype_of(dtype))
