"""What is told of a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CPU, CUDA = "cpu", "cuda"


@dataclass(frozen=True, slots=True)
class Device:
    """Something that can run a model.

    Attributes:
        name: As ``--device`` takes it: ``cpu``, ``cuda:0``, or the UUID of a GPU's instance (MIG).
        model: The maker's name for it, or None where it does not tell.
        memory_bytes: Its memory, or None where unknown.
        details: What else it tells, by name; None for what it does not.
        reason: Why it cannot be used, or None.
    """

    name: str
    model: str | None
    memory_bytes: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None

    @property
    def uuid(self) -> str | None:
        """Return what its driver knows it by wherever it is plugged in; None for a CPU."""
        found: str | None = self.details.get("uuid")
        return found


def kind_of(name: str) -> str:
    """Return ``cpu`` or ``cuda`` for a device's name; a GPU's instance is ``cuda`` as well."""
    return CPU if name == CPU else CUDA
