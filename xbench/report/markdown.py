"""A run as Markdown that GitHub renders: a table for each group, the verdict, the conditions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from xbench.report.conditions import conditions
from xbench.report.costs import CostTable, cost_tables
from xbench.report.text import clean, sentence
from xbench.report.verdict import verdicts
from xbench.report.view import Group, SharedCaution, Unranked, groups, shared_cautions

if TYPE_CHECKING:
    from xbench.result import Run

_SPECIAL = re.compile(r"([\\`*_\[\]#|~<>&$])")
_RIGHT = ("p50", "p99", "per s")


def render(run: Run) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    blocks = [f"## xbench: {_name(run.model.get('name') or 'model')}"]
    for group, verdict in zip(groups(run), verdicts(run), strict=True):
        blocks += [f"**{escape(verdict)}**", *_group(group)]
    blocks += [_costs(table) for table in cost_tables(run)]
    facts = [f"- {label}: {escape(text)}" for label, text in conditions(run)]
    blocks += ["\n".join(facts), *_cautions(shared_cautions(run))]
    if run.interrupted:
        blocks.append("Interrupted: the numbers are of what was measured until then.")
    return "\n\n".join(block for block in blocks if block) + "\n"


def escape(text: object) -> str:
    """Return ``text``, cleaned, so that Markdown shows it as it is."""
    return _SPECIAL.sub(r"\\\1", clean(text))


def _name(text: object) -> str:
    """Return a name as code: neither markup nor a mention. A bar would end a table's cell."""
    return f"`{clean(text).replace('`', chr(39)).replace('|', chr(92) + '|') or '-'}`"


def _group(group: Group) -> list[str]:
    blocks = [_ranked(group)] if group.rows else []
    return [*blocks, _unranked(group.unranked)] if group.unranked else blocks


def _ranked(group: Group) -> str:
    against = f"speed vs {_name(group.baseline)}" if group.baseline else "speed"
    header = ("#", "backend", "version", "p50", "p99", "per s", against, "verdict", "outputs")
    rows = (
        (
            escape(row.rank),
            _name(row.backend),
            escape(row.version),
            row.p50,
            row.p99,
            row.throughput,
            escape(row.ratio),
            row.verdict,
            escape(f"{row.outputs}, {row.loss}" if row.loss else row.outputs),
        )
        for row in group.rows
    )
    return _table(header, rows)


def _costs(table: CostTable) -> str:
    rows = ((_name(name), *map(escape, figures)) for name, *figures in table.rows)
    return _table(table.header, rows, table.numbers)


def _unranked(rows: tuple[Unranked, ...]) -> str:
    return _table(
        ("not ranked", "status", "why", "what to do"),
        (
            (
                _name(row.backend),
                row.status,
                escape(sentence(row.reason)),
                escape(sentence(row.fix)),
            )
            for row in rows
        ),
    )


def _table(
    header: tuple[str, ...], rows: Iterable[tuple[str, ...]], right: tuple[str, ...] = _RIGHT
) -> str:
    rule = ("---:" if name in right else "---" for name in header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, tuple(rule), *rows))


def _cautions(cautions: tuple[SharedCaution, ...]) -> list[str]:
    lines = [
        f"- `{clean(shared.caution.code)}` {escape(', '.join(shared.rows))}"
        f"{': ' if shared.rows else ''}{escape(sentence(shared.caution.text))} "
        f"{escape(sentence(shared.caution.fix))}".rstrip()
        for shared in cautions
    ]
    return ["Cautions:", "\n".join(lines)] if lines else []
