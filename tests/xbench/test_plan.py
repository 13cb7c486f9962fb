"""From the request to the cells."""

from __future__ import annotations

from xbench.adapter import Limits
from xbench.plan import Spec, plan_cells

LIMITS = Limits(threads=2, cpus=(0, 1))


def test_every_backend_meets_every_batch_size_and_groups_are_batches() -> None:
    cells = plan_cells(Spec(model="m", batches=(1, 8)), ("a", "b"), LIMITS)
    assert [(c.id, c.backend, c.batch, c.group) for c in cells] == [
        (0, "a", 1, 0),
        (1, "b", 1, 0),
        (2, "a", 8, 1),
        (3, "b", 8, 1),
    ]


def test_a_backend_named_twice_gets_a_label_of_its_own() -> None:
    """A backend against itself is two cells that can be told apart."""
    cells = plan_cells(Spec(model="m"), ("a", "a", "b", "a"), LIMITS)
    assert [c.label for c in cells] == ["a", "a#2", "b", "a#3"]
    assert [c.backend for c in cells] == ["a", "a", "b", "a"]


def test_a_variant_of_one_precision_asks_for_that_one() -> None:
    cells = plan_cells(Spec(model="m"), ("a", "a:int8"), LIMITS, {"a:int8": "int8"})
    assert [c.precision for c in cells] == ["fp32", "int8"]


def test_without_batch_sizes_the_model_keeps_its_own() -> None:
    (cell,) = plan_cells(Spec(model="m"), ("a",), LIMITS)
    assert cell.batch is None
