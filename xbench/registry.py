"""Backend names to adapters, by the entry points of the group ``xbench.adapters``.

Our adapters register exactly as a third party's do. Parent and worker both use this, and
the parent must not pay for a framework: an adapter's module imports its own lazily. A
plug-in that is broken, in whatever way, is an unavailable backend with a reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from xbench.adapter import Adapter, Availability
from xbench.errors import BackendUnavailableError, UnknownNameError

T = TypeVar("T")

GROUP = "xbench.adapters"
LISTING = "xbench backends"
OURS = ("onnxruntime", "openvino", "pytorch", "tensorflow", "keras", "litert", "tensorrt")
TEST_VARIABLE = "XBENCH_TEST_ADAPTERS"
TEST_ADAPTERS = {
    "null": "xbench.testing:NullAdapter",
    "busy": "xbench.testing.busy:BusyAdapter",
    "faulty": "xbench.testing.faulty:FaultyAdapter",
}
"""Found by name, in parent and worker, where the environment sets `TEST_VARIABLE` to 1."""


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """An adapter as `xbench backends` shows it.

    Attributes:
        name: What a backend's name begins with.
        variants: What each public variant does; empty where the plug-in is broken.
        availability: Whether it can run here, and what to do if not.
        distribution: The distribution that provides it, or None where that is unknown.
    """

    name: str
    variants: Mapping[str, str]
    availability: Availability
    distribution: str | None


def backend_names() -> tuple[str, ...]:
    """Return the names of all adapters: ours first, then the others by the alphabet."""
    found = _entry_points()
    return (*(n for n in OURS if n in found), *sorted(n for n in found if n not in OURS))


def parse_backend(backend: str) -> tuple[str, str]:
    """Return the adapter and the variant that a backend names; ``""`` is the default variant."""
    adapter, _, variant = backend.partition(":")
    return adapter, variant


def create(backend: str) -> Adapter:
    """Return a new adapter for ``backend``, such as ``pytorch:compile``.

    Raises:
        UnknownNameError: If there is no such adapter or variant.
        BackendUnavailableError: If the plug-in behind it is broken.
    """
    name, variant = parse_backend(backend)
    target = _target(backend, name)
    if variant not in target.variants:
        raise _unknown(backend)
    return target.create(variant)


def expand(
    requested: Sequence[str], native: str | None = None, device: str = "cpu"
) -> tuple[str, ...]:
    """Return the backends that ``requested`` stands for, in order.

    ``all`` stands for the default variant of every adapter and ``all+`` for every public
    variant, each without those that stand there already. One whose framework is missing
    stays: its row says why. Left out are those that run no ONNX files, unless the model is given
    in their own form, and those of other kinds of devices. A backend that is named twice stays
    twice: it is to be compared with itself.

    Args:
        requested: Names, ``all`` and ``all+``.
        native: The adapter that runs the model as it was given, or None.
        device: What they are to run on.

    Raises:
        UnknownNameError: If there is no such adapter or variant.
    """
    every = {"all": backend_names, "all+": _public}
    backends: list[str] = []
    for one in requested:
        if one in every:
            names = _taking(every[one](), native, device)
            backends += [name for name in names if name not in backends]
        else:
            _refuse_unknown(one)
            backends.append(one)
    return tuple(backends)


def made_for(backend: str, device: str) -> bool:
    """Return whether a backend is made for a device; a broken plug-in's row says what is wrong."""
    name, variant = parse_backend(backend)
    try:
        kinds = _target(backend, name).kinds_of(variant)
    except BackendUnavailableError:
        return True
    return not kinds or _kind(device) in kinds


def precisions(backends: Sequence[str]) -> dict[str, str]:
    """Return the precision of each backend whose variant is one; the others take any."""
    found: dict[str, str] = {}
    for backend in backends:
        name, variant = parse_backend(backend)
        try:
            own = _target(backend, name).precisions.get(variant)
        except BackendUnavailableError:
            continue
        if own:
            found[backend] = own
    return found


def listing() -> tuple[BackendInfo, ...]:
    """Return every adapter with its public variants, and whether it can run here."""
    return tuple(_info(name, point) for name, point in _in_order(_entry_points()))


@dataclass(frozen=True, slots=True)
class _Target:
    """What an entry point names, found sound.

    Attributes:
        make: Takes a variant and returns an adapter.
        variants: Every variant and what it does.
        hidden: Variants that are for us and not for people; an adapter may declare some.
        takes_onnx: Whether it runs ONNX files, and not only models in a form of its own.
        precisions: Of the variants that compute in one precision only.
        kinds: Of devices that it is made for, such as ``cuda``; empty is any.
        variant_kinds: The same of the variants that are made for others.
    """

    name: str
    make: Callable[[str], Adapter]
    variants: Mapping[str, str]
    hidden: frozenset[str]
    takes_onnx: bool
    precisions: Mapping[str, str]
    kinds: frozenset[str]
    variant_kinds: Mapping[str, frozenset[str]]

    def kinds_of(self, variant: str) -> frozenset[str]:
        """Return the kinds of devices that a variant is made for."""
        return self.variant_kinds.get(variant, self.kinds)

    def create(self, variant: str) -> Adapter:
        """Return a new adapter."""
        return _guarded(self.name, lambda: _sound(self.make(variant)))

    @property
    def public(self) -> dict[str, str]:
        """Return the variants that people may choose from."""
        return {v: meaning for v, meaning in self.variants.items() if v not in self.hidden}


def _entry_points() -> dict[str, EntryPoint]:
    """Return the entry point of each adapter; of two with one name, ours, or else the first."""
    return dict(_scan(tuple(sys.path)))


@cache  # every distribution's metadata is read, which takes as long as all the rest
def _scan(_: tuple[str, ...]) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: _distribution(p) or ""):
        if point.name not in found or _distribution(point) == "xbench":
            found[point.name] = point
    return found


def _in_order(found: Mapping[str, EntryPoint]) -> list[tuple[str, EntryPoint]]:
    return [(name, found[name]) for name in backend_names() if name in found]


def _distribution(point: EntryPoint) -> str | None:
    return point.dist.name if point.dist else None


def _target(backend: str, name: str) -> _Target:
    """Return what the adapter's entry point names.

    Raises:
        UnknownNameError: If there is no such adapter.
        BackendUnavailableError: If loading it fails in any way.
    """
    points = _entry_points()
    if os.environ.get(TEST_VARIABLE) == "1":
        points |= {n: EntryPoint(n, value, GROUP) for n, value in TEST_ADAPTERS.items()}
    if name not in points:
        raise _unknown(backend)
    return _load(points[name])


@cache  # a plug-in's module is imported once anyway; what it answered is kept with it
def _load(point: EntryPoint) -> _Target:
    def load() -> _Target:
        make = point.load()
        adapter = _sound(make(""))
        return _Target(
            name=point.name,
            make=make,
            variants=dict(adapter.variants),
            hidden=frozenset(getattr(adapter, "hidden", ())),
            takes_onnx=bool(getattr(adapter, "takes_onnx", True)),
            precisions=dict(getattr(adapter, "precisions", {})),
            kinds=frozenset(getattr(adapter, "kinds", ())),
            variant_kinds=dict(getattr(adapter, "variant_kinds", {})),
        )

    return _guarded(point.name, load)


def _sound(adapter: Any) -> Adapter:
    """Return what a plug-in made, if it is an adapter."""
    if not isinstance(adapter, Adapter):
        raise TypeError(f"its entry point makes a {type(adapter).__name__}, which is no adapter")
    return adapter


def _guarded(name: str, call: Callable[[], T]) -> T:
    """Return what a plug-in's code gives; whatever it raises is a reason to be unavailable.

    What it prints goes to stderr: stdout may be a document that another program reads.
    """
    try:
        with redirect_stdout(sys.stderr):
            return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plug-in may even exit; the other backends must still run
        what = f"the plug-in cannot be used ({type(error).__name__}: {_line(error)})"
        fix = "Repair or uninstall the distribution that provides it"
        raise BackendUnavailableError(name, what, fix) from error


def _line(error: BaseException) -> str:
    return next((line.strip()[:200] for line in str(error).splitlines() if line.strip()), "")


def _refuse_unknown(backend: str) -> None:
    """Raise if there is no such backend; a broken plug-in is not unknown, it gets its row."""
    name, variant = parse_backend(backend)
    try:
        target = _target(backend, name)
    except BackendUnavailableError:
        return
    if variant not in target.variants:
        raise _unknown(backend)


def _taking(backends: Sequence[str], native: str | None, device: str) -> list[str]:
    """Return the backends that are made for a device and a model, which may be of their form."""
    return [one for one in backends if _takes(one, native) and made_for(one, device)]


def _takes(backend: str, native: str | None) -> bool:
    name, _ = parse_backend(backend)
    try:
        return _target(backend, name).takes_onnx or name == native
    except BackendUnavailableError:
        return True  # its row says what is wrong with it


def _kind(device: str) -> str:
    """Return ``cpu`` or ``cuda``; a part of a GPU is named by its UUID."""
    return "cpu" if device == "cpu" else "cuda"


def _unknown(backend: str) -> UnknownNameError:
    return UnknownNameError("backend", backend, tuple(_public()), LISTING)


def _public() -> list[str]:
    """Return every backend that people may choose; a broken plug-in has its bare name."""
    return [
        f"{name}:{variant}" if variant else name
        for name, point in _in_order(_entry_points())
        for variant in _variants(point)
    ]


def _variants(point: EntryPoint) -> Mapping[str, str]:
    try:
        return _load(point).public
    except BackendUnavailableError:
        return {"": ""}


def _info(name: str, point: EntryPoint) -> BackendInfo:
    variants: Mapping[str, str] = {}
    try:
        target = _load(point)
        variants = target.public
        availability = _guarded(name, lambda: _available(target.create("")))
    except BackendUnavailableError as error:
        availability = Availability(None, (), error.reason.removeprefix(f"{name}: "), error.fix)
    return BackendInfo(name, variants, availability, _distribution(point))


def _available(adapter: Adapter) -> Availability:
    found = adapter.available()
    if not isinstance(found, Availability):
        raise TypeError(f"available() gives a {type(found).__name__}, not an Availability")
    return found
