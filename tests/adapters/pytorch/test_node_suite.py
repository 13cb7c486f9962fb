"""ONNX's own node tests: each operator that has a lowering passes them or refuses by name."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch import import_onnx
from xbench_adapters.pytorch.registry import operators

NARROW = {torch.float16: 2e-2, torch.bfloat16: 2e-2}
"""Tolerances where ONNX's reference rounds after each step and PyTorch does not."""


@cache
def cases() -> dict[str, list[Any]]:
    """Return the suite's cases whose operators are all lowered, by operator."""
    from onnx.backend.test.case.node import collect_testcases

    known = operators()
    found: dict[str, list[Any]] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of the suite's own making
        collected = collect_testcases(None)  # None: of every operator
    for case in collected:
        used = {node.op_type for node in case.model.graph.node} if case.model else {""}
        if used <= known:
            found.setdefault(sorted(used)[0], []).append(case)
    return found


def array(value: Any) -> Any:
    return (
        numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
    )


def tensor(value: Any) -> torch.Tensor:
    plain = array(value)
    if plain.dtype.name == "bfloat16":
        return torch.from_numpy(plain.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(plain))


def imported(case: Any) -> tuple[torch.fx.GraphModule, list[int]]:
    """Return the module and which inputs it takes.

    What the suite feeds as an input and a real model has as a constant (shapes, axes,
    weights) is made a constant where the import asks for it.
    """
    try:
        return import_onnx(case.model), list(range(len(case.model.graph.input)))
    except UnsupportedNodeError as error:
        if "must be known" not in error.detail:
            raise
    whole = onnx.ModelProto()
    whole.CopyFrom(case.model)
    values = case.data_sets[0][0]
    for place in reversed(range(1, len(whole.graph.input))):
        name = whole.graph.input[place].name
        whole.graph.initializer.append(numpy_helper.from_array(array(values[place]), name))
        del whole.graph.input[place]
    return import_onnx(whole), [0] if len(whole.graph.input) else []


def outcome(case: Any) -> str:
    """Return ``passed``, ``refused``, or what is wrong."""
    try:
        module, taken = imported(case)
    except UnsupportedNodeError:
        return "refused"
    for inputs, outputs in case.data_sets:
        with torch.inference_mode():
            found = module(*(tensor(inputs[place]) for place in taken))
        for have, want in zip(found, map(tensor, outputs), strict=True):
            if (have.dtype, have.shape) != (want.dtype, want.shape):
                return f"{case.name}: {have.dtype} {have.shape} for {want.dtype} {want.shape}"
            loose = NARROW.get(have.dtype, 0.0)
            loose = 2e-2 if "bf16" in case.name or "fp16" in case.name else loose
            limits = {"rtol": max(case.rtol, loose), "atol": max(case.atol, loose, 1e-6)}
            if not torch.allclose(have.double(), want.double(), equal_nan=True, **limits):
                return f"{case.name}: wrong values"
    return "passed"


@pytest.mark.parametrize("operator", sorted(operators()))
def test_no_operator_gives_a_wrong_tensor(operator: str) -> None:
    if operator not in cases():
        pytest.skip("the suite tests it under another name only")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # casts of NaN, on purpose
        found = {case.name: outcome(case) for case in cases()[operator]}
    wrong = {name: said for name, said in found.items() if said not in ("passed", "refused")}
    assert not wrong


def test_most_of_the_suite_for_these_operators_passes() -> None:
    """Refusing everything would be right and useless."""
    chosen = ("Conv", "Gemm", "Slice", "Gather", "LSTM", "ReduceMean", "MaxPool", "Pad")
    for operator in chosen:
        found = [outcome(case) for case in cases()[operator]]
        assert found.count("passed") >= len(found) / 2, operator
