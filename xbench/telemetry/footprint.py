"""From what each launch told of its memory to what a row says of it. Pure functions.

A row's `memory_bytes` names each figure for what it is:

- ``host``: the headline, the most that the worker and its children held from the loading of the
  model to the steady state: the highest ``peak`` of those phases. Bare interpreter, framework and
  inputs are in it, as they are in the memory of any process that runs the model.
- ``held``: in the steady state, resident memory less what the C library's allocator keeps free:
  how much that is differs by chance from launch to launch, and this does hardly.
- ``import``: the framework's tax, resident memory after its import less that before.
- ``inputs``: what the harness holds to feed it: NumPy, where it was not there yet, and input sets.
- ``convert`` among the phases, where an adapter makes a form of its own: another process's, and
  not counted.
- ``model``: what the model costs on top of these: ``peak`` while it loads and runs, ``resident``
  once it runs steadily.

So ``host`` is the interpreter's resident memory and ``import``, ``inputs`` and ``model.peak``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Told = Mapping[str, Any]
"""What one launch told: see `xbench.telemetry.memory.with_children`."""

OF_MODEL = ("load", "first", "warm", "steady")


def of_row(launches: Sequence[Told]) -> dict[str, Any]:
    """Return what a row says of the host's memory, in bytes: medians, with least and most.

    Nothing where no launch told anything; None where the kernel did not tell.
    """
    if not launches:
        return {}
    last = launches[-1]
    peaks = spread([host_peak(told) for told in launches])
    return {
        "host": peaks["median"] if peaks else None,
        "peak": peaks,
        "held": spread([held(told) for told in launches]),
        "import": spread([_between(told, "import", "interpreter") for told in launches]),
        "inputs": spread([_between(told, "inputs", "import") for told in launches]),
        "model": {
            "peak": spread([_less(host_peak(told), _rss(told, "inputs")) for told in launches]),
            "resident": spread([_between(told, "steady", "inputs") for told in launches]),
        },
        "phases": {phase: _medians(launches, phase) for phase in last["phases"]},
        "child_at_most": max((told["child_at_most"] or 0 for told in launches), default=0) or None,
        "children_seen": all(told["children_seen"] for told in launches),
        "not_reset": next((told["not_reset"] for told in launches if told["not_reset"]), None),
        "options": last["options"],
    }


def host_peak(told: Told) -> int | None:
    """Return the most that one launch held from load to the steady state, in bytes."""
    peaks = [told["phases"][phase]["peak"] for phase in OF_MODEL]
    return None if None in peaks else max(peaks)


def held(told: Told) -> int | None:
    """Return what one launch held in the steady state without what its allocator kept free."""
    steady = told["phases"]["steady"]
    return _less(steady["rss"], steady.get("free"))


def relative_spread(launches: Sequence[Told]) -> float:
    """Return how far apart the launches' peaks lie, as a share of their median; 0 if unknown."""
    return width(spread([host_peak(told) for told in launches])) or 0.0


def width(sizes: Mapping[str, int] | None) -> float | None:
    """Return how far least and most lie apart, as a share of the median; None if unknown."""
    if sizes is None or not sizes["median"]:
        return None
    return (sizes["max"] - sizes["min"]) / sizes["median"]


def doubts(launches: Sequence[Told]) -> tuple[str, ...]:
    """Return why the figures may not be what they are taken for; none where they are."""
    found = []
    if reason := next((told["not_reset"] for told in launches if told["not_reset"]), None):
        found.append(
            f"the high-water mark could not be reset ({reason}), so it includes the import"
        )
    if not all(told["children_seen"] for told in launches):
        found.append("this kernel does not list children, so those that have ended were not seen")
    swapped = [phase["swap"] or 0 for told in launches for phase in told["phases"].values()]
    if any(swapped):
        found.append(f"up to {max(swapped) / 1e6:.0f} MB were swapped out, and count nowhere")
    return tuple(found)


def _rss(told: Told, phase: str) -> int | None:
    rss: int | None = told["phases"][phase]["rss"]
    return rss


def _between(told: Told, phase: str, before: str) -> int | None:
    return _less(_rss(told, phase), _rss(told, before))


def _less(size: int | None, base: int | None) -> int | None:
    return None if size is None or base is None else size - base


def _medians(launches: Sequence[Told], phase: str) -> dict[str, int | None]:
    told = [one["phases"][phase] for one in launches]
    spreads = {name: spread([phase.get(name) for phase in told]) for name in told[-1]}
    return {name: found["median"] if found else None for name, found in spreads.items()}


def spread(sizes: Sequence[int | None]) -> dict[str, int] | None:
    """Return median, least and most; None where a launch could not tell."""
    known = [size for size in sizes if size is not None]
    if not known or len(known) < len(sizes):
        return None
    return {"median": round(median(known)), "min": min(known), "max": max(known)}
