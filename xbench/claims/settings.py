"""From claims to the comparisons that decide them: as few as there can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xbench.claims.claim import Claim, Kind
from xbench.plan import Spec
from xbench.registry import precisions

FINEST, COARSEST = 0.01, 0.05
SHARE_OF_TOLERANCE = 0.1
"""Half-width that a comparison aims at, as a share of the smallest tolerance of its claims: an
interval a tenth as wide as what is accepted is rarely cut by a bound."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Claims that one comparison decides, and what it runs."""

    claims: tuple[Claim, ...]
    backends: tuple[str, ...]
    precision: str

    @property
    def first(self) -> Claim:
        """Return the first of the claims: all have its model, batch, threads and device."""
        return self.claims[0]

    def spec(self, effort: Mapping[str, Any]) -> Spec:
        """Return what is asked of `xbench.comparison.run`.

        Args:
            effort: Fields of `Spec` that say how long to measure; those that are absent, as
                `xbench compare` has them, but the precision that the claims need.
        """
        first = self.first
        return Spec(
            model=first.subject.run,
            backends=self.backends,
            device=device_of(first),
            batches=(first.batch,) if first.batch else (),
            shapes=dict(first.subject.shapes),
            threads=first.threads,
            precision=self.precision,
            **{
                "precision_target": self._target(),
                "energy": False,
                "roofline": False,
                **effort,
            },
        )

    def _target(self) -> float:
        smallest = min((c.tolerance for c in self.claims if c.kind is not Kind.AGREE), default=1.0)
        return min(COARSEST, max(FINEST, SHARE_OF_TOLERANCE * smallest))


def device_of(claim: Claim) -> str:
    """Return the device that a claim is verified on, as ``--device`` takes it."""
    return "cpu" if claim.source.hardware.device == "cpu" else "cuda:0"


def settings_of(claims: Sequence[Claim]) -> tuple[Setting, ...]:
    """Return the comparisons that decide ``claims``, in the order of their first claims.

    Claims that differ in the precisions of their rows are apart, since each precision of a
    comparison is measured with every backend of it.
    """
    groups: dict[object, list[Claim]] = {}
    for claim in claims:
        groups.setdefault(_key(claim), []).append(claim)
    return tuple(map(_setting, groups.values()))


def _key(claim: Claim) -> object:
    subject = claim.subject
    model = (subject.run, tuple(sorted(subject.shapes.items())))
    asked = (claim.batch, claim.threads, device_of(claim))
    return model, asked, frozenset(claim.precisions)


def _setting(claims: list[Claim]) -> Setting:
    sides = [side for claim in claims for side in claim.sides]
    backends = tuple(dict.fromkeys(side.backend for side in sides))
    own = precisions(backends)  # variants of one precision only: asking for it would ask of all
    asked = dict.fromkeys(side.precision for side in sides if side.backend not in own)
    return Setting(tuple(claims), backends, ",".join(asked) or "fp32")
