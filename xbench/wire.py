"""What parent and worker say to each other: one JSON document a line, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xbench.adapter import BoundModel, Facts, Fallback, Limits, Native, TensorSpec

Message = dict[str, Any]


def encode(message: Mapping[str, Any]) -> bytes:
    """Return ``message`` as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Return the message of one line.

    Raises:
        ValueError: If the line is no JSON object.
    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    return message


def model_to_json(model: BoundModel) -> Message:
    """Return ``model`` as plain data."""
    return {
        "path": str(model.path),
        "inputs": [[spec.name, spec.dtype, list(spec.shape)] for spec in model.inputs],
        "outputs": list(model.outputs),
        "symbols": dict(model.symbols),
        "native": asdict(model.native) if model.native else None,
        "calibration": str(model.calibration) if model.calibration else None,
    }


def model_from_json(data: Mapping[str, Any]) -> BoundModel:
    """Return the model that `model_to_json` wrote."""
    inputs = tuple(TensorSpec(name, dtype, tuple(shape)) for name, dtype, shape in data["inputs"])
    return BoundModel(
        Path(data["path"]),
        inputs,
        tuple(data["outputs"]),
        data["symbols"],
        native=Native(**data["native"]) if data["native"] else None,
        calibration=Path(data["calibration"]) if data["calibration"] else None,
    )


def limits_from_json(data: Mapping[str, Any]) -> Limits:
    """Return the limits that ``dataclasses.asdict`` wrote."""
    return Limits(**{**data, "cpus": tuple(data["cpus"])})


def facts_from_json(data: Mapping[str, Any]) -> Facts:
    """Return the facts that ``dataclasses.asdict`` wrote."""
    fallback = data["fallback"]
    if fallback is not None:
        fallback = Fallback(fallback["nodes"], tuple(fallback["names"]), fallback["where"])
    return Facts(**{**data, "fallback": fallback})
