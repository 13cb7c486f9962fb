"""Which run folder a comparison has, and whether it can be used again.

A comparison's folder is named after the model and a hash of what was asked. One that is finished,
of the same request, model, machine and versions is reused; one that was interrupted is taken up
again; anything else keeps its place, and the comparison gets the next one.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xbench.archive.reading import read_document
from xbench.claims.evidence import Document
from xbench.claims.machine import Machine
from xbench.errors import UsageError
from xbench.plan import Spec
from xbench.store import read_run


@dataclass(frozen=True, slots=True)
class Place:
    """A run folder for a comparison.

    Attributes:
        document: Of a finished run that can be used again; else None.
        unfinished: Whether it holds a run to be taken up again.
    """

    folder: Path
    document: Document | None = None
    unfinished: bool = False


def place_for(spec: Spec, sha256: str, machine: Machine, out: Path) -> Place:
    """Return where a comparison is, or is to be.

    Args:
        spec: What is asked.
        sha256: Of the model as it is now.
        machine: This one.
        out: The folder of all comparisons.
    """
    name, again = _name(spec), 1
    while True:
        folder = out / (name if again == 1 else f"{name}-{again}")
        if not folder.exists():
            return Place(folder)
        document = _finished(folder)
        if document is not None and _fits(document, spec, sha256, machine):
            return Place(folder, document)
        if document is None and _can_go_on(folder, spec, sha256, machine):
            return Place(folder, unfinished=True)
        again += 1


def _name(spec: Spec) -> str:
    model = re.sub(r"[^A-Za-z0-9._-]", "-", Path(spec.model).stem)[:40].lstrip("-.") or "model"
    asked = json.dumps(asdict(spec), sort_keys=True)
    return f"{model}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def _finished(folder: Path) -> dict[str, Any] | None:
    """Return the document of a finished run; None where there is none, or it is damaged."""
    try:
        document = read_document(folder)
    except UsageError:
        return None
    return None if document.get("interrupted") else document


def _can_go_on(folder: Path, spec: Spec, sha256: str, machine: Machine) -> bool:
    try:
        return _fits(read_run(folder), spec, sha256, machine)
    except UsageError:
        return False


def _fits(kept: Document, spec: Spec, sha256: str, machine: Machine) -> bool:
    """Return whether what is kept is of the same request, model, machine and versions."""
    same_request = kept.get("spec") == json.loads(json.dumps(asdict(spec)))
    return (
        same_request
        and kept.get("model", {}).get("sha256") == sha256
        and machine.same_as(kept.get("host") or {})
    )
