"""A run as the JSON document of `--json`: `xbench.result` says what is in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xbench.result import Run


def render(run: Run) -> str:
    """Return the run's document."""
    return to_text(run.to_json())


def many(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return the document of one run as it is, and those of several as a list."""
    if len(documents) == 1:
        return to_text(documents[0])
    return json.dumps([strict(one) for one in documents], indent=2, allow_nan=False) + "\n"


def to_text(document: Mapping[str, Any]) -> str:
    """Return a document as strict JSON: ASCII, and null for a number that is none."""
    return json.dumps(strict(document), indent=2, allow_nan=False) + "\n"


def strict(value: Any) -> Any:
    """Return ``value`` of JSON's own types; NaN and infinities, which JSON lacks, as None."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
