"""From the request to the cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from xbench.adapter import Limits
from xbench.errors import UsageError
from xbench.plan import Spec, Target, plan_cells

LIMITS = Limits(threads=2, cpus=(0, 1))


def test_every_backend_meets_every_batch_size_and_groups_are_batches() -> None:
    cells = plan_cells(Spec(model="m", batches=(1, 8)), [Target(LIMITS, ("a", "b"))])
    assert [(c.id, c.backend, c.batch, c.group) for c in cells] == [
        (0, "a", 1, 0),
        (1, "b", 1, 0),
        (2, "a", 8, 1),
        (3, "b", 8, 1),
    ]


def test_a_backend_named_twice_gets_a_label_of_its_own() -> None:
    """A backend against itself is two cells that can be told apart."""
    cells = plan_cells(Spec(model="m"), [Target(LIMITS, ("a", "a", "b", "a"))])
    assert [c.label for c in cells] == ["a", "a#2", "b", "a#3"]
    assert [c.backend for c in cells] == ["a", "a", "b", "a"]


def test_a_variant_of_one_precision_asks_for_that_one() -> None:
    cells = plan_cells(Spec(model="m"), [Target(LIMITS, ("a", "a:int8"))], {"a:int8": "int8"})
    assert [c.precision for c in cells] == ["fp32", "int8"]


def test_without_batch_sizes_the_model_keeps_its_own() -> None:
    (cell,) = plan_cells(Spec(model="m"), [Target(LIMITS, ("a",))])
    assert cell.batch is None


def test_precisions_and_devices_are_rows_of_one_group_with_names_of_their_own() -> None:
    """Rows that differ in an axis are compared, so their names tell them apart."""
    gpu = Limits(threads=2, device="cuda:0", uuid="GPU-1")
    targets = [Target(LIMITS, ("a",)), Target(gpu, ("a", "a:graph"))]
    cells = plan_cells(Spec(model="m", precision="fp32,fp16"), targets)
    assert [c.label for c in cells] == [
        *("a fp32 cpu", "a fp32 cuda:0", "a:graph fp32 cuda:0"),
        *("a fp16 cpu", "a fp16 cuda:0", "a:graph fp16 cuda:0"),
    ]
    assert [c.id for c in cells] == list(range(6))
    assert {c.group for c in cells} == {0}
    assert [c.file_precision for c in cells] == ["fp32"] * 3 + ["fp16"] * 3


def test_a_variant_that_narrows_by_its_own_means_is_one_row_with_the_file_as_it_was() -> None:
    spec = Spec(model="m", precision="fp32,bf16")
    cells = plan_cells(spec, [Target(LIMITS, ("a", "a:bf16"))], {"a:bf16": "bf16"})
    assert [(c.label, c.precision, c.file_precision) for c in cells] == [
        ("a fp32", "fp32", "fp32"),
        ("a:bf16", "bf16", "fp32"),
        ("a bf16", "bf16", "bf16"),
    ]


def test_tf32_beside_a_gpu_means_the_gpu() -> None:
    """A CPU has no TF32; its own variants keep their row."""
    gpu = Limits(threads=2, device="cuda:0", uuid="GPU-1")
    targets = [Target(LIMITS, ("a", "a:int8")), Target(gpu, ("a",))]
    cells = plan_cells(Spec(model="m", precision="tf32"), targets, {"a:int8": "int8"})
    assert [(c.label, c.precision) for c in cells] == [
        ("a:int8 cpu", "int8"),
        ("a cuda:0", "tf32"),
    ]


@pytest.mark.parametrize("asked", [{"precision": "fp32,fp8"}, {"boundary": "gpu"}])
def test_an_unknown_word_is_told_with_those_that_are_known(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as told:
        replace(Spec(model="m"), **asked).check()
    assert "fp8" in told.value.reason or "gpu" in told.value.reason
    assert "There are" in told.value.fix
