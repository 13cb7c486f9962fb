"""What scripts give their workers: the jobs of a comparison, without the comparison around them."""

from __future__ import annotations

from collections.abc import Sequence

from xbench.catalog import resolve
from xbench.device import limits_for
from xbench.interrupts import Interrupts
from xbench.members import Job
from xbench.model import read_model
from xbench.plan import Spec, Target, plan_cells
from xbench.preparation import Bindings, make_jobs, terms_of
from xbench.progress import Silent
from xbench.registry import expand, precisions
from xbench.store import RunFolder


def jobs_of(
    model: str, backends: Sequence[str], threads: int | None, run: RunFolder, stop: Interrupts
) -> tuple[Job, ...]:
    """Return a job for each backend on this machine's CPU, as `xbench compare` makes them.

    Raises:
        XbenchError: If a name is wrong, or the model cannot be read.
    """
    spec = Spec(model=model, backends=tuple(backends), threads=threads)
    limits = limits_for(spec.threads, spec.device)
    resolved = resolve(spec.model, spec.seed, Silent(), stop.wake_fd, terms_of(spec))
    read = read_model(resolved.path, resolved.name)
    named = expand(spec.backends, resolved.framework, spec.device)
    cells = plan_cells(spec, [Target(limits, named)], precisions(named))
    bound = Bindings(spec, read, resolved)
    return make_jobs(spec, read, cells, bound, run, Silent(), stop.wake_fd).jobs
