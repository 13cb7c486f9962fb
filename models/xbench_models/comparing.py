"""Whether an exported file computes what its source computes, in NumPy: for every framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xbench.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Feeds = dict[str, NDArray[Any]]

LARGEST_ERROR = 1e-3  # of the output's norm; fp32 sums in another order stay far below
LOWEST_STD, HIGHEST_STD = 0.01, 100.0
LEAST_DIFFERENCE = 0.03  # of the outputs' standard deviation, between two inputs


def runner(path: Path) -> Callable[[Feeds], list[NDArray[Any]]]:
    """Return what runs the file.

    Raises:
        ModelError: When it runs, if an output has another shape than the file declares.
    """
    try:
        import onnxruntime
    except ImportError:  # slower by far, and always there
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(str(path))
        return lambda feeds: list(evaluator.run(None, feeds))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])

    def run_it(feeds: Feeds) -> list[NDArray[Any]]:
        values = list(session.run(None, feeds))
        for declared, value in zip(session.get_outputs(), values, strict=True):
            refuse_wrong_shape(declared.name, tuple(declared.shape), value.shape)
        return values

    return run_it


def refuse_wrong_shape(name: str, declared: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    """Raise unless an output has the shape that the file declares.

    Raises:
        ModelError: If an axis has another length.
    """
    pairs = zip(declared, shape, strict=True)
    if any(isinstance(length, int) and length != actual for length, actual in pairs):
        raise ModelError(
            f"an axis that should be open is not: output {name!r} is declared as {declared}, "
            f"and was {shape}",
            "Leave that axis out of the axes that the factory returns",
        )


def compare(
    place: int, want: NDArray[Any], have: NDArray[Any], largest: float, *, source: str, fix: str
) -> None:
    """Raise unless an output of the file is that of its source.

    Args:
        place: Which output it is.
        want: What the source gives.
        have: What the file gives.
        largest: The largest error that is allowed, as a share of the output's norm.
        source: What the file was made from, such as ``module``.
        fix: What may help.

    Raises:
        ModelError: If it is not.
    """
    error = relative_error(want, have)
    if not error <= largest:
        raise ModelError(
            f"the exported file disagrees with the {source}: output {place} is off by "
            f"{error:.2g} of its size",
            fix,
        )


def relative_error(want: NDArray[Any], have: NDArray[Any]) -> float:
    """Return the norm of the difference over the norm of what is wanted; inf if incomparable."""
    if want.shape != have.shape or not np.array_equal(np.isnan(want), np.isnan(have)):
        return float("inf")
    want, have = (np.nan_to_num(array.astype(np.float64)) for array in (want, have))
    size, difference = np.linalg.norm(want), np.linalg.norm(want - have)
    return float(difference / size) if size else float(difference)


def doubt(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> str | None:
    """Return why no agreement can be shown on these outputs of two inputs; None if it can."""
    for place, (a, b) in enumerate(zip(first, second, strict=True)):
        if a.dtype.kind not in "fV":  # V: types that NumPy itself does not know
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        if not np.isfinite(a).all():
            return f"output {place} has values that are not finite"
        if a.size > 1 and not LOWEST_STD <= a.std() <= HIGHEST_STD:
            return f"output {place} has a standard deviation of {a.std():.2g}"
        if difference(a, b) < LEAST_DIFFERENCE:
            return f"output {place} is nearly the same for two inputs"
    return None


def difference(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return how much two outputs differ, in standard deviations, where both have elements."""
    common = tuple(slice(min(lengths)) for lengths in zip(a.shape, b.shape, strict=True))
    a, b = a[common], b[common]
    return float((a - b).std() / a.std()) if a.size > 1 else float(np.any(a != b))
