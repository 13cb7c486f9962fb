"""How each row moved from the first run to the second: 0.05 is 5 % slower, as a logarithm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from xbench.difference.matching import Pair
from xbench.difference.sides import Side


@dataclass(frozen=True, slots=True)
class Movement:
    """How a row moved.

    Attributes:
        value: Logarithm of the second time over the first.
        first_sd: How far the first run's own launches say that it may be off.
        second_sd: The same of the second.
    """

    value: float
    first_sd: float
    second_sd: float


def movements(first: Side, second: Side, pairs: Sequence[Pair]) -> tuple[Movement, ...]:
    """Return how each row moved.

    Rows that were measured in turns are placed by the ratios of their rounds, which saw the same
    machine; where they lie together is the median of what their own times say.
    """
    found = [Movement(p.second.log_time - p.first.log_time, p.first.sd, p.second.sd) for p in pairs]
    for lead, members in _companies(first, second, pairs).items():
        sides = [median(one.first_sd for one in members.values())]
        sides += [median(one.second_sd for one in members.values())]
        placed = {lead: Movement(0.0, *sides)} | members
        shift = median(found[place].value - one.value for place, one in placed.items())
        for place, one in placed.items():
            found[place] = Movement(one.value + shift, one.first_sd, one.second_sd)
    return tuple(found)


def _companies(
    first: Side, second: Side, pairs: Sequence[Pair]
) -> Mapping[int, dict[int, Movement]]:
    """Return by a row's place the movements of those that both runs put beside it."""
    found: dict[int, dict[int, Movement]] = defaultdict(dict)
    taken: set[int] = set()
    partners: dict[int, list[int]] = defaultdict(list)
    places = {pair.first.id: place for place, pair in enumerate(pairs)}
    for one, other in first.ratios:
        if one in places and other in places:
            partners[places[one]].append(places[other])
    for lead in sorted(partners):
        if lead in taken:
            continue
        for place in partners[lead]:
            a = first.ratios[pairs[lead].first.id, pairs[place].first.id]
            b = _ratio(second, pairs[lead].second.id, pairs[place].second.id)
            if b and place not in taken:
                found[lead][place] = Movement(b[0] - a[0], a[1], b[1])
                taken.add(place)
        if lead in found:
            taken.add(lead)
    return found


def _ratio(side: Side, one: int, other: int) -> tuple[float, float] | None:
    """Return the logarithm of the other's time over the one's, and its standard deviation."""
    if (found := side.ratios.get((one, other))) is not None:
        return found
    turned = side.ratios.get((other, one))
    return None if turned is None else (-turned[0], turned[1])
