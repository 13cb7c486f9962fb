"""Runs as the two files that the action github-action-benchmark reads.

The action's custom formats are lists of ``name``, ``unit``, ``value``, ``range`` and ``extra``;
which of its two tools reads a file says whether less or more is better. The action turns ``range``
into a number only where a digit and something more follow the sign, and puts names and extras into
Markdown: ``src/extract.ts``, ``src/extractRangeInfo.ts`` and ``src/write.ts`` of
benchmark-action/github-action-benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from xbench.publishing.measures import Measure
from xbench.publishing.names import bounded
from xbench.publishing.rows import Published, Row
from xbench.publishing.series import left_out_text, told_rows

SMALLER, BIGGER = "customSmallerIsBetter", "customBiggerIsBetter"
MEASURES = {
    SMALLER: {
        "latency_p50_ms": ("p50", "ms"),
        "latency_p99_ms": ("p99", "ms"),
        "memory_peak_bytes": ("peak memory", "B"),
        "energy_per_inference_j": ("energy per inference", "J"),
    },
    BIGGER: {
        "throughput_per_s": ("throughput", "inferences/s"),
        "load_held_rate_per_s": ("largest rate that keeps to the limit", "requests/s"),
    },
}
"""By the action's tool: each measure's words and unit."""

LONGEST_NAME = 400  # bytes: it becomes a chart's title
_MARKUP = re.compile(r"[|<>`*\[\]\\]")


def documents(runs: Sequence[Published]) -> dict[str, list[dict[str, Any]]]:
    """Return the list for each of the action's two tools.

    Raises:
        UsageError: If two rows have one name.
    """
    rows, missing = list(told_rows(runs)), left_out_text(runs)
    return {
        tool: [one for run, row in rows for one in _entries(tool, run, row, missing)]
        for tool in MEASURES
    }


def _entries(tool: str, run: Published, row: Row, missing: str) -> Iterator[dict[str, Any]]:
    for name, (words, unit) in MEASURES[tool].items():
        if (measure := row.measure(name)) is not None:
            entry = {"name": _title(row, words), "unit": unit, "value": measure.value}
            around = _range(measure)
            yield {
                **entry,
                **({"range": around} if around else {}),
                "extra": _extra(run, row, measure, missing),
            }


def _title(row: Row, words: str) -> str:
    end = f" / {words}"
    return bounded(_plain(row.name), LONGEST_NAME - len(end)) + end


def _range(measure: Measure) -> str | None:
    """Return ``± `` and the larger half of the interval, which may lie unevenly about the value."""
    if measure.low is None or measure.high is None:
        return None
    half = max(measure.high - measure.value, measure.value - measure.low, 0.0)
    return f"± {float(f'{half:.6g}')!r}"  # which always has more than one character


def _extra(run: Published, row: Row, measure: Measure, missing: str) -> str:
    """Return what a reader of the chart is told, a fact a line."""
    facts = {"run": run.run_id, "version": row.settings["backend_version"]}
    if measure.low is not None and measure.high is not None:
        facts["interval"] = f"{measure.low:.6g} to {measure.high:.6g}"
    facts |= {"inferences": row.settings["inferences"], "launches": row.settings["launches"]}
    facts |= {name: row.facts.get(name) for name in ("parity", "cautions")}
    facts["cautions of the run"] = run.cautions
    if verdict := row.facts.get("verdict"):
        facts[f"against {row.facts.get('baseline', '-')}"] = verdict
    facts["rows without a speed, left out"] = missing
    lines = (bounded(_plain(f"{name}: {told}"), 400) for name, told in facts.items() if told)
    return "\n".join(lines)


def _plain(told: object) -> str:
    """Return text without what is markup in a comment's table."""
    return _MARKUP.sub("_", str(told))
