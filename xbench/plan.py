"""From what was asked for to the cells to measure: plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from xbench.adapter import BOUNDARIES, Limits
from xbench.errors import UsageError
from xbench.load.scenario import Kind, Scenario, parse_scenario
from xbench.load.slo import parse_slo

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8")
IN_THE_FILE = ("fp16", "bf16", "int8")
"""Precisions that the model's file itself is converted to; at the others it stays as it is."""

PLANNED_LAUNCHES = 5  # that the time is shared among
MOST_LAUNCHES = 15  # where intervals are still wide and time is left

ONE_SESSION = (Kind.SINGLE_STREAM, Kind.MULTI_STREAM, Kind.OFFLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What was asked for, as `xbench compare` or `xbench.compare` was given it.

    Attributes:
        model: A path, or a name from `xbench models`.
        backends: ``adapter`` or ``adapter:variant``; the first is the baseline. A backend
            named twice is measured against itself.
        device: Names by commas, as `xbench.device.devices_of` takes them.
        precision: Of `PRECISIONS`, by commas; the first is the baseline's.
        scenario: How inferences are asked for, as `xbench.load.scenario.parse_scenario` reads it.
        slo: A limit on latency that a server is held against, such as ``p99=20ms``, or None.
        boundary: Of `xbench.adapter.BOUNDARIES`: where a timed run begins and ends.
        batches: Batch sizes; empty leaves the model's own.
        shapes: Shapes of inputs whose axes are open, by name.
        threads: Threads for one inference; None takes every physical core.
        launches: Most launches of each cell; fewer if the intervals are narrow before. None
            plans for 5, and takes more, up to 15, while intervals are wide and time is left.
        precision_target: Half-width of the 95 % interval to reach, as a share (0.01 is 1 %).
        time_budget_s: Seconds to spend, from the first worker's start to the last one's end.
        timeout_s: Seconds that a worker may take to load a model.
        feeds: How many input sets to draw and rotate.
        inputs: An ``.npz`` with the user's inputs, or None.
        calibration: An ``.npz`` with inputs to choose the scales of a quantised model by, or None.
        trust: Whether a model that is no ONNX file may run code when it is loaded.
        quick: Whether this is a first look, with its caution.
        energy: Whether to measure joules per inference too, where this machine has a meter; the
            time for it comes on top of ``time_budget_s``.
        roofline: Whether to find first what this machine reaches at the most, and to put rows
            beside it; the seconds for it come on top of ``time_budget_s``.
        profile: A device to imitate: a name from `xbench profiles`, or a TOML file. It decides
            threads, memory and the largest batch; ``threads`` may ask for fewer.
    """

    model: str
    backends: tuple[str, ...] = ("all",)
    device: str = "cpu"
    batches: tuple[int, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    threads: int | None = None
    precision: str = "fp32"
    scenario: str = "single-stream"
    slo: str | None = None
    boundary: str = "host"
    launches: int | None = None
    precision_target: float = 0.01
    time_budget_s: float = 110.0
    timeout_s: float = 300.0
    seed: int = 0
    feeds: int = 4
    inputs: str | None = None
    calibration: str | None = None
    trust: bool = False
    quick: bool = False
    energy: bool = True
    roofline: bool = False
    profile: str | None = None

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return the precisions that were asked for, each once."""
        return tuple(dict.fromkeys(word.strip() for word in self.precision.split(",")))

    def check(self) -> None:
        """Return if every word is known that has but a few values.

        Raises:
            UsageError: With the word that is not.
        """
        for what, asked, known in (
            ("precision", self.precisions, PRECISIONS),
            ("boundary", (self.boundary,), BOUNDARIES),
        ):
            if wrong := [word for word in asked if word not in known]:
                fix = f"There are {', '.join(known)}"
                raise UsageError(f"there is no {what} {wrong[0]!r}", fix)
        self._check_load()

    def _check_load(self) -> None:
        """Return if the scenario is known, and fits what stands beside it.

        Raises:
            UsageError: With what does not fit.
        """
        load = self.load
        if self.slo is not None:
            parse_slo(self.slo)
        if load.searches and self.slo is None:
            fix = "Give a rate, as in server:30, or --slo p99=20ms to search for the largest"
            raise UsageError("a server needs a rate", fix)
        if self.slo is not None and load.kind is not Kind.SERVER:
            fix = "Ask for --scenario server, or server:30"
            raise UsageError(f"--slo is for a server, and {load} is none", fix)
        if self.batches and load.decides_batch:
            raise UsageError(f"{load} decides the batch by itself", "Leave out --batch")
        if self.boundary != "host" and load.kind not in ONE_SESSION:
            raise UsageError(f"{load} is timed at the host", "Leave out --boundary")

    @property
    def load(self) -> Scenario:
        """Return the scenario as data."""
        return parse_scenario(self.scenario)

    @property
    def alone(self) -> bool:
        """Return whether rows are measured one after the other, for minutes, and once."""
        return self.load.kind is Kind.SUSTAINED or self.load.searches

    @property
    def planned_launches(self) -> int:
        """Return how many launches the time is shared among."""
        return (1 if self.alone else PLANNED_LAUNCHES) if self.launches is None else self.launches

    @property
    def most_launches(self) -> int:
        """Return how many launches there may be."""
        return (1 if self.alone else MOST_LAUNCHES) if self.launches is None else self.launches


def spec_from_json(data: Mapping[str, Any]) -> Spec:
    """Return the spec that ``run.json`` keeps."""
    own = {
        "backends": tuple(data["backends"]),
        "batches": tuple(data["batches"]),
        "shapes": {name: tuple(shape) for name, shape in data["shapes"].items()},
    }
    return Spec(**{**data, **own})


@dataclass(frozen=True, slots=True)
class Target:
    """A device with what a worker may use there, and the backends that are to run on it."""

    limits: Limits
    backends: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row to measure: model x backend x device x precision x batch x threads x scenario.

    Attributes:
        label: The backend's name, with ``#2`` where it is named again and with its precision and
            device where the rows of the run differ in these.
        group: Only cells of one group are compared, and alive together.
        binding: Which of the model's bindings it runs: those of a group share one, unless each has
            a batch of its own.
        file_precision: Of the model's file that it is given; a variant that narrows by its own
            means is given the model as it was.
    """

    id: int
    backend: str
    label: str
    batch: int | None
    group: int
    binding: int = 0
    limits: Limits
    precision: str
    file_precision: str = "fp32"
    scenario: str
    boundary: str

    @property
    def load(self) -> Scenario:
        """Return the scenario as data."""
        return parse_scenario(self.scenario)

    @property
    def samples(self) -> int:
        """Return the samples of one timed query."""
        load = self.load
        return load.samples if load.kind is Kind.MULTI_STREAM else self.batch or 1


def plan_cells(
    spec: Spec, targets: Sequence[Target], precisions: Mapping[str, str] | None = None
) -> tuple[Cell, ...]:
    """Return the cells of a comparison, batch by batch: each a group of its own.

    Within a batch size, precision by precision, and in each device by device.

    Args:
        spec: What was asked for.
        targets: The devices, and the backends of each in order.
        precisions: That of a backend whose variant is one, such as ``litert:int8``: it has one
            row, whatever precisions are asked for.
    """
    own = precisions or {}
    cells: list[Cell] = []
    for group, batch in enumerate(spec.batches or (None,)):
        for target, backend, precision in _settings(spec, targets, own):
            same = [c for c in cells if c.group == group and c.limits == target.limits]
            again = sum((c.backend, c.precision) == (backend, precision) for c in same) + 1
            name = f"{backend}#{again}" if again > 1 else backend
            narrowed = precision in IN_THE_FILE and backend not in own
            cells.append(
                Cell(
                    id=len(cells),
                    backend=backend,
                    label=_label(name, spec, targets, target, own.get(backend) or precision),
                    batch=batch,
                    group=group,
                    binding=group,
                    limits=target.limits,
                    precision=precision,
                    file_precision=precision if narrowed else "fp32",
                    scenario=str(spec.load),
                    boundary=spec.boundary,
                )
            )
    return tuple(cells)


def _settings(
    spec: Spec, targets: Sequence[Target], own: Mapping[str, str]
) -> Iterator[tuple[Target, str, str]]:
    """Yield device, backend and precision of each row of a group."""
    for place, (precision, target) in enumerate(product(spec.precisions, targets)):
        # A CPU has no TF32: asked for beside a GPU, it is the GPU that is meant.
        held = precision != "tf32" or target.limits.device != "cpu" or len(targets) == 1
        for backend in target.backends:
            if backend in own and place < len(targets):
                yield target, backend, own[backend]
            elif backend not in own and held:
                yield target, backend, precision


def _label(name: str, spec: Spec, targets: Sequence[Target], target: Target, precision: str) -> str:
    parts = [name]
    if len(spec.precisions) > 1 and not name.endswith(f":{precision}"):
        parts.append(precision)
    if len(targets) > 1:
        parts.append(target.limits.device)
    return " ".join(parts)
