"""How far an output is from the reference's: one pass over both, in pieces that fit a cache.

No BLAS is called from here: see `xbench.stats`. Numbers that are not finite, and stand-ins for
infinity such as the ``-3.4e38`` of a mask, have no size that others could be measured by; they
are counted where the two do not have the same in the same place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, sqrt
from typing import TYPE_CHECKING

from xbench.adapter import Array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PIECE = 1 << 17  # elements: a piece of both arrays, as float64, stays in the cache
SAMPLE = 1 << 16  # elements that the bulk's scale is taken from
BULK_SHARE = 0.999
LEAST_BULK = 1e-4  # of the whole's scale: below, float32 has too few digits left to judge by
BOUNDLESS = 1e30  # a larger number stands for infinity
VANISHING = 1e-12  # a smaller scale than this is zero: nothing can be relative to it


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far an output is from the reference's.

    Attributes:
        max_abs: Largest difference.
        max_rel: The same over the reference's largest magnitude.
        bulk_rel: Largest difference among the 99.9 % of elements with the smallest magnitudes
            in the reference, over a scale that a few huge elements do not set alone: see
            `_bulk_yardstick`.
        cosine: Cosine of the angle between the two.
        misplaced: Elements of which one alone is infinite, or not a number.
        unequal: Elements that are not the same number.
    """

    max_abs: float
    max_rel: float
    bulk_rel: float
    cosine: float
    misplaced: int
    unequal: int


def deviation(expected: Array, found: Array) -> Deviation:
    """Return how far ``found`` is from ``expected``: numeric arrays of one shape."""
    import numpy as np

    bulk = _bulk_scale(expected)
    scale = most = most_in_bulk = own = other = both = 0.0
    misplaced = unequal = 0
    for a, b, same, comparable in _pieces(expected, found):
        size, gap = np.abs(a), np.abs(a - b)
        scale = max(scale, float(size.max(initial=0.0)))
        most = max(most, float(gap.max(initial=0.0)))
        most_in_bulk = max(most_in_bulk, float(gap.max(initial=0.0, where=size <= bulk)))
        own, other = own + float(np.sum(a * a)), other + float(np.sum(b * b))
        both += float(np.sum(a * b))
        misplaced += int(np.count_nonzero(~same & ~comparable))
        unequal += int(np.count_nonzero(~same))
    return Deviation(
        max_abs=most,
        max_rel=most / max(scale, VANISHING),
        bulk_rel=most_in_bulk / max(_bulk_yardstick(bulk, scale), VANISHING),
        cosine=_cosine(own, other, both),
        misplaced=misplaced,
        unequal=unequal,
    )


@dataclass(frozen=True, slots=True)
class Extent:
    """What the elements of an output span, those that stand for infinity left out.

    Attributes:
        low: The smallest; infinite where no element is left.
        high: The largest; minus infinity where no element is left.
        nans: Elements that are not a number.
    """

    low: float
    high: float
    nans: int


def extent(values: Array) -> Extent:
    """Return what the elements of a numeric array span."""
    import numpy as np

    low, high, nans = inf, -inf, 0
    flat = _flat(values)
    for start in range(0, flat.size, PIECE):
        piece = _as_floats(flat[start : start + PIECE])
        bounded = np.abs(piece) < BOUNDLESS
        low = min(low, float(piece.min(initial=inf, where=bounded)))
        high = max(high, float(piece.max(initial=-inf, where=bounded)))
        nans += int(np.count_nonzero(np.isnan(piece)))
    return Extent(low, high, nans)


def _pieces(
    expected: Array, found: Array
) -> Iterator[tuple[Floats, Floats, NDArray[np.bool], NDArray[np.bool]]]:
    """Yield pieces of both, where they are the same, and where they can be compared.

    Elements that cannot be compared are 0 in both.
    """
    import numpy as np

    left, right = _flat(expected), _flat(found)
    for start in range(0, left.size, PIECE):
        one, two = left[start : start + PIECE], right[start : start + PIECE]
        a, b = _as_floats(one), _as_floats(two)
        comparable = (np.abs(a) < BOUNDLESS) & (np.abs(b) < BOUNDLESS)
        same = one == two  # not a == b: whole numbers beyond 2**53 share their floats
        if not comparable.all():
            endless = (np.abs(a) >= BOUNDLESS) & (np.abs(b) >= BOUNDLESS)
            same |= (endless & (np.sign(a) == np.sign(b))) | (np.isnan(a) & np.isnan(b))
            a, b = np.where(comparable, a, 0.0), np.where(comparable, b, 0.0)
        yield a, b, same, comparable


def _flat(values: Array) -> Array:
    """Return the elements in a row; a complex number is two of them."""
    flat = values.reshape(-1)
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat


def _as_floats(values: Array) -> Floats:
    """Return numbers as float64, which holds every narrower kind but the long integers."""
    import numpy as np

    with np.errstate(invalid="ignore"):  # a signalling NaN in an output is no fault of ours
        return values.astype(np.float64)


def _bulk_scale(expected: Array) -> float:
    """Return the magnitude that 99.9 % of the elements do not exceed, from a sample of many."""
    import numpy as np

    flat = _flat(expected)
    sample = np.abs(_as_floats(flat[:: max(1, flat.size // SAMPLE)]))
    sample = np.sort(sample[sample < BOUNDLESS])
    return float(sample[int(BULK_SHARE * (sample.size - 1))]) if sample.size else 0.0


def _bulk_yardstick(bulk: float, scale: float) -> float:
    """Return what differences in the bulk are measured by: between its own scale and the whole's.

    Rounding of huge intermediate values reaches small results where they cancel, so the bulk's
    own scale alone would be too strict, by more the further the two are apart. A bulk of exact
    zeros has no scale of its own.
    """
    return sqrt(max(bulk, LEAST_BULK * scale) * scale) if bulk else scale


def _cosine(own: float, other: float, both: float) -> float:
    """Return the cosine; of two zero vectors it is 1, of one and another 0."""
    if own == 0 or other == 0:
        return 1.0 if own == other else 0.0
    return max(-1.0, min(1.0, both / (sqrt(own) * sqrt(other))))
