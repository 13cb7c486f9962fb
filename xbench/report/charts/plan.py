"""Which figures a run has, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator

from xbench.report.charts.costs import energy, memory
from xbench.report.charts.course import courses
from xbench.report.charts.distribution import distributions
from xbench.report.charts.figure import Figure, Material, Missing
from xbench.report.charts.limits import parity, roofline
from xbench.report.charts.ranking import rankings
from xbench.report.charts.sustained import sustained
from xbench.report.charts.tradeoff import tradeoff

KINDS = (
    rankings,
    sustained,
    distributions,
    tradeoff,
    memory,
    energy,
    courses,
    roofline,
    parity,
)


def figures(material: Material) -> Iterator[Figure | Missing]:
    """Yield every figure of a run, and a sentence for each that it cannot have."""
    for kind in KINDS:
        yield from kind(material)
