"""One search from the request to the answer: the way of the data on one screen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xbench.cautions import RunEvidence, run_cautions
from xbench.device import allowed_cpus
from xbench.errors import InterruptedRunError
from xbench.host import capture_context
from xbench.interrupts import Interrupts
from xbench.lock import machine_to_itself
from xbench.progress import Progress, Silent
from xbench.result import Caution, CellResult, Parity, Run
from xbench.rounds import Rounds
from xbench.store import FORMAT, RunFolder
from xbench.summary import Measured, rows
from xbench.tuning.choice import Choice, pick
from xbench.tuning.evidence import Evidence
from xbench.tuning.judgement import Judgement, judge
from xbench.tuning.request import Request, Stock, prepare
from xbench.tuning.search import exhaust, search
from xbench.tuning.space import Space
from xbench.tuning.workshop import Workshop
from xbench.units import utc_text
from xbench.weights import weights_health

TUNE = "tune.json"
NOT_COMPARED = Parity("not_checked", reason="it was out before outputs were compared")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What a search found, finished or interrupted.

    Attributes:
        rows: Of those that were measured, as in a comparison; by id.
        seconds: The time by kind of step, and in all.
        cautions: Doubts about the search as a whole; those about a row stand in it.
    """

    request: Request
    model: Mapping[str, Any]
    host: Mapping[str, Any]
    space: Space
    evidence: Evidence
    judgement: Judgement
    choice: Choice
    rows: Mapping[int, CellResult]
    seconds: Mapping[str, float]
    cautions: tuple[Caution, ...]
    began: str
    folder: str
    interrupted: bool = False

    @property
    def started(self) -> int:
        """Return how many configurations were started."""
        return len(self.evidence.seen)

    @property
    def exit_status(self) -> int:
        """Return 0 if there is a winner, 1 if none, 130 if interrupted."""
        if self.interrupted:
            return 130
        return 0 if self.choice.winner is not None else 1


def tune(request: Request, *, out: Path | None = None, progress: Progress | None = None) -> Tuned:
    """Return the best configuration under the limits: what `xbench tune` prints.

    The first Ctrl-C ends the search with the best so far; the second stops at once.

    Raises:
        XbenchError: If the request cannot be met.
        KeyboardInterrupt: At the second Ctrl-C; no worker is left.
    """
    hears = progress or Silent()
    stopping = "Stopping: this turn ends, then the best so far follows."
    with Interrupts(lambda: hears.note(stopping)) as stop:
        return _tune(request, out, hears, stop)


def _tune(request: Request, out: Path | None, hears: Progress, stop: Interrupts) -> Tuned:
    start_s = time.monotonic()
    began = utc_text(time.time())
    stock, space, request = prepare(request, out, hears, stop)
    host = capture_context()
    _keep_request(stock, request, host, began)
    prepared_s = time.monotonic() - start_s
    evidence = Evidence(space, request.goal)
    shop = Workshop(stock, evidence, hears, stop)
    with machine_to_itself(hears, stop), suppress(InterruptedRunError):
        try:
            shop.open()
            if request.everything:
                exhaust(space, evidence, shop, request.effort)
            else:
                search(space, request.goal, evidence, shop, request.effort)
        finally:
            shop.close()
    judgement = judge(space, request.goal, evidence)
    spent_s = shop.spent_s()
    measured = _measured(stock, shop, evidence, host)
    rounds = Rounds(measured.samples.epochs, {one.id: one.samples for one in measured.cells})
    found = Tuned(
        request=request,
        model=stock.model.to_json(),
        host=host,
        space=space,
        evidence=evidence,
        judgement=judgement,
        choice=pick(space, request.goal, evidence, judgement),
        rows={row.id: row for row in rows(measured, rounds)},
        cautions=_doubts(measured, rounds) if measured.samples.epochs else (),
        seconds={**shop.seconds, "prepare": prepared_s, "search": spent_s},
        began=began,
        folder=str(stock.folder.path),
        interrupted=stop.requested,
    )
    _keep(stock.folder, found)
    return found


def _keep(folder: RunFolder, found: Tuned) -> None:
    from xbench.tuning.document import to_json

    folder.write_json(TUNE, to_json(found))
    folder.conclude(_as_run(found).to_json())
    folder.drop_outputs()
    folder.close()


def _as_run(found: Tuned) -> Run:
    """Return the rows that were measured as a comparison has them, for all that reads those.

    Without a ratio: rows of one batch were not all measured in the same rounds.
    """
    return Run(
        run_id=Path(found.folder).name,
        model=found.model,
        host=found.host,
        spec=asdict(found.request.spec),
        results=tuple(found.rows.values()),
        comparisons=(),
        timing={f"{name}_s": spent_s for name, spent_s in found.seconds.items()},
        cautions=found.cautions,
        folder=found.folder,
        interrupted=found.interrupted,
        began=found.began,
    )


def _measured(
    stock: Stock, shop: Workshop, evidence: Evidence, host: Mapping[str, Any]
) -> Measured:
    """Return all that rows and doubts are made from: of what was started."""
    parities = {id_: one.parity or NOT_COMPARED for id_, one in evidence.seen.items()}
    return Measured(
        spec=stock.spec,
        model=stock.model,
        cells=tuple(cell for id_, cell in stock.cells.items() if id_ in evidence.seen),
        samples=shop.samples(),
        parities=parities,
        inputs=shop.inputs,
        weights=weights_health(stock.model.path),
        host=host,
        spent_s=shop.spent_s(),
        unsaved=stock.folder.problem,
    )


def _doubts(measured: Measured, rounds: Rounds) -> tuple[Caution, ...]:
    """Return doubts about the search as a whole."""
    load, cpus = measured.host.get("load_average"), len(allowed_cpus())
    return run_cautions(
        RunEvidence(
            spec=measured.spec,
            launches=len({launch for launch, _ in rounds.every()}),
            quiet_share=rounds.quiet_share(),
            throttled_share=rounds.throttled_share(),
            load_share=load[0] / cpus if load else None,
            denormals=measured.weights.denormals,
            nonfinite=measured.weights.nonfinite,
            input_doubts=measured.inputs.doubts,
            unsaved=measured.unsaved,
        )
    )


def _keep_request(stock: Stock, request: Request, host: Mapping[str, Any], began: str) -> None:
    document = {
        "format": FORMAT,
        "spec": asdict(stock.spec),
        "tune": {
            "threads": request.threads,
            "streams": request.streams,
            "goal": asdict(request.goal),
            "effort": asdict(request.effort),
            "everything": request.everything,
        },
        "model": stock.model.to_json(),
        "began": began,
        "host": host,
    }
    stock.folder.write_json("run.json", document)
