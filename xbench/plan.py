"""From what was asked for to the cells to measure: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xbench.adapter import Limits

PLANNED_LAUNCHES = 5  # that the time is shared among
MOST_LAUNCHES = 15  # where intervals are still wide and time is left


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What was asked for, as `xbench compare` or `xbench.compare` was given it.

    Attributes:
        model: A path, or a name from `xbench models`.
        backends: ``adapter`` or ``adapter:variant``; the first is the baseline. A backend
            named twice is measured against itself.
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
    """

    model: str
    backends: tuple[str, ...] = ("all",)
    device: str = "cpu"
    batches: tuple[int, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    threads: int | None = None
    precision: str = "fp32"
    scenario: str = "single-stream"
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

    @property
    def planned_launches(self) -> int:
        """Return how many launches the time is shared among."""
        return PLANNED_LAUNCHES if self.launches is None else self.launches

    @property
    def most_launches(self) -> int:
        """Return how many launches there may be."""
        return MOST_LAUNCHES if self.launches is None else self.launches


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row to measure: model x backend x device x precision x batch x threads x scenario."""

    id: int
    backend: str
    label: str
    batch: int | None
    group: int
    limits: Limits
    precision: str
    scenario: str
    boundary: str


def plan_cells(
    spec: Spec,
    backends: tuple[str, ...],
    limits: Limits,
    precisions: Mapping[str, str] | None = None,
) -> tuple[Cell, ...]:
    """Return the cells of a comparison: every backend at every batch size, batch by batch.

    A batch size is a group: only cells of one group are compared, and alive together. A
    backend that is named again gets a label of its own, such as ``onnxruntime#2``.

    Args:
        spec: What was asked for.
        backends: Every backend, in order.
        limits: What a worker may use.
        precisions: That of a backend whose variant is one, such as ``litert:int8``.
    """
    cells: list[Cell] = []
    for group, batch in enumerate(spec.batches or (None,)):
        for place, backend in enumerate(backends):
            again = backends[:place].count(backend)
            cells.append(
                Cell(
                    id=len(cells),
                    backend=backend,
                    label=f"{backend}#{again + 1}" if again else backend,
                    batch=batch,
                    group=group,
                    limits=limits,
                    precision=(precisions or {}).get(backend, spec.precision),
                    scenario=spec.scenario,
                    boundary=spec.boundary,
                )
            )
    return tuple(cells)
