"""ONNX's backend tests through an importer: passed, refused with a reason, or wrong."""

from __future__ import annotations

import traceback
import warnings
from typing import Any

import numpy as np

from tests.adapters.importers.importer import Importer
from tests.adapters.onnx_suite import Case, Value, difference
from xbench.errors import UnsupportedNodeError


def outcome(importer: Importer, case: Case, *, verbose: bool = False) -> str:
    """Return ``passed``, ``refused: `` and why, or ``wrong: `` and how."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # casts of NaN, on purpose
        try:
            module = importer.import_onnx(case.model)
        except UnsupportedNodeError as error:
            return f"refused: {error.operator}: {error.detail}"
        except Exception as error:  # whatever else it raises is a fault
            if verbose:
                traceback.print_exc()
            return f"wrong: import raised {type(error).__name__}: {error}"
        try:
            return _run(importer, case, module)
        except Exception as error:  # so is what the module raises
            if verbose:
                traceback.print_exc()
            return f"wrong: run raised {type(error).__name__}: {error}"


def _run(importer: Importer, case: Case, module: Any) -> str:
    for inputs, outputs in case.data:
        found = importer.run(module, dict(enumerate(inputs)))
        for have, want in zip(found, outputs, strict=True):
            said = difference(_in_type(importer, have, want), want, case)
            if said:
                return f"wrong: {said}"
    return "passed"


def _in_type(importer: Importer, found: Any, wanted: Value) -> Value:
    """Return what a module gave, in the type wanted where the importer holds it by value."""
    if isinstance(found, list) and isinstance(wanted, list):
        return [_in_type(importer, *pair) for pair in zip(found, wanted, strict=False)]
    if not isinstance(found, np.ndarray) or not isinstance(wanted, np.ndarray):
        return found
    if found.dtype != importer.holds(wanted).dtype:
        return np.empty(found.shape, dtype=object)  # told as another type
    return found.astype(wanted.dtype)
