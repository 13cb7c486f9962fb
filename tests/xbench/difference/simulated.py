"""Documents of runs that never were, whose scatter is known, and what a diff says of them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cache
from math import exp, log, log1p, sqrt
from pathlib import Path
from typing import Any

from tests.xbench.report.runs import cell, interval, run_of
from xbench.difference.answer import Difference, Terms, diff
from xbench.difference.past import Past
from xbench.difference.sides import Row, Side, side_of

HOST = "0123456789ab"
PLANTED = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host, and how its runs scatter, as logarithms: 0.01 is one per cent.

    Attributes:
        rows: Of each run.
        own_sd: Of a row's own movement between runs.
        machine_sd: Of the movement of all rows.
        within_sd: Of what a run's own launches leave open.
    """

    rows: int = 4
    own_sd: float = 0.005
    machine_sd: float = 0.03
    within_sd: float = 0.001

    def draw(self, rng: random.Random, slower: Mapping[int, float] | None = None) -> list[float]:
        """Return the median of each row in nanoseconds; some are slower by a share, by place."""
        shared, sd = rng.gauss(0, self.machine_sd), sqrt(self.own_sd**2 + self.within_sd**2)
        changes = [log1p((slower or {}).get(row, 0.0)) for row in range(self.rows)]
        return [
            1e6 * (1 + row / 7) * exp(shared + change + rng.gauss(0, sd))
            for row, change in enumerate(changes)
        ]


@cache
def _template(rows: int) -> dict[str, Any]:
    cells = tuple(cell(n, f"backend{n}", 1e6, n + 1, backend_version="1.0") for n in range(rows))
    host = {
        "host_id": HOST,
        "devices": [{"name": "cpu", "model": "A CPU", "details": {"cores": 2}}],
        "governor": "performance",
        "turbo": False,
        "smt": False,
        "affinity": [0, 1],
        "control_group": {"version": 2, "cpu_quota": None, "memory_limit_bytes": None},
        "kernel": "Linux 6.1",
        "versions": {"xbench": "0.1.0"},
        "environment": {},
    }
    return dict(json.loads(json.dumps(run_of(cells, host=host).to_json())))


def document(
    p50_ns: Sequence[float], run_id: str = "run", *, width: float = 0.002, **host: Any
) -> dict[str, Any]:
    """Return a document of one row for each median, with the ratios of the rows to the first."""
    made = deepcopy(_template(len(p50_ns)))
    made["run_id"] = run_id
    made["host"] |= host
    for row, median_ns in zip(made["results"], p50_ns, strict=True):
        row["latency_ns"]["p50"] = asdict(interval(median_ns, width / 2))
        row["throughput_per_s"] = asdict(interval(1e9 / median_ns, width))
    made["comparisons"] = list(_comparisons(made["results"], p50_ns, width))
    return made


def _comparisons(
    rows: Sequence[dict[str, Any]], p50_ns: Sequence[float], width: float
) -> Iterator[dict[str, Any]]:
    for row, median_ns in zip(rows[1:], p50_ns[1:], strict=True):
        yield {
            "baseline": rows[0]["label"],
            "candidate": row["label"],
            "baseline_id": rows[0]["id"],
            "candidate_id": row["id"],
            "ratio": asdict(interval(p50_ns[0] / median_ns, width)),
            "verdict": "tie",
        }


def side(told: dict[str, Any]) -> Side:
    return side_of(told, str(told["run_id"]))


def past(*p50_ns: Sequence[float]) -> list[Past]:
    """Return earlier runs of the same rows as a store remembers them, from their medians."""
    return [
        Past(f"earlier{n}", f"{n:09d}", row.key, row.version, HOST, log(median_ns))
        for n, run in enumerate(p50_ns)
        for row, median_ns in zip(_rows(len(run)), run, strict=True)
    ]


@cache
def _rows(count: int) -> tuple[Row, ...]:
    return side(_template(count)).rows


def between(
    first: Sequence[float], second: Sequence[float], *earlier: Sequence[float], **terms: Any
) -> Difference:
    """Return what a diff says of two runs by the medians of their rows."""
    asked = Terms(**{"fail_slower": True} | terms)
    sides = side(document(first, "first")), side(document(second, "second"))
    return diff(*sides, asked, past(*earlier))


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of pairs of runs with an alarm.

    Attributes:
        unchanged: Where nothing was changed.
        planted: Of the row that was made slower by 5 %.
        besides: Of other rows than that one.
        together: Where all rows were slower by 20 %, as when a machine is.
    """

    unchanged: float
    planted: float
    besides: float
    together: float


def error_rates(machine: Machine, *, history: int, pairs: int, seed: int = 0) -> Rates:
    """Return how often a diff alarms on runs that are drawn."""
    rng = random.Random(seed)
    count: Counter[str] = Counter()
    for number in range(pairs):
        earlier = [machine.draw(rng) for _ in range(history)]
        first, row = machine.draw(rng), number % machine.rows
        name = f"backend{row}"
        count["unchanged"] += bool(between(first, machine.draw(rng), *earlier).alarms)
        all_slower = dict.fromkeys(range(machine.rows), 0.2)
        count["together"] += bool(between(first, machine.draw(rng, all_slower), *earlier).alarms)
        planted = between(first, machine.draw(rng, {row: PLANTED}), *earlier)
        rows = {alarm.row for alarm in planted.alarms}
        count["planted"] += name in rows
        count["besides"] += bool(rows - {name})
    return Rates(**{name: count[name] / pairs for name in Rates.__dataclass_fields__})


def write_store(folder: Path, cells: int, hosts: int) -> tuple[str, str]:
    """Write runs of that many cells in all, ten rows each, and return two of one host."""
    machine, rng, rows = Machine(rows=10), random.Random(0), 10
    for number in range(cells // rows):
        host = f"{number % hosts:012x}"
        name = f"20260101-{number:06d}-toy"
        told = document(machine.draw(rng), name, host_id=host)
        (folder / name).mkdir()
        (folder / name / "result.json").write_text(json.dumps(told), encoding="utf-8")
    return f"20260101-{0:06d}-toy", f"20260101-{hosts:06d}-toy"
