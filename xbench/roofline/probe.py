"""A short probe of what this machine reaches, under the caps of a row; nothing runs in the parent.

First NumPy's loops and products, in a process of their own; then, for each precision, the backends
on a model of products, one after the other while the time for it lasts. The best of all is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any

import psutil

from xbench import cgroup
from xbench.adapter import Limits
from xbench.device import CPU, allowed_cpus, kind_of
from xbench.errors import WorkerError, XbenchError
from xbench.process import WorkerProcess
from xbench.progress import Progress, Silent
from xbench.registry import create, expand
from xbench.roofline.caches import cache_bytes
from xbench.roofline.ceilings import Ceiling, Ceilings, best_of, none_of
from xbench.roofline.products import (
    Products,
    RefusedError,
    candidates,
    rates,
    width_for,
    write_products,
)

if TYPE_CHECKING:
    from xbench.interrupts import Interrupts

KERNELS = "xbench.roofline.kernels"
ARRAYS = 3
BEYOND_CACHES = 4  # each array is so many times the caches, as STREAM's rules have it
UNKNOWN_CACHES_BYTES = 32 * 2**20  # where the kernel does not tell
MEMORY_SHARE = 0.25  # of what is there, for all arrays together
TIMEOUT_S = 60.0
FAST_FLOPS_PER_S = 1e11  # taken for the width of products where NumPy's rate is not known
BUDGET_S = {"fp32": 0.5}  # NumPy knows it already: the first backend confirms it
OTHER_BUDGET_S = 10.0
NO_GPU = "the probe knows CPUs only"
NO_TF32 = "it is arithmetic of NVIDIA GPUs, and a CPU has none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard to try; tests try little.

    Attributes:
        sizes: Sides of NumPy's matrices, smallest first.
        tries: Most of each loop and product.
        loop_s: About the seconds for each loop, and for each size.
        array_bytes: Of each of the loops' arrays; None follows from caches and memory.
        width: Of the backends' products; None follows from NumPy's rate.
    """

    sizes: tuple[int, ...] = (512, 1024, 2048)
    tries: int = 6
    loop_s: float = 0.15
    array_bytes: int | None = None
    width: int | None = None


FULL = Effort()


def free_of_memory(limits: Limits) -> Limits:
    """Return the caps that decide how fast a row can be: all but that on its memory.

    The loops' arrays are no part of a model, and a cap on memory slows nothing down.
    """
    return replace(limits, memory_bytes=None, profile=None)


def probe(
    limits: Limits,
    precisions: Sequence[str],
    backends: Sequence[str],
    stop: Interrupts,
    *,
    progress: Progress | None = None,
    effort: Effort = FULL,
) -> Ceilings:
    """Return what a row under these limits can reach at the most; None, with why, where unknown.

    It takes some 5 s for bandwidth and fp32, and up to about 15 s for each other precision.

    Args:
        limits: The caps of the row; see `free_of_memory`.
        precisions: Whose FLOP/s are wanted.
        backends: Whom to ask besides NumPy, in order.
        stop: Wakes the wait when the user asks to stop.
        progress: Hears of each step.
        effort: How hard to try.

    Raises:
        UnknownNameError: If there is no such backend.
        InterruptedRunError: If the user asked to stop.
    """
    expand(backends)  # a wrong name is told before anything is started
    start_s = monotonic()
    found = Ceilings(
        device=limits.device,
        threads=limits.threads,
        caches_bytes=cache_bytes(limits.cpus or allowed_cpus()),
        bandwidth=none_of(NO_GPU),
        flops={one: none_of(NO_GPU) for one in precisions},
    )
    if kind_of(limits.device) == CPU:
        found = _Probe(free_of_memory(limits), stop, progress or Silent(), effort).run(
            found, backends
        )
    return replace(found, seconds=monotonic() - start_s)


def installed(device: str) -> tuple[str, ...]:
    """Return the backends for a device that are installed, in the registry's order."""
    return tuple(one for one in expand(("all",), device=device) if _is_installed(one))


def array_bytes(caches_bytes: int | None, memory_bytes: int) -> tuple[int, str | None]:
    """Return the bytes of each array of the loops, and why the bandwidth cannot be told with them.

    Args:
        caches_bytes: Of the caches together, or None.
        memory_bytes: That the loops could have.
    """
    caches = caches_bytes or UNKNOWN_CACHES_BYTES
    most = int(memory_bytes * MEMORY_SHARE) // ARRAYS
    if most < caches:
        return most, "there is too little memory for arrays that the caches do not hold"
    return min(BEYOND_CACHES * caches, most), None


class _Probe:
    """The steps, under one set of limits."""

    def __init__(
        self, limits: Limits, stop: Interrupts, progress: Progress, effort: Effort
    ) -> None:
        self._limits, self._stop, self._progress, self._effort = limits, stop, progress, effort

    def run(self, blank: Ceilings, backends: Sequence[str]) -> Ceilings:
        """Return ``blank`` with what was found.

        NumPy is asked before the backends and after them: a virtual machine may be slower for
        seconds, and then a limit would be too low.
        """
        bandwidth, numpy = self._host(blank.caches_bytes)
        with TemporaryDirectory(prefix="xbench-roofline-") as folder:
            flops = self._by_backends(Path(folder), blank, backends, numpy)
        again, more = self._host(blank.caches_bytes)
        if "fp32" in flops:
            flops["fp32"] = better(better(numpy, more), flops["fp32"])
        return replace(blank, bandwidth=better(bandwidth, again), flops=flops)

    def _by_backends(
        self, folder: Path, blank: Ceilings, backends: Sequence[str], numpy: Ceiling
    ) -> dict[str, Ceiling]:
        """Return the operations a second that backends reach, by precision."""
        width = self._effort.width or width_for(numpy.per_s or FAST_FLOPS_PER_S)
        try:
            products = write_products(folder, width)
        except (OSError, XbenchError) as error:  # a full disk
            lost = none_of(f"no model of products could be written ({error})")
            return dict.fromkeys(blank.flops, lost)
        return {one: self._flops(one, backends, products) for one in blank.flops}

    def _host(self, caches_bytes: int | None) -> tuple[Ceiling, Ceiling]:
        """Return the bandwidth, and what NumPy multiplies."""
        self._progress.phase("finding this machine's bandwidth and FLOP/s")
        effort, threads = self._effort, self._limits.threads
        size, too_little = array_bytes(caches_bytes, _memory_bytes())
        common = {"tries": effort.tries, "seconds": effort.loop_s}
        stream = {"do": "stream", "bytes": effort.array_bytes or size, "threads": threads}
        multiply = {"do": "multiply", "sizes": effort.sizes}
        try:
            process = WorkerProcess(KERNELS, self._limits, self._stop)
        except OSError as error:
            lost = none_of(f"its process could not be started ({error})")
            return lost, lost
        try:
            if too_little and not effort.array_bytes:
                bandwidth = none_of(too_little)
            else:
                bandwidth = _asked(process, {**stream, **common}, "{}")
            return bandwidth, _asked(process, {**multiply, **common}, "numpy {0}x{0}")
        finally:
            process.end()

    def _flops(self, precision: str, backends: Sequence[str], products: Products) -> Ceiling:
        """Return the operations a second at a precision, of the best that could be asked."""
        if precision == "tf32":
            return none_of(NO_TF32)
        deadline_s = monotonic() + BUDGET_S.get(precision, OTHER_BUDGET_S)
        tries: dict[str, list[float]] = {}
        refused: dict[str, str] = {}
        for backend in candidates(tuple(backends), precision):
            if monotonic() >= deadline_s:
                refused[backend] = "not asked: the time for it was over"
                continue
            self._progress.phase(f"finding the FLOP/s of {backend} at {precision}")
            try:
                tries[backend] = rates(backend, precision, products, self._limits, self._stop)
            except RefusedError as error:
                refused[backend] = str(error)
        return best_of(tries, refused)


def better(one: Ceiling, other: Ceiling) -> Ceiling:
    """Return the higher of two limits, with the ways of both: of one tried twice, its better."""
    ways = {**one.ways, **other.ways}
    for way, rate in one.ways.items():
        later = other.ways.get(way)
        if isinstance(rate, float) and not (isinstance(later, float) and later > rate):
            ways[way] = rate
    if one.per_s is None and other.per_s is None:
        reasons = dict.fromkeys(filter(None, (one.reason, other.reason)))
        return replace(one, reason="; ".join(reasons), ways=ways)
    return replace(max(one, other, key=lambda ceiling: ceiling.per_s or 0.0), ways=ways)


def _asked(process: WorkerProcess, job: dict[str, Any], name: str) -> Ceiling:
    """Return the best that the process of NumPy's loops told, each way named by ``name``."""
    try:
        told = process.ask(job, TIMEOUT_S)
    except WorkerError as error:
        return none_of(error.reason)
    if "error" in told:
        return none_of(told["error"]["reason"])
    return best_of({name.format(way): rates for way, rates in told["rates"].items()})


def _memory_bytes() -> int:
    """Return the memory that is there for a worker."""
    free_bytes = psutil.virtual_memory().available
    return min(free_bytes, cgroup.memory_limit_bytes() or free_bytes)


def _is_installed(backend: str) -> bool:
    try:
        found = create(backend).available()
    except XbenchError:
        return False
    return found.version is not None and found.reason is None
