"""Whether a profile holds a demand: from what was measured, computed and modelled to a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf

from xbench.caps import size_text
from xbench.procurement.fleet import Demand, Unfit, headroom
from xbench.profiles import Profile
from xbench.result import Status
from xbench.sizing.groups import Room
from xbench.sizing.least import Least
from xbench.sizing.rows import Measured, space
from xbench.sizing.transfer import Unscaled
from xbench.sizing.trial import Trial, Verdict, trial_of
from xbench.units import format_bytes, format_s

NOT_READ = "how much memory it held was not read"


@dataclass(frozen=True, slots=True)
class Headroom:
    """What is left of each limit, as a share, at the worst end of what is known; None if unknown.

    Attributes:
        latency: Of the limit on latency.
        memory: Of the device's memory.
        load: Of what the devices take together.
    """

    latency: float | None
    memory: float | None
    load: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is known of one profile.

    Attributes:
        reason: Why it is not better; None where it fits.
        fix: What helps, or None.
        trial: The backend that does best; None where none could be tried.
        devices: How many are enough; None where that is not known.
        devices_least: How many it takes at the least; None where that is not known.
        floor_s: What no software can beat on its cores; None where its peak is not told.
        accelerators: The same for what computes beside the cores, and is not sized.
    """

    profile: Profile
    verdict: Verdict
    reason: str | None
    fix: str | None
    trial: Trial | None
    devices: int | None
    devices_least: int | None
    headroom: Headroom
    floor_s: float | None
    accelerators: tuple[tuple[str, float | None], ...]


def judge(
    profile: Profile, rows: Sequence[Measured], least: Least, demand: Demand, precision: str
) -> Answer:
    """Return what is known of a profile.

    Args:
        profile: The device.
        rows: Every backend as it was measured under its caps, or under larger ones on memory.
        least: The model.
        demand: With a limit on latency.
        precision: That was asked for; its floor, and those of what the rows compute in, count.
    """
    assert demand.slo is not None
    precisions = dict.fromkeys([precision, *(name for one in rows for name in one.precisions)])
    floor_s = _floor_s(profile, least, precisions)
    beside = tuple((one.name, _least_of(profile, least, one.name)) for one in profile.accelerators)
    known = _Known(profile, floor_s, beside)
    if not least.taken_by(profile):
        why = f"it takes batches up to {profile.max_batch}, and the model's is {least.batch}"
        return known.answer(Verdict.NO, why)
    if floor_s is not None and floor_s > demand.slo.limit_s:
        return known.no("on its cores one inference takes {floor} at the least, computed")
    cap_bytes = profile.memory_cap_bytes
    rooms = [(one, space(one, cap_bytes)) for one in rows if one.row.problem is None]
    fitting = [one for one, left in rooms if left is Room.ENOUGH]
    trials = [trial_of(one, profile, least, demand) for one in fitting]
    if not trials:
        return _without(known, rows, [one for one, left in rooms if left is Room.NEAR])
    best = min(trials, key=_order)
    return known.by(best, demand)


@dataclass(frozen=True, slots=True)
class _Known:
    """What every answer of a profile has."""

    profile: Profile
    floor_s: float | None
    accelerators: tuple[tuple[str, float | None], ...]

    def answer(self, verdict: Verdict, reason: str | None, fix: str | None = None) -> Answer:
        return Answer(
            profile=self.profile,
            verdict=verdict,
            reason=reason,
            fix=fix,
            trial=None,
            devices=None,
            devices_least=None,
            headroom=Headroom(None, None, None),
            floor_s=self.floor_s,
            accelerators=self.accelerators,
        )

    def no(self, reason: str) -> Answer:
        return self.answer(Verdict.NO, reason.format(floor=format_s(self.floor_s or 0.0)))

    def by(self, trial: Trial, demand: Demand) -> Answer:
        """Return the answer that the best backend gives."""
        reason, fix = _why(trial)
        low, high = trial.fleets
        return replace(
            self.answer(trial.verdict, reason, fix),
            trial=trial,
            devices=high.devices.high if high else None,
            devices_least=low.devices.low if low else None,
            headroom=_headroom(trial, demand),
        )


def _floor_s(profile: Profile, least: Least, precisions: Iterable[str]) -> float | None:
    """Return the least seconds on the cores at any of these; None where one has no peak told."""
    told = [least.floor_s(profile, one) for one in precisions]
    known = [one for one in told if one is not None]
    return min(known) if len(known) == len(told) else None


def _least_of(profile: Profile, least: Least, accelerator: str) -> float | None:
    """Return the least seconds on an accelerator, at the best of the precisions it has."""
    named = next(one for one in profile.accelerators if one.name == accelerator)
    told = [least.floor_s(profile, one, accelerator) for one in named.dense_per_s]
    return min((one for one in told if one is not None), default=None)


def _order(trial: Trial) -> tuple[int, float, float, float]:
    """Return by what the best backend is found: verdict, devices at the worst end, latency."""
    low, high = trial.fleets
    return (
        list(Verdict).index(trial.verdict),
        high.devices.high if high else inf,
        low.devices.low if low else inf,
        trial.latency_s.high if trial.latency_s else inf,
    )


def _headroom(trial: Trial, demand: Demand) -> Headroom:
    used = trial.memory.used
    memory = None if used is None else headroom(used, trial.memory.cap)
    _, high = trial.fleets
    if high is None or demand.slo is None:
        return Headroom(None, memory, None)
    latency_s = trial.latency_s
    together = high.devices.high * high.per_device_per_s.low
    return Headroom(
        headroom(latency_s.high, demand.slo.limit_s) if latency_s else None,
        memory,
        headroom(demand.rate_per_s, together),
    )


def _why(trial: Trial) -> tuple[str | None, str | None]:
    """Return why the best backend does no better, and what helps."""
    if trial.scale is None:
        return (
            (trial.here.reason, trial.here.fix) if isinstance(trial.here, Unfit) else (None, None)
        )
    if isinstance(trial.scale, Unscaled):
        return trial.scale.reason, "Measure on the device itself"
    worse = next((one for one in (trial.best, trial.worst) if isinstance(one, Unfit)), None)
    if worse is None:
        return None, None
    if trial.verdict is Verdict.UNKNOWN:
        return worse.reason, worse.fix
    end = "low" if worse is trial.best else "high"
    return f"at the {end} end of its range {worse.reason}", worse.fix or None


def _without(known: _Known, rows: Sequence[Measured], near: Sequence[Measured]) -> Answer:
    """Return the answer where no backend is known to fit into the memory, or none ran."""
    cap = size_text(known.profile.memory_cap_bytes)
    if near:
        names = ", ".join(one.name for one in near)
        sizes = [one.peak_bytes for one in near if one.peak_bytes]
        why = f"under a larger cap it peaked at {format_bytes(min(sizes))}" if sizes else NOT_READ
        fix = f"`xbench compare MODEL --profile {known.profile.name}` tells it"
        return known.answer(Verdict.UNKNOWN, f"whether {names} fits into {cap}: {why}", fix)
    if undecided := [one for one in rows if _is_open(one)]:
        fixes = dict.fromkeys(one.row.problem[1] for one in undecided if one.row.problem)
        helps = "; ".join(filter(None, fixes)) or None
        return known.answer(Verdict.UNKNOWN, "; ".join(map(_told, undecided)), helps)
    killed = [one for one in rows if one.status is Status.OOM_HOST]
    ran = [one for one in rows if one.row.problem is None and one.peak_bytes]
    if killed or ran:
        smallest = min(ran, key=lambda one: one.peak_bytes or inf, default=None)
        held = [_told(one) for one in killed]
        if smallest and not killed:
            peak = format_bytes(smallest.peak_bytes or 0)
            held = [f"{smallest.name}, the smallest, held {peak} at its peak"]
        return known.answer(Verdict.NO, f"its memory: {'; '.join(held)}; {cap} are there")
    if not rows:
        return known.answer(Verdict.UNKNOWN, "nothing was measured")
    return known.answer(Verdict.NO, f"no backend runs it: {'; '.join(map(_told, rows))}")


def _is_open(measured: Measured) -> bool:
    """Return whether a row tells of this host or this run, and nothing of the model."""
    if measured.status in (Status.TIMEOUT, Status.INTERRUPTED, Status.UNAVAILABLE):
        return True
    return measured.status is Status.OK and measured.row.problem is not None


def _told(measured: Measured) -> str:
    """Return why a backend did not run."""
    reason = measured.row.problem[0] if measured.row.problem else "it ran"
    return f"{measured.name}: {reason}"
