"""From what one meter told in each window to a figure, or to why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from xbench.launches import launch_interval
from xbench.result import Interval
from xbench.telemetry.meter import Absent, Kind, Meter, MeterError
from xbench.telemetry.window import Trace

AGREEMENT = 0.05  # within which two meters of one device say the same
UNAVAILABLE = "unavailable:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What one meter told, or why it told nothing.

    Attributes:
        label: ``measured:counter``, ``measured:sampled``, ``estimated:<model>`` or
            ``unavailable:<reason>``.
        scope: What the energy belongs to, a `xbench.telemetry.meter.Scope`; scopes overlap.
        per_inference_j: Joules per inference, idle power included, with its interval over trials.
        load_w: Power while inferences run, in watts.
        idle_w: Power of the idle device with the model loaded, in watts.
        window_s: Length of one trial.
        update_period_s: How often the meter renews its value, at most.
        trials_j: Joules per inference in each trial.
        checks: By the name of another meter of the same device: this one's power over that one's.
        notes: What else a reader has to know.
        fix: For an unavailable figure: what to do.
    """

    meter: str
    device: str
    scope: str
    label: str
    per_inference_j: Interval | None = None
    load_w: Interval | None = None
    idle_w: Interval | None = None
    window_s: float | None = None
    update_period_s: float | None = None
    trials_j: tuple[float, ...] = ()
    checks: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fix: str | None = None

    @property
    def available(self) -> bool:
        """Return whether there is a number."""
        return not self.label.startswith(UNAVAILABLE)


@dataclass(slots=True)
class Tally:
    """What one meter told in the windows so far.

    Attributes:
        period_s: Its update period.
        refusal: Why it cannot serve such windows; then it is not read.
        failures: Why a window of inferences told nothing.
        idle_failures: Why a window of idling told nothing.
    """

    meter: Meter
    period_s: float
    refusal: MeterError | None = None
    load_w: list[float] = field(default_factory=list)
    idle_w: list[float] = field(default_factory=list)
    trials_j: list[float] = field(default_factory=list)
    failures: list[MeterError] = field(default_factory=list)
    idle_failures: list[MeterError] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)  # in order, each once

    def add_idle(self, trace: Trace) -> None:
        """Add a window in which the model was loaded and idle."""
        self._note(self.meter.others(True))
        try:
            self.idle_w.append(trace.watts())
        except MeterError as error:
            self.idle_failures.append(error)

    def add_load(self, trace: Trace, count: int, duration_s: float) -> None:
        """Add a window of ``count`` inferences in ``duration_s`` seconds."""
        self._note(self.meter.others(False))
        try:
            if count < 1:
                told = f"no inference was complete after {duration_s:.3g} s"
                raise MeterError(told, "Ask for longer windows")
            watts = trace.watts()
        except MeterError as error:
            self.failures.append(error)
            return
        self.load_w.append(watts)
        self.trials_j.append(watts * duration_s / count)

    def figure(self, window_s: float) -> Figure:
        """Return the figure of windows of that length."""
        problem = self.refusal or self._problem()
        if problem:
            return absent(_gone(self.meter, problem))
        self._note(_left_out("trials", len(self.trials_j), self.failures))
        if self.idle_failures and len(self.idle_w) < 2:
            self._note(f"idle power is not known: {self.idle_failures[0].reason}")
        else:
            self._note(_left_out("idle windows", len(self.idle_w), self.idle_failures))
        return Figure(
            meter=self.meter.name,
            device=self.meter.device,
            scope=self.meter.scope.value,
            label=_label(self.meter),
            per_inference_j=launch_interval([self.trials_j]),
            load_w=launch_interval([self.load_w]),
            idle_w=launch_interval([self.idle_w]) if len(self.idle_w) > 1 else None,
            window_s=window_s,
            update_period_s=self.period_s or None,
            trials_j=tuple(self.trials_j),
            notes=(*self.meter.notes, *self.notes),
        )

    def _problem(self) -> MeterError | None:
        """Return why the windows together tell nothing."""
        if len(self.trials_j) < 2 or len(self.failures) > len(self.trials_j):
            return self.failures[0]
        steady = len({*self.load_w, *self.idle_w}) == 1 and self.idle_w
        if self.meter.kind is Kind.POWER and steady:
            told = f"it reads {self.load_w[0]:.4g} W whether the model runs or not"
            return MeterError(told, "This meter does not follow the load and cannot be used")
        return None

    def _note(self, text: str | None) -> None:
        if text:
            self.notes[text] = None


def absent(meter: Absent) -> Figure:
    """Return the figure of a meter that is not there."""
    return Figure(
        meter=meter.name,
        device=meter.device,
        scope=meter.scope.value,
        label=UNAVAILABLE + meter.reason,
        fix=meter.fix,
    )


def checked(figures: Sequence[Figure]) -> list[Figure]:
    """Return the figures, those of one device and scope held against each other."""
    found = {figure.meter: figure for figure in figures}
    for a, b in combinations([one for one in figures if one.available], 2):
        if (a.device, a.scope) != (b.device, b.scope) or not (a.load_w and b.load_w):
            continue
        ratio = a.load_w.value / b.load_w.value
        found[a.meter] = _against(found[a.meter], b, ratio)
        found[b.meter] = _against(found[b.meter], a, 1 / ratio)
    return [found[figure.meter] for figure in figures]


def _against(figure: Figure, other: Figure, ratio: float) -> Figure:
    """Return a figure with what another meter of the same device says of it."""
    checks = {**figure.checks, other.meter: ratio}
    if abs(ratio - 1) <= AGREEMENT:
        return replace(figure, checks=checks)
    told = f"{other.meter} disagrees: this is {ratio:.3g} times what it says"
    return replace(figure, checks=checks, notes=(*figure.notes, told))


def _left_out(what: str, kept: int, failures: Sequence[MeterError]) -> str | None:
    if not failures:
        return None
    return f"{len(failures)} of {kept + len(failures)} {what} left out: {failures[0].reason}"


def _label(meter: Meter) -> str:
    if meter.kind is Kind.CONSTANT:
        return f"estimated:{meter.name}"
    return f"measured:{meter.kind.value}"


def _gone(meter: Meter, why: MeterError) -> Absent:
    return Absent(meter.name, meter.device, meter.scope, why.reason, why.fix)
