"""This machine, as far as it decides whether a published figure may be compared with its own."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is compared.

    Attributes:
        architecture: As the kernel calls it, such as ``x86_64``.
        devices: The maker's name of each, by its own name: ``cpu``, ``cuda:0``.
        cores: Of the CPU.
        context: As `xbench.host.capture_context` returns it.
    """

    architecture: str
    devices: Mapping[str, str | None]
    cores: int | None = None
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def versions(self) -> Mapping[str, str]:
        """Return the version of each distribution that matters, by name."""
        return self.context.get("versions") or {}

    def same_as(self, host: Mapping[str, Any]) -> bool:
        """Return whether a run was measured here and with the same versions."""
        return all(host.get(k) == self.context.get(k) for k in ("host_id", "versions"))


def this_machine() -> Machine:
    """Return the machine that this runs on."""
    from xbench.host import capture_context

    context = capture_context()
    usable = {one["name"]: one for one in context["devices"] or () if not one["reason"]}
    return Machine(
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        devices={name: one["model"] for name, one in usable.items()},
        cores=usable["cpu"]["details"].get("cores") if "cpu" in usable else None,
        context=context,
    )
