"""These tests import TensorFlow, and share what every importer's tests use."""

from __future__ import annotations

from tests.adapters.importers.choice import choose
from tests.adapters.tensorflow.importer import IMPORTER

choose(IMPORTER.name)
