"""ONNX's own backend tests through LiteRT: none is wrong, and what is refused is listed.

Those that TensorFlow's importer refuses are left out. `refusals.txt` says why each of the others
is refused; `scripts/importer-coverage --framework litert` runs all of them, which takes long,
prints the figures and writes it anew.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.adapters.litert.suite import outcomes
from tests.adapters.onnx_suite import KINDS, model_cases, node_cases

REFUSALS = Path(__file__).with_name("refusals.txt")
LEAST_PASSED = 0.7
DRAWN = 150


def refused() -> dict[str, str]:
    lines = REFUSALS.read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


def _operator(why: str) -> str:
    return why.split(": ", 1)[0]


@pytest.mark.slow
def test_no_case_gives_a_wrong_value_and_what_is_refused_is_listed() -> None:
    """Of some cases, the same ones each time.

    Of several operations that LiteRT lacks in a node, its converter names any one first.
    """
    listed, names = refused(), [case.name for case in node_cases()]
    drawn = random.Random(0).sample(names, DRAWN)
    differ = {}
    for name, said in outcomes("node", drawn):
        wanted = f"refused: {_operator(listed[name])}: " if name in listed else "passed"
        if not said.startswith((wanted, "unimported")):
            differ[name] = said
    assert not differ


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_model_of_the_suite_gives_a_wrong_value(kind: str) -> None:
    found = dict(outcomes(kind, [case.name for case in model_cases(kind)]))
    assert not {name: said for name, said in found.items() if said.startswith("wrong")}


def test_most_node_tests_pass() -> None:
    names = {case.name for case in node_cases()}
    assert set(refused()) <= names
    assert 1 - len(refused()) / len(names) >= LEAST_PASSED
