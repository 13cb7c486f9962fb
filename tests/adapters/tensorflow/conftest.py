"""These tests import TensorFlow, and share what every importer's tests use."""

from __future__ import annotations

from importlib.util import find_spec

from tests.adapters.importers.choice import choose

if find_spec("tensorflow"):  # a machine with a GPU and without it skips what is here
    import tests.adapters.tensorflow.importer  # noqa: F401  # it is prepared before it is used

choose("tensorflow")
