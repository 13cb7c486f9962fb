"""The health of a model's weights: numbers that slow a CPU down, or that are no numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench.modelfile import external, is_external, parse, stored_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import TensorProto

SAMPLE_ELEMENTS = 2**20  # of each tensor: denormals come by the thousand, or hardly matter

# Bits of the fraction, by ONNX's name of the type; the exponent and the sign take the rest.
FRACTION_BITS = {"FLOAT16": 10, "BFLOAT16": 7, "FLOAT": 23, "DOUBLE": 52}


@dataclass(frozen=True, slots=True)
class WeightsHealth:
    """What a look at a model's floating-point weights found; counts of elements.

    Attributes:
        denormals: So small that a CPU may take a hundred times longer over them. Those of
            float16 are not counted: they are normal in the float32 that a CPU computes in.
        nonfinite: Infinite, or not a number.
        scanned: Looked at: of each tensor at most `SAMPLE_ELEMENTS`, spread evenly.
        total: Elements of all floating-point weights.
    """

    denormals: int
    nonfinite: int
    scanned: int
    total: int

    @property
    def denormal_share(self) -> float | None:
        """Return the share of denormals in what was scanned; None where nothing was."""
        return self.denormals / self.scanned if self.scanned else None


def weights_health(path: Path) -> WeightsHealth:
    """Return what a look at the floating-point weights of a model file finds.

    Raises:
        ModelError: If the file cannot be read.
    """
    counts = [_counts(tensor, path.parent) for tensor in stored_tensors(parse(path))]
    return WeightsHealth(*(sum(count[i] for count in counts) for i in range(4)))


def _counts(tensor: TensorProto, folder: Path) -> tuple[int, int, int, int]:
    """Return a tensor's denormal, non-finite, scanned and total elements."""
    from onnx import TensorProto

    kind = TensorProto.DataType.Name(tensor.data_type)
    total = math.prod(tensor.dims)
    if kind not in FRACTION_BITS or not total:
        return 0, 0, 0, 0
    bits = _sampled_bits(tensor, folder, total)
    fraction = FRACTION_BITS[kind]
    largest = (1 << (bits.dtype.itemsize * 8 - 1 - fraction)) - 1
    exponents = (bits >> fraction) & largest
    denormal = (exponents == 0) & ((bits & ((1 << fraction) - 1)) != 0)
    denormals = 0 if kind == "FLOAT16" else int(denormal.sum())
    return denormals, int((exponents == largest).sum()), bits.size, total


def _sampled_bits(tensor: TensorProto, folder: Path, total: int) -> NDArray[Any]:
    """Return a tensor's elements, or evenly spread ones of many, as whole numbers."""
    import numpy as np
    from onnx import numpy_helper
    from onnx.helper import tensor_dtype_to_np_dtype

    width = tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    dtype = np.dtype(f"<i{width}")
    step = -(-total // SAMPLE_ELEMENTS)
    if is_external(tensor):
        stretch = external(tensor, folder)
        # Mapped, not read: of a tensor larger than memory only sampled pages are touched.
        mapped = np.memmap(stretch.path, dtype, "r", stretch.offset, shape=(total,))
        return np.array(mapped[::step])
    if tensor.HasField("raw_data"):
        return np.frombuffer(tensor.raw_data, dtype, total)[::step]
    return numpy_helper.to_array(tensor).reshape(-1).view(dtype)[::step]
