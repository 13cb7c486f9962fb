"""Which importer the tests that all of them pass run against in this process."""

from __future__ import annotations

NAMES = ("pytorch", "tensorflow")
"""The importers; that of each is `tests.adapters.NAME.importer.IMPORTER`."""

_chosen = [NAMES[0]]


def choose(name: str) -> None:
    """Choose an importer, before the modules that test it are imported."""
    _chosen[0] = name


def chosen() -> str:
    """Return the name of the importer that this process tests."""
    return _chosen[0]
