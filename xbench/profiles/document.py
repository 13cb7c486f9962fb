"""Profiles as JSON: what the files say, and what is computed from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from xbench.profiles.floor import peak_per_s, ridge_flop_per_byte
from xbench.profiles.model import PRECISIONS, Profile

SCHEMA = 1  # of the document, not of the files; rises when a key changes its meaning


def to_json(profiles: Iterable[Profile]) -> dict[str, Any]:
    """Return the document of `xbench profiles --json`; absent figures are None."""
    return {"schema": SCHEMA, "profiles": [_profile(profile) for profile in profiles]}


def _profile(profile: Profile) -> dict[str, Any]:
    computed = {
        "cores": profile.cpu.cores,
        "memory_cap_bytes": profile.memory_cap_bytes,
        "confidence": profile.confidence,
        "peak_per_s": {p: peak_per_s(profile, p) for p in PRECISIONS},
        "ridge_flop_per_byte": {p: ridge_flop_per_byte(profile, p) for p in PRECISIONS},
    }
    plain: dict[str, Any] = _plain(asdict(profile))
    return plain | computed


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value
