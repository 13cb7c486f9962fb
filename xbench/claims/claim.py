"""What is claimed, and where it was published: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

UNKNOWN = "unknown"


class Kind(StrEnum):
    """What sort of claim it is; speeds are of a candidate against a baseline."""

    RATIO = "ratio"
    AT_LEAST = "at-least"
    AT_MOST = "at-most"
    FASTER = "faster"
    AGREE = "agree"
    LATENCY = "latency"


OF_A_PAIR = (Kind.RATIO, Kind.AT_LEAST, Kind.AT_MOST, Kind.FASTER)

REBUILT: Mapping[str, str] = {
    "architecture": "another architecture",
    "weights": "seeded weights, not the published ones",
    "input": "another size of input",
    "export": "another export of the same network",
}
"""What may differ between the model that was published and the one that is run here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What the published figures were measured on.

    Attributes:
        architecture: As the kernel calls it, such as ``x86_64``.
        device: ``cpu`` or ``cuda``.
        model: The processor's or GPU's name, or None where the source tells none.
        cores: How many, or None.
    """

    architecture: str
    device: str
    model: str | None = None
    cores: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where claims were published.

    Attributes:
        date: Of the publication: ``2022``, ``2022-08``, ``2022-08-11`` or ``unknown``.
        retrieved: The day that the figures were read, as ``2026-11-26``.
        software: Versions by name, as the source writes them.
        conditions: How it was measured, a fact each.
    """

    name: str
    title: str
    url: str
    date: str
    retrieved: str
    hardware: Hardware
    software: Mapping[str, str]
    conditions: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model that claims are about, and what stands for it here.

    Attributes:
        published: What the source ran, in words.
        run: A name from `xbench models`, or the path of a model file.
        rebuilt: Of `REBUILT`: what differs between the two; empty where nothing does.
        shapes: Shapes of inputs, by name, where the model leaves them open.
    """

    name: str
    published: str
    run: str
    rebuilt: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """A row that a claim is about: a backend at a precision."""

    backend: str
    precision: str

    def __str__(self) -> str:
        own = self.precision == "fp32" or self.backend.endswith(f":{self.precision}")
        return self.backend if own else f"{self.backend} {self.precision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim.

    Attributes:
        sides: The baseline and the candidate of a speed; the rows that agree; the one row of a
            latency.
        value: The ratio (baseline latency over candidate latency: above 1 the candidate is
            faster), or the latency in nanoseconds; None where the claim has no number.
        tolerance: By what share the value may be missed, as a factor: 0.25 accepts from
            ``value / 1.25`` to ``value * 1.25``. Of an order: what is as good as equal.
        most_relative: Of an agreement: the largest relative difference of an output, or None
            for the tolerance of the precision.
        figures: What the source says, by side, as it was written.
        batch: None is the model's own. ``threads``: None is one a physical core.
        line: In the file.
    """

    id: str
    kind: Kind
    source: Source
    subject: Subject
    sides: tuple[Side, ...]
    value: float | None = None
    tolerance: float
    most_relative: float | None = None
    figures: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None
    threads: int | None = None
    note: str = ""
    line: int = 0

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return the precisions of its rows, the baseline's first, each once."""
        return tuple(dict.fromkeys(side.precision for side in self.sides))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsFile:
    """A file of claims."""

    path: Path
    name: str
    title: str
    sources: tuple[Source, ...]
    subjects: tuple[Subject, ...]
    claims: tuple[Claim, ...]
    note: str = ""
