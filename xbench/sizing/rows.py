"""What was measured of one backend under one set of caps, read from a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xbench.procurement.evidence import Row, evidence_of
from xbench.result import Status
from xbench.roofline.work import parts
from xbench.sizing.groups import Room, room

if TYPE_CHECKING:
    from xbench.result import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One row.

    Attributes:
        row: As procurement reads it; its ``problem`` is why nothing can be sized by it.
        status: Of `xbench.result.Status`.
        thin: Whether all that it lacks is more launches.
        effective: The precisions that the runtime told, such as ``int8+fp32``, or None.
        threads: Of one inference.
        cap_bytes: The cap on memory that was in force.
        peak_bytes: The most that the process and its children held; None where nobody told.
        charged_bytes: The most that was charged to its control group, files it read included.
        words: The caps, such as ``host, capped to 2 threads and 4 GiB``.
        roofline: The row beside this host's limits; see `xbench.roofline.row`.
        load: A server's account, as `xbench.load.account.Account.to_json` has it; None for others.
        doubts: Those of the row and of its run, each a code and a sentence.
        folder: Of its run.
    """

    row: Row
    status: Status
    thin: bool
    effective: str | None
    threads: int
    cap_bytes: int | None
    peak_bytes: int | None
    charged_bytes: int | None
    words: str
    roofline: Mapping[str, Any]
    load: Mapping[str, Any] | None
    doubts: tuple[tuple[str, str], ...]
    folder: str

    @property
    def name(self) -> str:
        """Return the backend, with its precision where rows differ in it."""
        return self.row.name

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return all that it may compute in on a device: what was asked for, and what it told."""
        return tuple(dict.fromkeys((self.row.precision, *parts(self.effective))))

    @property
    def saturated(self) -> bool:
        """Return whether it is a server that could not keep up with its requests."""
        return self.status is Status.OK and bool((self.load or {}).get("saturated"))

    @property
    def median_s(self) -> float | None:
        """Return the median latency of one inference alone, in seconds."""
        found = self.row.latency_s.get("p50")
        return found.value if found else None


def rows_of(run: Run) -> tuple[Measured, ...]:
    """Return the rows of a run under a profile."""
    document = run.to_json()
    # Procurement prices no row of an imitated device; that it is one is what sizing starts from.
    told = [
        {**one, "caps": {**(one["caps"] or {}), "profile": None}} for one in document["results"]
    ]
    evidence = evidence_of({**document, "results": told}, str(run.folder))
    return tuple(
        _measured(row, one, document["cautions"], str(run.folder))
        for row, one in zip(evidence.rows, document["results"], strict=True)
    )


def space(measured: Measured, cap_bytes: int) -> Room:
    """Return whether a backend fits under a cap on memory, which is no larger than its own."""
    if measured.cap_bytes == cap_bytes:
        return Room.ENOUGH  # it has run under that very cap, and the proof is in its row
    if measured.peak_bytes is None:
        return Room.NEAR
    found = room(measured.peak_bytes, cap_bytes)
    charged = measured.charged_bytes
    # Pages of files that it read are charged too. They can be taken back, and slow it down then.
    if found is Room.ENOUGH and charged and room(charged, cap_bytes) is not Room.ENOUGH:
        return Room.NEAR
    return found


def _measured(
    row: Row, told: Mapping[str, Any], of_run: Iterable[Mapping[str, Any]], folder: str
) -> Measured:
    caps = told["caps"] or {}
    held = caps.get("held") or {}
    memory = told["memory_bytes"]
    return Measured(
        row=row,
        status=Status(told["status"]),
        thin=row.problem is not None
        and told["status"] == "ok"
        and told["rank"] is not None
        and row.parity == "agrees",
        effective=told["precision"].get("effective"),
        threads=int(row.threads or 1),
        cap_bytes=caps.get("memory_bytes"),
        peak_bytes=_most((held.get("resident_peak_bytes"), memory.get("host"))),
        charged_bytes=held.get("memory_peak_bytes"),
        words=str(caps.get("words") or ""),
        roofline=told.get("roofline") or {},
        load=told.get("load"),
        doubts=tuple((one["code"], one["text"]) for one in (*told["cautions"], *of_run)),
        folder=folder,
    )


def _most(sizes: Iterable[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)
