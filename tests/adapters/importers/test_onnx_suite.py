"""ONNX's own backend tests, with inputs as they give them: passed, or refused by name.

`refusals.txt` of each importer lists the cases that it refuses, and why; `scripts/importer-coverage
--framework NAME` prints the figures and writes it anew.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.adapters.importers.chosen import IMPORTER
from tests.adapters.importers.suite import outcome
from tests.adapters.onnx_suite import KINDS, Case, model_cases, node_cases

REFUSALS = Path(__file__).parent.with_name(IMPORTER.name) / "refusals.txt"
LEAST_PASSED = {"pytorch": 0.97, "tensorflow": 0.92}


@cache
def outcomes(operators: tuple[str, ...]) -> dict[str, str]:
    return {one.name: outcome(IMPORTER, one) for one in node_cases() if one.operators == operators}


def refused() -> dict[str, str]:
    lines = REFUSALS.read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


def groups() -> list[tuple[str, ...]]:
    return sorted({case.operators for case in node_cases()})


@pytest.mark.parametrize("operators", groups(), ids="+".join)
def test_no_case_gives_a_wrong_value_and_what_is_refused_is_listed(
    operators: tuple[str, ...],
) -> None:
    listed = refused()
    for name, said in outcomes(operators).items():
        assert said == (f"refused: {listed[name]}" if name in listed else "passed"), name


def test_nearly_all_node_tests_pass() -> None:
    cases = node_cases()
    passed = len(cases) - len(refused())
    assert len(cases) >= 1884
    assert passed / len(cases) >= LEAST_PASSED[IMPORTER.name]
    assert set(refused()) <= {case.name for case in cases}


@pytest.mark.parametrize(
    "case", [one for kind in KINDS for one in model_cases(kind)], ids=lambda one: one.name
)
def test_every_model_of_the_suite_passes(case: Case) -> None:
    assert outcome(IMPORTER, case) == "passed"
