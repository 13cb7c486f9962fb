"""Models of many architectures, as torch's exporter writes them, through TensorFlow and LiteRT.

`scripts/architectures` prints the same as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.adapters.architectures import ARCHITECTURES
from tests.adapters.litert.children import Child

Outcome = Callable[[str, str], str]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Return what tells the outcome of a framework and a model, which is exported once."""
    folder = tmp_path_factory.mktemp("architectures")
    written: set[str] = set()
    with ExitStack() as stack:
        exporter = stack.enter_context(Child("tests.adapters.litert.exported", str(folder)))
        runners = {
            framework: stack.enter_context(
                Child("tests.adapters.litert.architectures", f"{framework}:{folder}")
            )
            for framework in ("tensorflow", "litert")
        }

        def told(framework: str, name: str) -> str:
            if name not in written:
                assert not exporter.ask(name).startswith("wrong")
                written.add(name)
            return runners[framework].ask(name)

        yield told


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("framework", ["tensorflow", "litert"])
def test_a_model_is_run_as_onnx_runtime_runs_it(
    framework: str, name: str, outcome: Outcome
) -> None:
    said = outcome(framework, name)
    assert said.startswith("agrees"), said
