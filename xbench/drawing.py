"""How one input is drawn from a seed: what its type and its part in the model call for."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xbench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from xbench.adapter import Array, TensorSpec

MASK = re.compile(r"mask", re.IGNORECASE)
SEGMENT = re.compile(r"token_type|segment", re.IGNORECASE)
POSITION = re.compile(r"position", re.IGNORECASE)
LENGTH = re.compile(r"len(gth)?s?($|_)|lens|num_frames", re.IGNORECASE)
IMAGE_AXES = 3  # of 8-bit whole numbers with as many axes we say that they are pixels

OWN_INPUTS = "Give your own with --inputs feeds.npz"


@dataclass(frozen=True, slots=True)
class Drawn:
    """How one input is drawn.

    Attributes:
        kind: ``normal``, ``ids``, ``ones``, ``zeros``, ``range``, ``lengths``, ``pixels``,
            ``off`` (a switch) or ``small`` (0 or 1).
        high: Whole numbers stay below it; for ``lengths`` it is the length itself.
        doubt: Why these may not be what the model is made for, or None.
    """

    name: str
    kind: str
    high: int = 0
    doubt: str | None = None


def how(spec: TensorSpec, table: int | None, longest: int | None) -> Drawn:
    """Return how an input of a type, a name and perhaps a table is drawn."""
    name, dtype = spec.name, spec.dtype
    if dtype in {"object", "str"}:
        raise UsageError(f"input {name!r} is of text, which cannot be drawn", OWN_INPUTS)
    if MASK.search(name):
        return Drawn(name, "ones")
    if dtype == "bool":
        switch = math.prod(int(d) for d in spec.shape) == 1
        doubt = f"what it switches is not known, so it is {'off' if switch else 'random'}"
        return Drawn(name, "off" if switch else "small", 2, doubt)
    if not re.match(r"u?int", dtype):
        return Drawn(name, "normal")
    return _whole(spec, table, longest)


def _whole(spec: TensorSpec, table: int | None, longest: int | None) -> Drawn:
    """Return how an input of whole numbers is drawn."""
    name = spec.name
    if SEGMENT.search(name):
        return Drawn(name, "zeros")
    if POSITION.search(name):
        return Drawn(name, "range", table or 0)
    if table is not None:
        return Drawn(name, "ids", table)
    if LENGTH.search(name) and longest:
        return Drawn(name, "lengths", longest, f"taken for lengths, so all are {longest}")
    if spec.dtype in {"uint8", "int8"} and len(spec.shape) >= IMAGE_AXES:
        return Drawn(name, "pixels")
    return Drawn(name, "small", 2, "its valid values are not known, so they are 0 and 1")


def draw(spec: TensorSpec, drawn: Drawn, seed: int, index: int) -> Array:
    """Return the input of one set: other seeds, names and indices give other numbers."""
    import numpy as np

    random = _generator(seed, spec.name, index)
    shape = tuple(int(d) for d in spec.shape)
    dtype = dtype_of(spec.dtype)
    if drawn.kind == "normal":
        return _normal(shape, dtype, random)
    if drawn.kind in {"ids", "small"}:
        return random.integers(0, drawn.high, shape).astype(dtype)
    if drawn.kind == "pixels":
        bounds = np.iinfo(dtype)
        return random.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)
    if drawn.kind == "range":
        steps = np.arange(shape[-1] if shape else 1)
        values = steps % drawn.high if drawn.high else steps
        return np.broadcast_to(values if shape else values[0], shape).astype(dtype)
    constant = {"ones": 1, "zeros": 0, "off": 0, "lengths": drawn.high}[drawn.kind]
    return np.full(shape, constant).astype(dtype)


def _normal(shape: tuple[int, ...], dtype: Any, random: np.random.Generator) -> Array:
    """Return normal numbers with deviation 1; of complex ones both parts."""
    import numpy as np

    if np.issubdtype(dtype, np.complexfloating):
        return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype(dtype)
    wide = np.float64 if dtype == np.float64 else np.float32
    values = np.asarray(random.standard_normal(shape, wide))  # a scalar comes as a float
    return values.astype(dtype)


def _generator(seed: int, name: str, index: int) -> np.random.Generator:
    """Return the stream of one input of one set: unlike any other, the same in any process."""
    import numpy as np

    key = hashlib.sha256(f"{seed}\0{index}\0{name}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))


def dtype_of(name: str) -> Any:
    """Return NumPy's type of a name; ONNX has some that NumPy learns from ``ml_dtypes``."""
    import ml_dtypes
    import numpy as np

    return np.dtype(getattr(ml_dtypes, name) if hasattr(ml_dtypes, name) else name)
