"""How far apart runs lie that nothing has changed between, and how well that is known.

All values are natural logarithms of times: a standard deviation of 0.01 is one per cent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, comb, exp, inf, log

QN = 2.2219  # makes Qn a standard deviation where values are normal
# Factors for few values: Croux and Rousseeuw 1992, "Time-efficient algorithms for two highly
# robust estimators of scale".
QN_OF_FEW = {2: 0.399, 3: 0.994, 4: 0.512, 5: 0.844, 6: 0.611, 7: 0.857, 8: 0.669, 9: 0.872}
LEAST_SD = 1e-5  # of a scatter: clocks tell no less, and equal runs are chance
FREEDOM_OF_QN = 0.6  # of n - 1.5: no more than what the scatter of Qn itself comes to


@dataclass(frozen=True, slots=True)
class Scatter:
    """A standard deviation of logarithms of times.

    Attributes:
        sd: Its value; 0.01 is one per cent.
        freedom: Degrees of freedom: how well it is known.
        runs: How many runs it was taken from; 0 for what is assumed.
    """

    sd: float
    freedom: float
    runs: int = 0


def weighed(*parts: Scatter | None) -> Scatter:
    """Return one scatter from several, each weighing by its degrees of freedom.

    The logarithm of a variance is nearly normal, and has a variance of two over its degrees of
    freedom (Bartlett and Kendall 1946, "The statistical analysis of variance-heterogeneity and the
    logarithmic transformation"); so logarithms are averaged. An assumption then yields to runs that
    scatter ten times less than it says, which it would not in a mean of variances.

    Args:
        parts: None for what is not known; at least one is.
    """
    known = [part for part in parts if part and part.freedom > 0]
    freedom = sum(part.freedom for part in known)
    mean = sum(part.freedom * log(max(part.sd, LEAST_SD)) for part in known) / freedom
    return Scatter(exp(mean), freedom, max(part.runs for part in known))


def scatter_of(groups: Iterable[Sequence[float]], runs: int | None = None) -> Scatter | None:
    """Return the robust scatter of values about the levels of their groups; None for none.

    Qn of Rousseeuw and Croux 1993 ("Alternatives to the median absolute deviation"): a quantile
    near the first quarter of the distances between values of one group. It needs no estimate of
    the levels, and a disturbed run in five does not move it much.

    Args:
        groups: Values of one level each, such as those of one version of a framework.
        runs: How many runs stand behind them, if not as many as there are values.
    """
    kept = [group for group in groups if len(group) > 1]
    n = sum(map(len, kept))
    if not n:
        return None
    apart = sorted(abs(a - b) for group in kept for a, b in combinations(group, 2))
    share = comb(n // 2 + 1, 2) / comb(n, 2)
    place = max(1, ceil(share * len(apart) - 1e-9))
    few = QN_OF_FEW.get(n, n / (n + 1.4) if n % 2 else n / (n + 3.8))
    freedom = FREEDOM_OF_QN * (n - len(kept) - 0.5)
    return Scatter(QN * few * apart[place - 1], freedom, n if runs is None else runs)


def student(confidence: float, freedom: float) -> float:
    """Return the two-sided quantile of Student's t; infinite without a degree of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2)) if freedom > 0 else inf
