"""From a request to what can be measured: the model, the configurations and the folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xbench.adapter import Limits
from xbench.caps import asked_limits, refuse_batches
from xbench.catalog import resolve
from xbench.device import allowed_cpus, default_threads
from xbench.errors import UsageError
from xbench.following import inference_flops
from xbench.interrupts import Interrupts
from xbench.lengths import batch_length, batch_symbols
from xbench.model import Model, read_model
from xbench.plan import IN_THE_FILE, Cell, Spec
from xbench.preparation import Bindings, terms_of
from xbench.profiles import find_profile
from xbench.progress import Progress
from xbench.registry import expand, precisions
from xbench.store import RunFolder
from xbench.tuning.goal import Aim, Goal
from xbench.tuning.search import Effort
from xbench.tuning.space import Configuration, Space, make_space

BATCHES = (1, 2, 4, 8, 16, 32)
FEEDS = 2  # two tell whether outputs depend on inputs at all; more would cost every reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is searched for, and among what.

    Attributes:
        spec: The model and all that holds for every configuration; `Request.of` makes it.
        threads: Of one inference; empty for powers of two up to all cores.
        streams: Inferences at once; empty for 1, and for throughput as many as CPUs too.
        everything: Whether every configuration is measured at full effort, to compare with.
        only: The names of the configurations to take in; empty for all.
    """

    spec: Spec
    goal: Goal = field(default_factory=Goal)
    threads: tuple[int, ...] = ()
    streams: tuple[int, ...] = ()
    effort: Effort = field(default_factory=Effort)
    everything: bool = False
    only: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What is measured, and where it is kept.

    Attributes:
        cells: By the id of the configuration.
    """

    spec: Spec
    model: Model
    cells: Mapping[int, Cell]
    bound: Bindings
    folder: RunFolder


def prepare(
    request: Request, out: Path | None, hears: Progress, stop: Interrupts
) -> tuple[Stock, Space, Request]:
    """Find the model, list the configurations, and make the folder."""
    spec = replace(request.spec, feeds=FEEDS, energy=False)
    spec.check()
    if len(spec.precisions) > 1:
        raise UsageError("a search is at one precision", "Ask for one with --precision")
    expand(spec.backends)  # a wrong name is told before anything is built
    resolved = resolve(spec.model, spec.seed, hears, stop.wake_fd, terms_of(spec))
    backends = tuple(dict.fromkeys(expand(spec.backends, resolved.framework, spec.device)))
    threads = request.threads or _usual_threads(spec)
    streams = request.streams or _usual_streams(spec, request.goal)
    hears.phase(f"reading {resolved.name}")
    model = read_model(resolved.path, resolved.name)
    spec = replace(spec, batches=spec.batches or _usual_batches(spec, model, request.goal))
    bound = Bindings(spec, model, resolved)
    model = replace(model, flops=inference_flops(bound[0]))
    groups = range(len(spec.batches or (None,)))
    lengths = {
        batch_length(model.inputs, bound[bound.of_group(group)].inputs): bound.of_group(group)
        for group in groups
    }
    refuse_batches(spec, lengths)
    space = make_space(backends, sorted(threads), list(lengths), sorted(streams), cpus=_cpus(spec))
    space = space.of_names(request.only)
    if not len(space):
        raise UsageError("no configuration fits this machine's CPUs", "Ask for fewer --threads")
    cells = _cells(spec, space, lengths)
    folder = _folder(out, model)
    stock = Stock(spec=spec, model=model, cells=cells, bound=bound, folder=folder)
    return stock, space, replace(request, spec=spec, threads=tuple(threads), streams=tuple(streams))


def _cells(spec: Spec, space: Space, bindings: Mapping[int | None, int]) -> dict[int, Cell]:
    """Return the cell of each configuration."""
    limits = {
        key: _limits(spec, *key)
        for key in {(one.threads, one.streams) for one in space.configurations}
    }
    own = precisions([one.backend for one in space.configurations])
    return {one.id: _cell(spec, one, limits, bindings, own) for one in space.configurations}


def _cell(
    spec: Spec,
    one: Configuration,
    limits: Mapping[tuple[int, int], Limits],
    bindings: Mapping[int | None, int],
    own: Mapping[str, str],
) -> Cell:
    precision = own.get(one.backend, spec.precision)
    return Cell(
        id=one.id,
        backend=one.backend,
        label=one.name.replace(",", ""),  # a row's backend is its first word
        batch=one.batch,
        group=bindings[one.batch],
        binding=bindings[one.batch],
        limits=limits[one.threads, one.streams],
        precision=precision,
        file_precision=precision if precision in IN_THE_FILE and one.backend not in own else "fp32",
        scenario=_scenario(one.streams),
        boundary=spec.boundary,
    )


def _scenario(streams: int) -> str:
    return f"streams:{streams}" if streams > 1 else "single-stream"


def _limits(spec: Spec, threads: int, streams: int) -> Limits:
    """Return what the workers of so many threads and streams may use."""
    asked = replace(spec, threads=threads, scenario=_scenario(streams), batches=())
    first, *others = asked_limits(asked)
    if others:
        raise UsageError("a search is on one device", "Name one with --device")
    return first


def _cpus(spec: Spec) -> int:
    """Return how many CPUs a configuration may keep busy."""
    here = len(allowed_cpus())
    return here if spec.profile is None else min(here, find_profile(spec.profile).threads)


def _usual_threads(spec: Spec) -> Sequence[int]:
    """Return the powers of two up to all CPUs, and one a core."""
    if spec.device != "cpu":
        return (default_threads(),)
    most = _cpus(spec)
    powers = {2**power for power in range(most.bit_length()) if 2**power <= most}
    return sorted(powers | {min(most, default_threads())})


def _usual_streams(spec: Spec, goal: Goal) -> Sequence[int]:
    """Return one, and for throughput one a CPU."""
    if goal.aim is Aim.LATENCY or spec.device != "cpu":
        return (1,)
    return sorted({1, _cpus(spec)})


def _usual_batches(spec: Spec, model: Model, goal: Goal) -> tuple[int, ...]:
    """Return the batches to try where none are named; none where the model has but one."""
    if goal.aim is Aim.LATENCY or spec.inputs or not batch_symbols(model.inputs):
        return ()
    if {symbol for shape in spec.shapes.values() for symbol in shape}:
        return ()  # a whole shape decides the batch, too
    most = find_profile(spec.profile).max_batch if spec.profile else None
    return tuple(batch for batch in BATCHES if most is None or batch <= most)


def _folder(out: Path | None, model: Model) -> RunFolder:
    if out:
        return RunFolder.create(out)
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in model.name)
    name = time.strftime("%Y%m%d-%H%M%S-tune-") + (kept[:60].lstrip(".") or "model")
    return RunFolder.create_beside(Path("xbench-runs") / name)
