"""How inferences are asked for: the load scenarios, as text and as data.

The first four have the meanings of MLPerf LoadGen (Reddi et al. 2020, "MLPerf Inference
Benchmark", section 4; ``loadgen/test_settings.h`` in the mlcommons/inference repository):

- ``single-stream``: the next query is sent when the last one is done; a query is one sample.
- ``multi-stream:N``: the same with queries of N samples; the latency is that of the query.
- ``server:RATE``: queries of one sample come at that mean rate, whatever became of those before;
  latency counts from when a query was to be sent. Without a rate, the largest that keeps to a
  limit on latency is searched for.
- ``offline``: all samples are there at the start; what counts is samples per second.

Beyond LoadGen:

- ``streams:N``: N single streams at once, each with a session of its own.
- ``sustained:TIME``: a single stream for minutes: what becomes of the speed meanwhile.

Everything here is text and numbers: the command line imports it before anything heavy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from math import isfinite
from typing import Any

from xbench.errors import UsageError
from xbench.units import NUMBER, parse_duration_s

MOST_PER_S = 1_000_000.0  # no Python server takes more
MOST = 65_536  # samples of a query, streams, requests of a batch
POISSON, CONSTANT = ARRIVALS = ("poisson", "constant")
NS = {"h": 3_600 * 10**9, "min": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class Kind(StrEnum):
    """What a scenario is called."""

    SINGLE_STREAM = "single-stream"
    MULTI_STREAM = "multi-stream"
    OFFLINE = "offline"
    SERVER = "server"
    STREAMS = "streams"
    SUSTAINED = "sustained"


FORMS = {
    Kind.SINGLE_STREAM: "single-stream",
    Kind.MULTI_STREAM: "multi-stream:8 (samples of a query)",
    Kind.OFFLINE: "offline",
    Kind.SERVER: "server:30 (requests a second)",
    Kind.STREAMS: "streams:2 (inferences at once)",
    Kind.SUSTAINED: "sustained:5min",
}
"""An example of each kind."""

OPTIONS = "arrivals=poisson|constant, streams=2, max_batch=8 and wait=5ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How inferences are asked for; as text, the form that a row carries.

    Attributes:
        samples: Samples of a query, in ``multi-stream``.
        rate_per_s: Mean arrivals a second, in ``server``; 0 where the largest is searched for.
        arrivals: ``poisson`` (gaps are exponential) or ``constant`` (all alike), in ``server``.
        streams: Inferences at once, each on a session of its own, in ``server`` and ``streams``.
        max_batch: Most requests that a ``server`` runs as one batch.
        wait_ns: How long a request of a ``server`` waits, at most, for others to fill its batch.
        duration_ns: Of ``sustained``.
    """

    kind: Kind = Kind.SINGLE_STREAM
    samples: int = 1
    rate_per_s: float = 0.0
    arrivals: str = POISSON
    streams: int = 1
    max_batch: int = 1
    wait_ns: int = 0
    duration_ns: int = 0

    @property
    def decides_batch(self) -> bool:
        """Return whether the batch follows from it, and cannot be asked for besides."""
        return self.kind in (Kind.MULTI_STREAM, Kind.OFFLINE) or self.max_batch > 1

    @property
    def searches(self) -> bool:
        """Return whether the largest rate is searched for."""
        return self.kind is Kind.SERVER and not self.rate_per_s

    @property
    def wait_s(self) -> float:
        """Return the wait limit in seconds."""
        return self.wait_ns / 1e9

    @property
    def duration_s(self) -> float:
        """Return how long it is sustained, in seconds."""
        return self.duration_ns / 1e9

    def __str__(self) -> str:
        match self.kind:
            case Kind.MULTI_STREAM:
                return f"{self.kind}:{self.samples}"
            case Kind.STREAMS:
                return f"{self.kind}:{self.streams}"
            case Kind.SUSTAINED:
                return f"{self.kind}:{_duration(self.duration_ns)}"
            case Kind.SERVER:
                rate = "" if self.searches else f":{_rate(self.rate_per_s)}"
                return ",".join([f"{self.kind}{rate}", *_options(self)])
            case _:
                return str(self.kind)


def parse_scenario(text: str) -> Scenario:
    """Return the scenario that ``text`` names, such as ``server:30,max_batch=8,wait=5ms``.

    Raises:
        UsageError: If it names none; with what is allowed.
    """
    word, _, options = text.strip().lower().partition(",")
    name, colon, value = (part.strip() for part in word.partition(":"))
    if name not in list(Kind):
        raise UsageError(f"there is no scenario {name[:40]!r}", f"Write {_forms()}")
    kind = Kind(name)
    without_rate = kind is Kind.SERVER and not colon
    if bool(colon) != (":" in FORMS[kind]) and not without_rate:
        wants = "needs a value" if ":" in FORMS[kind] else "takes no value"
        raise UsageError(f"the scenario {name} {wants}", f"Write it like {FORMS[kind]}")
    if options and kind is not Kind.SERVER:
        raise UsageError(f"the scenario {name} has no options", f"Write it like {FORMS[kind]}")
    match kind:
        case Kind.MULTI_STREAM:
            return Scenario(kind=kind, samples=_count(value, "samples of a query"))
        case Kind.STREAMS:
            return Scenario(kind=kind, streams=_count(value, "inferences at once"))
        case Kind.SUSTAINED:
            return Scenario(kind=kind, duration_ns=_nanoseconds(value))
        case Kind.SERVER:
            return _server(_parse_rate(value) if colon else 0.0, options)
        case _:
            return Scenario(kind=kind)


def _server(rate_per_s: float, options: str) -> Scenario:
    """Return the server with its options."""
    given: dict[str, str] = {}
    for option in options.split(",") if options else ():
        name, equals, value = (part.strip() for part in option.partition("="))
        if not equals or name not in READ or name in given:
            why = "is given twice" if name in given else "is no option of a server"
            raise UsageError(f"{option.strip()[:40]!r} {why}", f"There are {OPTIONS}")
        given[name] = value
    read = {ATTRIBUTE.get(name, name): READ[name](value) for name, value in given.items()}
    server = Scenario(kind=Kind.SERVER, rate_per_s=rate_per_s, **read)
    if server.wait_ns and server.max_batch == 1:
        fix = "Add max_batch=8, or leave wait out"
        raise UsageError("a server that runs one request at a time waits for no others", fix)
    return server


def _options(server: Scenario) -> list[str]:
    """Return the options of a server that are not as they are by default, in one order."""
    usual = {field.name: field.default for field in fields(server)}
    said = {
        "arrivals": server.arrivals,
        "streams": str(server.streams),
        "max_batch": str(server.max_batch),
        "wait": _duration(server.wait_ns),
    }
    return [
        f"{name}={value}"
        for name, value in said.items()
        if getattr(server, ATTRIBUTE.get(name, name)) != usual[ATTRIBUTE.get(name, name)]
    ]


def _parse_rate(text: str) -> float:
    number = text.removesuffix("/s").rstrip()
    rate_per_s = float(number) if re.fullmatch(NUMBER, number) else 0.0
    if not (0 < rate_per_s <= MOST_PER_S and isfinite(rate_per_s)):
        reason = f"{text[:40]!r} is not a rate, in requests a second up to {MOST_PER_S:.0f}"
        raise UsageError(reason, f"Write it like {FORMS[Kind.SERVER]}")
    return rate_per_s


def _arrivals(text: str) -> str:
    if text not in ARRIVALS:
        raise UsageError(f"there are no arrivals {text[:40]!r}", f"There are {', '.join(ARRIVALS)}")
    return text


def _count(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= MOST:
        reason = f"{text[:40]!r} is not a number of {what}"
        raise UsageError(reason, f"Write a whole number from 1 to {MOST}")
    return int(text)


def _nanoseconds(text: str) -> int:
    """Return a duration in nanoseconds, at least one."""
    return max(1, round(parse_duration_s(text) * 1e9))


READ: dict[str, Callable[[str], Any]] = {
    "arrivals": _arrivals,
    "streams": lambda text: _count(text, "streams"),
    "max_batch": lambda text: _count(text, "requests of a batch"),
    "wait": _nanoseconds,
}
"""The options of a server, each with how it is read."""

ATTRIBUTE = {"wait": "wait_ns"}  # where it is not called as the option is


def _rate(rate_per_s: float) -> str:
    """Return a rate with all its digits and no more."""
    return repr(rate_per_s).removesuffix(".0") if rate_per_s < 1e16 else repr(rate_per_s)


def _duration(time_ns: int) -> str:
    """Return a duration as a whole number of the largest unit that there is one of."""
    unit, size_ns = next((unit, size) for unit, size in NS.items() if time_ns % size == 0)
    return f"{time_ns // size_ns}{unit}"


def _forms() -> str:
    *most, last = FORMS.values()
    return f"{', '.join(most)} or {last}"
