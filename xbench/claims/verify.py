"""A file of claims from its comparisons to the judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbench.catalog import resolve
from xbench.claims.bars import Bar, before
from xbench.claims.claim import Claim, ClaimsFile
from xbench.claims.decide import Decision
from xbench.claims.evidence import Document
from xbench.claims.judge import Judgement, barred, judge
from xbench.claims.keeping import place_for
from xbench.claims.machine import Machine, this_machine
from xbench.claims.settings import Setting, settings_of
from xbench.comparison import run
from xbench.errors import InterruptedRunError, UnknownNameError, UsageError, XbenchError
from xbench.model import read_model
from xbench.plan import Spec
from xbench.preparation import terms_of
from xbench.progress import Progress, Silent
from xbench.units import format_s

_STOPPED = Bar("the run was stopped before it was measured", "Run the same command again")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison that claims were judged by.

    Attributes:
        document: As `--json` writes it.
        reused: Whether it had been measured before.
    """

    document: Document
    reused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What is said of a file of claims."""

    file: ClaimsFile
    judgements: tuple[Judgement, ...]
    comparisons: tuple[Comparison, ...]
    machine: Machine
    out: Path
    interrupted: bool = False

    def count(self, decision: Decision) -> int:
        """Return how many claims were decided so."""
        return sum(one.decision is decision for one in self.judgements)

    @property
    def exit_status(self) -> int:
        """Return 0 if some claim held and none failed or is open, else 1; 130 if interrupted."""
        if self.interrupted:
            return 130
        bad = self.count(Decision.FAILED) + self.count(Decision.UNDETERMINED)
        return 0 if self.count(Decision.HELD) and not bad else 1


def verify(
    file: ClaimsFile,
    effort: Mapping[str, Any],
    out: Path,
    *,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> Verification:
    """Return what this machine says of a file of claims.

    Comparisons that were finished before are used again. A comparison that cannot be made costs
    its own claims only.

    Args:
        file: The claims.
        effort: Fields of `Spec` that say how long to measure.
        out: The folder of the run folders; it may be there.
        only: Ids of the claims to verify; empty is all.
        progress: Hears of each step.

    Raises:
        UsageError: If ``only`` names no claim, or ``out`` cannot be made.
    """
    claims = _chosen(file, only)
    _make(out)
    steps = _Steps(effort, out, this_machine(), progress or Silent())
    steps.go(claims)
    return Verification(
        file=file,
        judgements=tuple(steps.judged[claim.id] for claim in claims),
        comparisons=tuple(steps.comparisons),
        machine=steps.machine,
        out=out,
        interrupted=steps.interrupted,
    )


class _Steps:
    """The comparisons, one after the other, and what they led to."""

    def __init__(
        self, effort: Mapping[str, Any], out: Path, machine: Machine, hears: Progress
    ) -> None:
        self.machine = machine
        self.judged: dict[str, Judgement] = {}
        self.comparisons: list[Comparison] = []
        self.interrupted = False
        self._effort, self._out, self._hears = effort, out, hears

    def go(self, claims: Sequence[Claim]) -> None:
        """Judge every claim."""
        for claim in claims:
            if bar := before(claim, self.machine):
                self.judged[claim.id] = barred(claim, bar)
        settings = settings_of([claim for claim in claims if claim.id not in self.judged])
        self._announce(settings)
        for at, setting in enumerate(settings, 1):
            what = f"comparison {at} of {len(settings)}: {setting.first.subject.run}"
            self._hears.phase(f"{what} on {', '.join(setting.backends)}")
            self._settle(setting)

    def _announce(self, settings: Sequence[Setting]) -> None:
        if settings:
            most_s = sum(one.spec(self._effort).time_budget_s for one in settings)
            count = f"{len(settings)} comparison{'s' if len(settings) > 1 else ''}"
            self._hears.note(f"{count}, measured in at most {format_s(most_s)}.")

    def _settle(self, setting: Setting) -> None:
        """Judge the claims of a comparison."""
        if self.interrupted:
            self._bar(setting, _STOPPED)
            return
        try:
            compared = self._compare(setting.spec(self._effort))
        except (InterruptedRunError, KeyboardInterrupt):
            self.interrupted = True
            self._bar(setting, _STOPPED)
            return
        except XbenchError as error:
            self._bar(setting, Bar(error.reason, error.fix))
            return
        self.comparisons.append(compared)
        self.interrupted = bool(compared.document.get("interrupted"))
        for claim in setting.claims:
            self.judged[claim.id] = judge(claim, compared.document, self.machine)

    def _bar(self, setting: Setting, bar: Bar) -> None:
        for claim in setting.claims:
            self.judged[claim.id] = barred(claim, bar)

    def _compare(self, spec: Spec) -> Comparison:
        """Return the comparison that is asked for: an earlier one, or one that is made now."""
        place = place_for(spec, self._model_sha256(spec), self.machine, self._out)
        if place.document is not None:
            self._hears.note(f"{place.folder}: measured before, and used again.")
            return Comparison({**place.document, "folder": str(place.folder)}, reused=True)
        resumed = place.folder if place.unfinished else None
        found = run(
            spec,
            out=None if resumed else place.folder,
            resume=resumed,
            progress=self._hears,
        )
        return Comparison(found.to_json(), reused=False)

    def _model_sha256(self, spec: Spec) -> str:
        """Return the hash of the model as it is now, which is built if it never was."""
        resolved = resolve(spec.model, spec.seed, self._hears, None, terms_of(spec))
        return read_model(resolved.path, resolved.name).sha256


def _chosen(file: ClaimsFile, only: Sequence[str]) -> tuple[Claim, ...]:
    known = {claim.id: claim for claim in file.claims}
    for name in only:
        if name not in known:
            listing = f"xbench verify {file.name} --list"
            raise UnknownNameError("claim", name, tuple(known), listing)
    return tuple(claim for claim in file.claims if not only or claim.id in only)


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"cannot make {out}: {error.strerror}"
        raise UsageError(reason, "Choose another place with --out") from error
