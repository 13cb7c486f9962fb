"""What stands beside a sizing's tables: floors, doubts, what the numbers rest on, what to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from xbench.cautions import Code
from xbench.load.slo import WORDS
from xbench.report.sizing_figures import limit_text, threads_text
from xbench.report.text import clean
from xbench.sizing.answer import Sizing
from xbench.sizing.transfer import COMPUTE_REACHED, MEMORY_REACHED, MOST_THREADS
from xbench.sizing.trial import Verdict
from xbench.tuning.command import options
from xbench.units import format_s, format_share

FIGURES = {
    "datasheet": "By the makers' figures",
    "measured-elsewhere": "By figures that others measured",
    "estimate": "By estimated figures",
}
DISTURBED = (Code.DISTURBED.value, Code.MACHINE_LOADED.value)
OWN_DOING = (Code.BUDGET_SPENT.value, Code.QUICK.value)  # what `xbench size` asks of its runs


def assumptions(found: Sizing) -> Iterator[tuple[str, str]]:
    """Yield what the numbers rest on, each with a label."""
    demand = found.demand
    verdicts = {one.verdict for one in found.answers}
    yield (
        "load",
        (
            f"{demand.rate_per_s:g} inferences a second, {demand.slo} from a request's arrival;"
            f" each device is loaded to {format_share(demand.most_load)} at most. Poisson"
            " arrivals, split at random, one queue a device (M/G/1) with the measured service times"
        ),
    )
    if verdicts & {Verdict.FITS, Verdict.MAY_FIT, Verdict.MISSES}:
        yield (
            "low end",
            (
                "the device comes as near to its peak figures as the backend came to what this host"
                " reaches, with all its cores"
            ),
        )
        yield (
            "high end",
            (
                f"it reaches {format_share(COMPUTE_REACHED)} of its peak arithmetic with at most"
                f" {MOST_THREADS} times the threads measured here, and"
                f" {format_share(MEMORY_REACHED)} of its bandwidth; nothing overlaps, or stays in"
                " a cache"
            ),
        )
        yield "shape", "service times spread on the device as they do here"
    yield (
        "memory",
        (
            "the peak of a process with Python, backend and model here; a device leaves to it what"
            " its profile says"
        ),
    )
    if any(one.profile.accelerators for one in found.answers):
        yield "left out", "GPUs, NPUs and TPUs of the devices: only their CPU cores are sized"


def cautions(found: Sizing) -> tuple[tuple[str, str], ...]:
    """Return the doubts about the rows that answers rest on: a code, and about whom."""
    told: dict[str, dict[str, None]] = {}
    for one in (one.trial.measured for one in found.answers if one.trial):
        for code, _ in one.doubts:
            whose = f"{clean(one.name)} ({threads_text(one.threads)})"
            if code not in OWN_DOING:
                told.setdefault(clean(code), {})[whose] = None
    return tuple((code, ", ".join(whose)) for code, whose in told.items())


def legend(found: Sizing) -> Iterator[str]:
    """Yield how the table is read."""
    shown = {one.verdict for one in found.answers}
    yield "Below each figure stands what is left of it at the worst end, down to the limit."
    if Verdict.MAY_FIT in shown:
        yield (
            "`may fit`: not at the high end of its range; the devices are those at the low end,"
            " and the latency is that of a request alone."
        )


def floors(found: Sizing) -> str:
    """Return the floor of each device, by how sure its figures are; nothing where none has one."""
    told: dict[str, dict[str, None]] = {}
    for one in found.answers:
        if one.floor_s is not None and one.profile.confidence:
            text = f"{clean(one.profile.family)} {format_s(one.floor_s)}"
            told.setdefault(one.profile.confidence, {})[text] = None
    return " ".join(f"{FIGURES[how]}: {', '.join(told[how])}." for how in FIGURES if how in told)


def commands(found: Sizing) -> tuple[str, ...]:
    """Return how to measure on a device itself what is modelled here, for each backend."""
    slo = found.demand.slo
    assert slo is not None
    good = [one.trial.measured.row for one in found.answers if one.trial and one.devices_least]
    limit = f"{WORDS[slo.percentile]}={limit_text(slo.limit_s)}"
    asked = ["--scenario", "server", "--slo", limit, *options(found.spec)]
    return tuple(
        clean(shlex.join(["xbench", "compare", found.model, "--backends", backend, *asked]))
        for backend in dict.fromkeys(one.name.partition(" ")[0] for one in good)
    )
