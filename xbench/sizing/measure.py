"""What has to be run: each set of caps once, and more only where that decides something."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from xbench.caps import size_text
from xbench.errors import InterruptedRunError
from xbench.load.slo import WORDS
from xbench.plan import Spec
from xbench.procurement.fleet import Demand
from xbench.progress import Progress
from xbench.result import PERCENTILES, Run
from xbench.sizing.groups import Group, Room, Wanted
from xbench.sizing.rows import Measured, rows_of, space
from xbench.stats import samples_needed

Comparer = Callable[..., Run]
SPARE = 3.0  # times the inferences that are needed: those of disturbed rounds do not count
STARTING_S = 4.0  # of a backend in a launch, before it measures
MOST_S = 600.0  # of inferences that only add to others
MOST_QUICK_S = 60.0
MOST_AGAIN = 3  # backends that are measured again
NEAR_FASTEST = 1.25  # times the fastest median: what lies beyond will not be chosen
NEVER_ENOUGH = 1e-6  # as the width of a ratio: such a run uses all its time
SERVED = 1_500  # requests that are hoped for: one that waits tells less than one that does not
MOST_SERVED_S = 120.0
MORE: Mapping[str, Any] = {"roofline": False}  # this machine's limits are known by then


@dataclass(slots=True)
class Found:
    """What was measured so far.

    Attributes:
        rows: By threads: every backend, under the most memory of that group.
        limits: By threads and name: each row beside this host's limits, which are found once.
        own: By threads and cap on memory: backends that had to run under that very cap.
        served: By threads: the chosen backend as a server.
        stopped: Whether the user asked to stop.
    """

    rows: dict[int, tuple[Measured, ...]] = field(default_factory=dict)
    limits: dict[int, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    own: dict[tuple[int, int], tuple[Measured, ...]] = field(default_factory=dict)
    served: dict[int, Measured] = field(default_factory=dict)
    stopped: bool = False

    def of(self, group: Group, wanted: Wanted) -> tuple[Measured, ...]:
        """Return the rows that a profile is judged by."""
        own = {one.name: one for one in self.own.get((group.threads, wanted.cap_bytes), ())}
        # The machine's limits were found once for a number of threads.
        limits = self.limits.get(threads := group.threads, {})
        return tuple(
            replace(one, roofline=limits.get(one.name, one.roofline))
            for one in (own.get(one.name, one) for one in self.rows.get(threads, ()))
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """Runs what is asked for, one comparison after the other.

    Attributes:
        spec: The request: model, precision, shapes and how long; profile and threads are set here.
        folder: Where every run is kept.
    """

    spec: Spec
    demand: Demand
    folder: Path
    progress: Progress
    compare: Comparer

    def groups(self, groups: Sequence[Group]) -> Found:
        """Return what every backend does under each set of caps."""
        found = Found()
        for number, group in enumerate(groups, 1):
            if found.stopped:
                break
            threads = f"{group.threads} thread{'' if group.threads == 1 else 's'}"
            stands = f"{len(group.members)} profile{'' if len(group.members) == 1 else 's'}"
            self.progress.note(f"Caps {number} of {len(groups)}: {threads}, for {stands}.")
            name = f"threads-{group.threads}"
            rows = self._run(found, group, group.lead, self.spec.backends, name)
            found.rows[group.threads] = rows
            found.limits[group.threads] = {one.name: one.roofline for one in rows}
            self._longer(found, group)
            self._near(found, group)
        return found

    def server(self, found: Found, group: Group, backend: str, rate_per_s: float) -> None:
        """Measure the chosen backend with requests at that rate, where the time allows it."""
        time_s = SERVED / rate_per_s + STARTING_S
        if found.stopped or time_s > MOST_SERVED_S:
            return
        self.progress.note(f"{backend} as a server, {rate_per_s:.4g} requests a second.")
        name = f"threads-{group.threads}-server"
        rate = f"{rounded_up(rate_per_s):.12g}"
        asked = {"scenario": f"server:{rate}", "time_budget_s": time_s, "launches": 3, **MORE}
        rows = self._run(found, group, group.lead, (backend,), name, **asked)
        # A row without a server's account was no server, whatever it is called.
        served = [one for one in rows if one.load and (not one.row.problem or one.saturated)]
        if served:
            found.served[group.threads] = served[0]

    def _longer(self, found: Found, group: Group) -> None:
        """Measure the fastest backends again, by themselves, if their inferences were too few.

        Where all are measured, most of the time goes to starting them.
        """
        assert self.demand.slo is not None
        percentile = self.demand.slo.percentile
        first = fastest(found.rows[group.threads], 2 if self.spec.quick else MOST_AGAIN)
        lacking = [one for one in first if one.thin or one.row.latency_s[percentile] is None]
        each_s = sum(one.median_s or 0.0 for one in first)
        needed_s = samples_needed(PERCENTILES[percentile]) * SPARE * each_s
        if found.stopped or not lacking or needed_s > (MOST_QUICK_S if self.spec.quick else MOST_S):
            return
        names = [one.name.partition(" ")[0] for one in first]
        self.progress.note(f"{', '.join(names)}: more inferences, for the {WORDS[percentile]}.")
        launches = 3 if self.spec.quick else 4
        asked = {
            "launches": launches,
            "time_budget_s": needed_s + launches * STARTING_S * max(2, len(names)),
            "precision_target": NEVER_ENOUGH,
            **MORE,
        }
        # Alone it would stop once it has settled: there is no ratio that more rounds would narrow.
        pair = names if len(names) > 1 else names * 2
        name = f"threads-{group.threads}-longer"
        again = {one.name: one for one in self._run(found, group, group.lead, pair, name, **asked)}
        found.rows[group.threads] = tuple(
            again[one.name] if one.name in again and again[one.name].row.problem is None else one
            for one in found.rows[group.threads]
        )

    def _near(self, found: Found, group: Group) -> None:
        """Run under its own cap what may be the best of a profile, and comes near its memory."""
        if self.spec.quick:
            return
        for cap_bytes, wanted in sorted({one.cap_bytes: one for one in group.members}.items()):
            names = undecided(found.rows[group.threads], cap_bytes)
            if found.stopped or not names:
                continue
            cap = size_text(cap_bytes)
            self.progress.note(f"{', '.join(names)}: near {cap}, so under that cap.")
            name = f"threads-{group.threads}-{cap.replace(' ', '')}"
            found.own[group.threads, cap_bytes] = self._run(
                found, group, wanted, names, name, **MORE
            )

    def _run(
        self,
        found: Found,
        group: Group,
        wanted: Wanted,
        backends: Sequence[str],
        name: str,
        **asked: Any,
    ) -> tuple[Measured, ...]:
        """Return the rows of one comparison."""
        given = {
            **_as_asked(self.spec),
            "profile": wanted.reference,
            "threads": group.threads,
            **asked,
        }
        try:
            run = self.compare(
                self.spec.model,
                tuple(backends),
                out=self.folder / name,
                progress=self.progress,
                **given,
            )
        except InterruptedRunError:  # before it began, or while it waited for another's
            if not found.rows:
                raise
            found.stopped = True
            return ()
        found.stopped = found.stopped or run.interrupted
        return rows_of(run)


def rounded_up(rate_per_s: float) -> float:
    """Return a rate with four digits, no less than it was: the devices must not become more."""
    places = 3 - floor(log10(rate_per_s))
    size = 10.0**places
    return ceil(round(rate_per_s * size, 6)) / size


def fastest(rows: Sequence[Measured], most: int) -> tuple[Measured, ...]:
    """Return the fastest backends, and no more of them than may be chosen in the end."""
    ran = [one for one in rows if one.median_s and (one.row.problem is None or one.thin)]
    order = sorted(ran, key=lambda one: one.median_s or 0.0)
    limit_s = NEAR_FASTEST * (order[0].median_s or 0.0) if order else 0.0
    return tuple(one for one in order[:most] if (one.median_s or 0.0) <= limit_s)


def undecided(rows: Sequence[Measured], cap_bytes: int) -> tuple[str, ...]:
    """Return the backends whose memory comes near a cap, and that may be the best under it.

    A backend that is slower than one that surely fits cannot be.
    """
    ran = [one for one in rows if one.row.problem is None and one.median_s]
    roomy = [one for one in ran if space(one, cap_bytes) is Room.ENOUGH]
    fastest_s = min((one.median_s or 0.0 for one in roomy), default=None)
    near = [one for one in ran if space(one, cap_bytes) is Room.NEAR]
    return tuple(one.name for one in near if fastest_s is None or (one.median_s or 0.0) < fastest_s)


def _as_asked(spec: Spec) -> Mapping[str, Any]:
    """Return the fields of a request that every comparison shares."""
    taken = {"model", "backends", "profile", "threads"}
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__ if name not in taken}
