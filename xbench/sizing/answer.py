"""The whole: from a model, a load and profiles to an answer for each."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xbench.catalog import resolve
from xbench.comparison import compare
from xbench.device import allowed_cpus, cpu_info, cpu_model
from xbench.interrupts import Interrupts
from xbench.lengths import batch_length
from xbench.model import read_model
from xbench.plan import Spec
from xbench.preparation import Bindings, terms_of
from xbench.procurement.fleet import Demand, Fleet
from xbench.progress import Progress, Silent
from xbench.registry import expand
from xbench.sizing.groups import Group, Wanted, grouped
from xbench.sizing.judge import Answer, judge
from xbench.sizing.least import Least, least_of
from xbench.sizing.measure import Bench, Comparer, Found
from xbench.sizing.rows import Measured
from xbench.sizing.served import as_served

TEMPLATE = Spec(
    model="",
    launches=2,
    precision_target=0.02,
    time_budget_s=45.0,
    energy=False,
    roofline=True,
)
"""What a set of caps is measured with, unless asked otherwise; ``time_budget_s`` is of one set."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What was measured under one number of threads.

    Attributes:
        threads: Of one inference.
        profiles: The names of those that it stands for.
        rows: Every backend, under the largest memory of these.
        served: The chosen backend as a server, or None.
    """

    threads: int
    profiles: tuple[str, ...]
    rows: tuple[Measured, ...]
    served: Measured | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """All that there is to say.

    Attributes:
        model: As it was named.
        host: The processor's name, or None.
        cpus: How many this process may use.
        caps: What was measured, the most threads first.
        answers: One a profile, in the order asked.
        folder: Where every run is kept.
        stopped: Whether the user asked to stop.
    """

    model: str
    demand: Demand
    host: str | None
    cpus: int
    spec: Spec
    least: Least
    caps: tuple[Caps, ...]
    answers: tuple[Answer, ...]
    folder: str
    stopped: bool

    @property
    def exit_status(self) -> int:
        """Return 0 if something may fit, 1 if nothing does, 130 if the user asked to stop."""
        if self.stopped:
            return 130
        return 0 if any(one.devices_least for one in self.answers) else 1


def size(
    spec: Spec,
    demand: Demand,
    profiles: Sequence[Wanted],
    *,
    out: Path | None = None,
    progress: Progress | None = None,
    comparer: Comparer = compare,
) -> Sizing:
    """Return which profiles hold a load, with what, and how many of each.

    Args:
        spec: The model, its backends, and how long to measure a set of caps: see `TEMPLATE`.
        demand: The load; its limit on latency must be set.
        profiles: Those asked about.
        out: A new folder for the runs; None names one in ``xbench-runs``.
        progress: Hears of each step.
        comparer: What measures: `xbench.compare`.

    Raises:
        XbenchError: If the request cannot be met.
    """
    hears = progress or Silent()
    spec.check()
    expand(spec.backends)  # a wrong name is told before anything is built
    least = _least(spec, hears)
    cpus = len(allowed_cpus())
    groups = grouped([one for one in profiles if least.taken_by(one.profile)], cpus)
    folder = out or Path("xbench-runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-size-{_plain(spec)}"
    bench = Bench(spec, demand, folder, hears, comparer)
    found = bench.groups(groups)
    answers = _answers(profiles, groups, found, least, demand, spec)
    for group in groups:
        chosen = _chosen(group, answers)
        if chosen and not spec.quick:
            backend, devices = chosen
            bench.server(found, group, backend, demand.rate_per_s / devices)
    if found.served:
        answers = _answers(profiles, groups, found, least, demand, spec)
    return Sizing(
        model=spec.model,
        demand=demand,
        host=cpu_model(cpu_info()),
        cpus=cpus,
        spec=spec,
        least=least,
        caps=tuple(_caps(group, found) for group in groups),
        answers=tuple(answers[one.profile.name] for one in profiles),
        folder=str(folder),
        stopped=found.stopped,
    )


def _least(spec: Spec, hears: Progress) -> Least:
    """Return what the model takes at the least; it is read, and nothing is run."""
    with Interrupts(lambda: hears.note("Stopping.")) as stop:
        resolved = resolve(spec.model, spec.seed, hears, stop.wake_fd, terms_of(spec))
    model = read_model(Path(resolved.path), resolved.name)
    bound = Bindings(spec, model, resolved)[0]
    return least_of(bound, batch_length(model.inputs, bound.inputs))


def _answers(
    profiles: Sequence[Wanted],
    groups: Sequence[Group],
    found: Found,
    least: Least,
    demand: Demand,
    spec: Spec,
) -> dict[str, Answer]:
    """Return the answer for each profile by its name; nothing was run for one without a group."""
    group_of = {one.profile.name: group for group in groups for one in group.members}
    answers = {}
    for one in profiles:
        group = group_of.get(name := one.profile.name)
        rows = found.of(group, one) if group else ()
        served = found.served.get(group.threads) if group else None
        answer = judge(one.profile, rows, least, demand, spec.precisions[0])
        answers[name] = as_served(answer, served, demand)
    return answers


def _chosen(group: Group, answers: dict[str, Answer]) -> tuple[str, int] | None:
    """Return the backend of a set of caps that most profiles have, and for how many devices."""
    counted: Counter[tuple[str, int]] = Counter()
    for one in group.members:
        trial = answers[one.profile.name].trial
        if trial and isinstance(trial.here, Fleet):
            counted[trial.measured.name, trial.here.devices.high] += 1
    return counted.most_common(1)[0][0] if counted else None


def _caps(group: Group, found: Found) -> Caps:
    names = tuple(one.profile.name for one in group.members)
    threads = group.threads
    return Caps(threads, names, found.of(group, group.lead), found.served.get(threads))


def _plain(spec: Spec) -> str:
    name = Path(spec.model).stem or "model"
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:40].lstrip(".") or "model"
