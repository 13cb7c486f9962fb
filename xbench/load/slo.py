"""A limit on latency, as users write it."""

from __future__ import annotations

from dataclasses import dataclass

from xbench.errors import UsageError
from xbench.result import PERCENTILES
from xbench.units import format_s, parse_duration_s

WORDS = {name: name.replace("_", ".") for name in PERCENTILES}


@dataclass(frozen=True, slots=True)
class Slo:
    """A limit that a share of the requests must keep: ``p99=50ms``.

    Attributes:
        percentile: Of `xbench.result.PERCENTILES`.
        limit_s: From a request's arrival to its answer, in seconds.
    """

    percentile: str
    limit_s: float

    @property
    def share(self) -> float:
        """Return the share of the requests, such as 0.99."""
        return PERCENTILES[self.percentile] / 100

    def __str__(self) -> str:
        return f"{WORDS[self.percentile]} within {format_s(self.limit_s)}"


def parse_slo(text: str) -> Slo:
    """Return the limit that a text such as ``p99=50ms`` sets.

    Raises:
        UsageError: If it sets none.
    """
    name, equals, limit = text.strip().partition("=")
    found = {word: key for key, word in WORDS.items()}.get(name.strip().lower())
    if not equals or found is None:
        words = ", ".join(WORDS.values())
        raise UsageError(f"{text[:40]!r} is not a limit", f"Write p99=50ms, with one of {words}")
    return Slo(found, parse_duration_s(limit))
