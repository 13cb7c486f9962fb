"""The importer that ``pytest --importer NAME`` tests, by the names of what is done with it."""

from __future__ import annotations

from importlib import import_module

from tests.adapters.importers.choice import chosen
from tests.adapters.importers.importer import Importer

IMPORTER: Importer = import_module(f"tests.adapters.{chosen()}.importer").IMPORTER
import_onnx = IMPORTER.import_onnx
agree, agree_as = IMPORTER.agree, IMPORTER.agree_as
given_by, holds, ran, run, said = (
    IMPORTER.given_by,
    IMPORTER.holds,
    IMPORTER.ran,
    IMPORTER.run,
    IMPORTER.said,
)
ERRORS = IMPORTER.errors
examples, few = IMPORTER.examples, IMPORTER.examples(40)
