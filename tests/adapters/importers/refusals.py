"""What one importer refuses of the cases that all importers share, and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.adapters.importers.chosen import IMPORTER
from xbench.errors import UnsupportedNodeError

REFUSED: dict[str, dict[str, str]] = {
    "pytorch": {
        "patterns that Python reads in another way": "pattern",
    },
    "tensorflow": {
        "inputs of an unknown rank": r"rank of '\w+' must be known",
        "affine grids for an unknown number of lengths": "4 or 5 lengths",
        "sequences carried by a loop whose turns only the run counts": "only the run tells",
        "text of nine axes that is turned": "rank 9",
        "biases by distance from a table that is fed": "number of buckets is not known",
        "columns for an unknown number of lengths": "length of 'n' must be known",
        "splits into a number of parts that only the run tells": "only the run tells",
    },
}
"""By importer: what a case is about, and what the refusal says."""

LACKS: dict[str, tuple[str, ...]] = {
    "pytorch": (),
    "tensorflow": (
        "NhwcConv",
        "NhwcFusedConv",
        "GroupNorm",
        "SkipGroupNorm",
        "CDist",
        "ComplexMul",
        "ComplexMulConj",
        "Rfft",
        "Irfft",
        "CropAndResize",
        "ConvTransposeWithDynamicPads",
        "GatedRelativePositionBias",
        "Trilu",
        "GatherND",
        "Pad",
        "Unique",
        "ExpandDims",
        "Range",
        "Inverse",
    ),
}
"""By importer: the operators of ONNX Runtime's own for which it has no lowering."""

_ABOUT = {about for each in REFUSED.values() for about in each}


@contextmanager
def refused(about: str, *, when: bool = True) -> Iterator[None]:
    """Expect the refusal listed for a case, if the importer under test has one listed.

    Args:
        about: A key of `REFUSED`.
        when: Whether this example of the case is one of those meant.
    """
    assert about in _ABOUT
    detail = REFUSED[IMPORTER.name].get(about)
    if detail is None or not when:
        yield
        return
    with pytest.raises(UnsupportedNodeError, match=detail):
        yield


@contextmanager
def refused_if_lacking(operator: str) -> Iterator[None]:
    """Expect a refusal if the importer under test has no lowering for an operator."""
    if operator not in LACKS[IMPORTER.name]:
        yield
        return
    with pytest.raises(UnsupportedNodeError, match=r"it has no \w+ lowering"):
        yield
