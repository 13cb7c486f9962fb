"""What a measured server says of answers that a queue was worked out for.

A single stream keeps threads awake and caches warm. A server sleeps between requests, and may be
slower by more than its queue. Where it was measured, it goes before what was worked out: here for
this host's own caps, and as a doubt for every device that was modelled from the same rows.
"""

from __future__ import annotations

from dataclasses import replace

from xbench.procurement.fleet import LONGER, Demand, Fleet, devices_for, fleet
from xbench.sizing.judge import Answer, Headroom
from xbench.sizing.rows import Measured
from xbench.sizing.trial import Trial, Verdict, at_load_s
from xbench.units import format_s


def as_served(answer: Answer, served: Measured | None, demand: Demand) -> Answer:
    """Return an answer with what the server of the same backend was measured to do."""
    trial = answer.trial
    if trial is None or served is None or served.name != trial.measured.name:
        return answer
    if trial.scale is None:
        return _here(answer, trial, served, demand)
    return _modelled(answer, trial, served, demand)


def _here(answer: Answer, trial: Trial, served: Measured, demand: Demand) -> Answer:
    """Return the answer for a device like this host: the measurement decides."""
    assert demand.slo is not None
    percentile, found = demand.slo.percentile, fleet(served.row, demand)
    if devices_for(demand.rate_per_s, served.row.scenario.rate_per_s) != answer.devices:
        return answer  # it was measured at the rate of another number of devices
    if isinstance(found, Fleet):
        return replace(answer, trial=replace(trial, here=found, latency_s=found.latency_s))
    return replace(
        answer,
        verdict=Verdict.UNKNOWN if found.fix == LONGER else Verdict.MISSES_CAPPED,
        reason=f"as a server {found.reason}",
        fix=found.fix or None,
        trial=replace(trial, here=found, latency_s=served.row.latency_s.get(percentile)),
        devices=None,
        devices_least=None,
        headroom=Headroom(None, answer.headroom.memory, None),
    )


def _modelled(answer: Answer, trial: Trial, served: Measured, demand: Demand) -> Answer:
    """Return the answer for a device: no surer than the queue proved to be here."""
    assert demand.slo is not None
    seen = served.row.latency_s.get(demand.slo.percentile)
    rate_per_s = served.row.scenario.rate_per_s
    worked_out = at_load_s(trial.measured.row, replace(demand, rate_per_s=rate_per_s), 1)
    if answer.verdict is not Verdict.FITS:
        return answer
    if served.saturated:
        what = f"could not keep up with {rate_per_s:g} a second"
    elif seen and seen.low > worked_out.high:
        what = f"took {format_s(seen.low)} to {format_s(seen.high)}"
    else:
        return answer
    return replace(
        answer,
        verdict=Verdict.MAY_FIT,
        reason=(
            f"as a server here it {what}, where the queue that was worked out takes at most"
            f" {format_s(worked_out.high)}"
        ),
        fix="Measure it as a server on the device itself",
        devices=None,
        headroom=Headroom(None, answer.headroom.memory, None),
    )
