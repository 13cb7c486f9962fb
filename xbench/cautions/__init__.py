"""The closed list of doubts about a row or a run, computed from what was measured.

Each has a code that never changes, one line on what it means here, and what helps.
"""

from __future__ import annotations

from xbench.cautions.evidence import Code, RowEvidence, RunEvidence
from xbench.cautions.row import ROW_RULES
from xbench.cautions.run import RUN_RULES
from xbench.result import Caution

__all__ = ["Code", "RowEvidence", "RunEvidence", "row_cautions", "run_cautions"]


def row_cautions(evidence: RowEvidence) -> tuple[Caution, ...]:
    """Return the doubts about one row, the gravest first; none about one that did not run."""
    if not evidence.launched or not evidence.epochs:
        return ()
    said = ((code, rule(evidence)) for code, rule in ROW_RULES.items())
    return tuple(Caution(code.value, *words) for code, words in said if words)


def run_cautions(evidence: RunEvidence) -> tuple[Caution, ...]:
    """Return the doubts about the whole run, the gravest first."""
    said = ((code, rule(evidence)) for code, rule in RUN_RULES.items())
    return tuple(Caution(code.value, *words) for code, words in said if words)
