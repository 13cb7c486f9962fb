"""How far the median of a few rounds may be from the truth, when rounds come in spells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import pi
from statistics import median, quantiles, variance

NORMAL_IQR = 1.349  # interquartile range of a normal, in standard deviations
FEWEST_FOR_QUARTILES = 4
MOST_CORRELATED = 0.9  # rounds that all but repeat each other are still some evidence


def median_variance(rounds: Sequence[float]) -> float:
    """Return the variance of the median: pi/2 of a mean's, more where rounds come in spells."""
    return independent_variance(rounds) * _repetition(rounds) if len(rounds) > 1 else 0.0


def independent_variance(rounds: Sequence[float]) -> float:
    """Return the variance of the median of rounds that do not resemble their neighbours."""
    return pi / 2 * _spread(rounds) / len(rounds) if len(rounds) > 1 else 0.0


def _spread(rounds: Sequence[float]) -> float:
    """Return the variance of one round, as its middle half tells, deaf to the tails.

    Where the clock's steps leave half of the rounds equal, or there are too few for quartiles,
    it is the ordinary one.
    """
    if len(rounds) >= FEWEST_FOR_QUARTILES:
        first, _, third = quantiles(rounds, n=4, method="inclusive")
        if third > first:
            return ((third - first) / NORMAL_IQR) ** 2
    return variance(rounds)


def _repetition(rounds: Sequence[float]) -> float:
    """Return by how much a median's variance grows because neighbouring rounds resemble.

    A disturbance lasts for some rounds, which then say one thing several times. The median
    depends on the side alone on which each round lies; if these sides repeat from round to round
    with correlation r, the variance grows by (1 + r) / (1 - r), as in a first-order
    autoregression. Estimates of r from n rounds are low by about 1/n, which is put back.
    """
    n, centre = len(rounds), median(rounds)
    sides = [(value > centre) - (value < centre) for value in rounds]
    repeated = sum(a * b for a, b in pairwise(sides))
    r = min(MOST_CORRELATED, max(0.0, repeated / (n - 1) + 1 / n))
    return (1 + r) / (1 - r)
