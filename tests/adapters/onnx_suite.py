"""ONNX's own backend tests, as cases that an importer runs with inputs as the tests give them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

KINDS = ("simple", "pytorch-converted", "pytorch-operator")
NARROW = {"float16": 2e-3, "bfloat16": 2**-6}
"""Relative tolerances of types with few digits: two units in the last place or so."""

Value = Any
"""An array, an array of text, a list of values, or None."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model with what it gives for some inputs."""

    name: str
    model: onnx.ModelProto
    data: tuple[tuple[tuple[Value, ...], tuple[Value, ...]], ...]
    rtol: float
    atol: float

    @property
    def operators(self) -> tuple[str, ...]:
        """Return the operators of the model, sorted."""
        return tuple(sorted({node.op_type for node in self.model.graph.node}))


@cache
def node_cases() -> tuple[Case, ...]:
    """Return the tests of single operators, and of the functions that they expand to."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of the suite's own making
        collected = collect_testcases(None)  # None: of every operator
    return tuple(_case(one) for one in collected)


def _case(one: Any) -> Case:
    data = tuple(
        (tuple(map(value, inputs)), tuple(map(value, outputs))) for inputs, outputs in one.data_sets
    )
    return Case(one.name, one.model, data, one.rtol, one.atol)


@cache
def model_cases(kind: str) -> tuple[Case, ...]:
    """Return the tests of one of `KINDS`, which lie on disk beside ONNX's code."""
    from onnx.backend.test.loader import load_model_tests

    found = sorted(load_model_tests(kind=kind), key=lambda one: one.name)
    return tuple(_read(one) for one in found)


def _read(one: Any) -> Case:
    folder = Path(one.model_dir)
    model = onnx.load(folder / "model.onnx")
    ends = model.graph.input, model.graph.output
    data = []
    for each in sorted(folder.glob("test_data_set_*")):
        pair = [_files(each, kind, types) for kind, types in zip(("in", "out"), ends, strict=True)]
        data.append((pair[0], pair[1]))
    return Case(one.name, model, tuple(data), one.rtol, one.atol)


def _files(folder: Path, kind: str, types: Sequence[onnx.ValueInfoProto]) -> tuple[Value, ...]:
    """Return the values in ``input_0.pb`` and so on, of the kinds that the graph declares."""
    messages: dict[str | None, Any] = {
        "sequence_type": onnx.SequenceProto,
        "optional_type": onnx.OptionalProto,
    }
    found = []
    for place, one in enumerate(types):
        path = folder / f"{kind}put_{place}.pb"
        if not path.exists():
            break
        message = messages.get(one.type.WhichOneof("value"), onnx.TensorProto)()
        message.ParseFromString(path.read_bytes())
        found.append(value(message))
    return tuple(found)


def value(given: Any) -> Value:
    """Return what a test gives as arrays."""
    if isinstance(given, onnx.TensorProto):
        given = numpy_helper.to_array(given)
    elif isinstance(given, onnx.SequenceProto):
        given = numpy_helper.to_list(given)
    elif isinstance(given, onnx.OptionalProto):
        given = numpy_helper.to_optional(given)
    if given is None:
        return None
    if isinstance(given, list | tuple):
        return [value(one) for one in given]
    array = np.asarray(given)
    return _text(array) if array.dtype.kind in "OSU" else array


def _text(array: Any) -> Any:
    flat = [one.decode() if isinstance(one, bytes) else str(one) for one in array.reshape(-1)]
    return np.array(flat, dtype=object).reshape(array.shape)


def difference(found: Value, wanted: Value, case: Case) -> str | None:
    """Return how a value differs from the one wanted, or None."""
    if wanted is None or found is None:
        return None if found is wanted else f"{found!r} for {wanted!r}"
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return f"not a sequence of {len(wanted)}"
        return next(_differences(found, wanted, case), None)
    found = np.asarray(found)
    if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
        return f"{found.dtype} {found.shape} for {wanted.dtype} {wanted.shape}"
    if wanted.dtype.kind == "O":
        return None if (found == wanted).all() else f"{found} for {wanted}"
    rtol = max(case.rtol, NARROW.get(wanted.dtype.name, 0.0))
    wide = np.complex128 if wanted.dtype.kind == "c" else np.float64
    close = np.allclose(
        found.astype(wide), wanted.astype(wide), rtol=rtol, atol=max(case.atol, 1e-6),
        equal_nan=True,
    )  # fmt: skip
    return None if close else "other values"


def _differences(found: list[Value], wanted: list[Value], case: Case) -> Iterator[str]:
    for one, other in zip(found, wanted, strict=True):
        said = difference(one, other, case)
        if said:
            yield said
