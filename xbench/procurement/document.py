"""A procurement as the JSON document of `xbench procure --json`.

Schema history (``schema`` is in every document):

1. First version.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from xbench.procurement.answer import Meeting, Procurement
from xbench.procurement.doubts import doubts
from xbench.procurement.evidence import Evidence
from xbench.procurement.quotes import Quote
from xbench.result import Interval

SCHEMA = 1


def to_json(found: Procurement) -> dict[str, Any]:
    """Return the document; money is in ``currency``, and every other unit in its key."""
    prices, demand = found.prices, found.demand
    slo = demand.slo
    return {
        "schema": SCHEMA,
        "kind": "procurement",
        "model": {"name": found.evidence[0].model, "sha256": found.evidence[0].model_sha256},
        "currency": prices.currency,
        "prices": {
            "path": prices.path,
            "date": prices.dated.isoformat(),
            "utilisation_share": prices.utilisation_share,
            "options": [asdict(option) for option in prices.options],
        },
        "demand": {
            "rate_per_s": demand.rate_per_s,
            "slo": {"percentile": slo.percentile, "limit_s": slo.limit_s} if slo else None,
            "most_load": demand.most_load,
            "inferences_per_year": found.inferences_per_year,
        },
        "runs": [_run(one) for one in found.evidence],
        "quotes": [_quote(one) for one in found.quotes],
        "not_priced": [asdict(one) for one in found.refusals],
        "break_even": _meeting(found.meeting) if found.meeting else None,
        "cautions": list(doubts(found)),
    }


def _run(one: Evidence) -> dict[str, Any]:
    return {"path": one.path, "run_id": one.run, "host_id": one.host_id}


def _quote(quote: Quote) -> dict[str, Any]:
    row, fleet, power = quote.row, quote.fleet, quote.power
    return {
        "option": quote.option.name,
        "row": row.name,
        "run_id": row.run,
        "device": row.device,
        "device_model": row.device_model,
        "precision": row.precision,
        "batch": row.batch,
        "scenario": str(row.scenario),
        "devices": asdict(fleet.devices),
        "units": asdict(quote.units),
        "evidence": fleet.evidence,
        "load_share": fleet.load_share,
        "per_device_per_s": asdict(fleet.per_device_per_s),
        "latency_s": _interval(fleet.latency_s),
        "loss": row.loss,
        "energy": {
            "label": power.label,
            "per_inference_j": _interval(power.per_inference_j),
            "idle_w": asdict(power.idle_w),
            "idle": power.idle,
        },
        "inferences_per_j": _interval(quote.per_joule),
        "inferences_per_kwh": _interval(quote.per_kwh),
        "cost_per_million": asdict(quote.cost_per_million),
        "cost_per_hour": asdict(quote.cost_per_hour),
        "cost_per_year": asdict(quote.cost_per_year),
        "verdict": quote.verdict,
        "on_latency_front": quote.on_latency_front,
        "on_loss_front": quote.on_loss_front,
    }


def _meeting(meeting: Meeting) -> dict[str, Any]:
    told = meeting.break_even
    pair = (meeting.bought.name, meeting.rented.name)
    return {
        "bought": pair[0],
        "rented": pair[1],
        "outcome": told.outcome.value,
        "inferences_per_year": _interval(told.inferences_per_year),
        "cheaper_below": None if told.below is None else pair[told.below],
    }


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return asdict(interval) if interval else None
