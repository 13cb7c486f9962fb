"""The example of a third party's adapter: built, installed, found, and quoted as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ADAPTERS = Path(__file__).parents[2] / "adapters"
EXAMPLE = ADAPTERS / "example-onnx-reference"

SHOW = """
from xbench.registry import expand, listing
info = next(info for info in listing() if info.name == "onnx-reference")
print(info.distribution, info.availability.reason, "onnx-reference" in expand(["all"]))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the example is installed, in a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, "-m", "pip", *install, "--target", str(target), str(EXAMPLE)], check=True
    )
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), *filter(None, sys.path)])}


def _python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True
    )


def test_it_is_found_by_its_entry_point(environment: dict[str, str]) -> None:
    done = _python(environment, "-c", SHOW)
    assert done.stdout.split() == ["xbench-onnx-reference", "None", "True"], done.stderr


def test_it_passes_its_own_tests_as_installed(environment: dict[str, str]) -> None:
    done = _python(
        environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\d+ passed", done.stdout)


def test_the_page_quotes_the_example_as_it_is() -> None:
    """Every block of code in the page is in the example, line by line; only indents differ."""
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", (ADAPTERS / "README.md").read_text(), re.S)
    files = [path.read_text() for path in EXAMPLE.rglob("*") if path.suffix in {".py", ".toml"}]
    assert len(blocks) >= 4
    for block in blocks:
        assert any(_lines(block) in _lines(text) for text in files), f"not in the example:\n{block}"


def _lines(text: str) -> str:
    return "".join(f"\n{line.strip()}\n" for line in text.splitlines() if line.strip())
