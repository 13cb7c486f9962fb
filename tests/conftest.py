"""What every test is run with."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.adapters.importers.choice import NAMES, choose

# A shared machine may stop for a second at any time, and no test here is about time.
settings.register_profile("xbench", deadline=None)
settings.load_profile("xbench")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says which importer ``tests/adapters/importers`` is about."""
    parser.addoption("--importer", choices=NAMES, help=f"the importer to test, else {NAMES[0]}")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the importer before the modules that test it are imported."""
    if asked := config.getoption("importer"):  # else a folder's own, or the first, is chosen
        choose(asked)
