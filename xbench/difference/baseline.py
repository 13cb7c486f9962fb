"""The runs that later ones are held against: one for each model on each host, kept in the store.

They stand in a file beside the run folders, written by rename and sealed with its own hash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from xbench import seal
from xbench.difference.sides import Side
from xbench.errors import UsageError
from xbench.keeping import hold, write_atomically

WORD = "baseline"
FILE = "baselines.json"
FORMAT = 1
SET = "Set one with: xbench baseline set RUN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A run that others are held against.

    Attributes:
        run: Its id.
        place: Its folder in the store, or the whole path of one elsewhere.
        set_at: When it was set, in UTC.
    """

    run: str
    place: str
    model: str
    model_sha256: str
    host_id: str | None
    set_at: str

    def path(self, store: Path) -> Path:
        """Return where it is."""
        return store / self.place  # an absolute path stays what it is


def read_baselines(store: Path) -> tuple[Baseline, ...]:
    """Return the baselines of a store, in the order of their models; none where none was set.

    Raises:
        UsageError: If the file is damaged, or a newer xbench wrote it.
    """
    file = store / FILE
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", "Make it readable") from error
    fix = f"Remove it, and set the baselines again; {SET.lower()}"
    if seal.state(data) is not seal.State.WHOLE:
        raise UsageError(f"{file} is damaged: it is not what was written", fix)
    document = json.loads(data)
    if document["format"] > FORMAT:
        raise UsageError(f"{file} was written by a newer xbench", "Update xbench")
    return tuple(Baseline(**told) for told in document["baselines"])


def set_baseline(store: Path, side: Side, now: str) -> Baseline:
    """Return the baseline that a run has become, in the place of any other of its model and host.

    Raises:
        UsageError: If none of its rows can be compared, or it cannot be written.
    """
    if all(row.problem for row in side.rows):
        fix = "Set a run with a row that is ok"
        raise UsageError(f"{side.place} has nothing to compare with", fix)
    made = Baseline(
        run=side.run,
        place=_place(Path(side.place), store),
        model=side.model,
        model_sha256=side.model_hash,
        host_id=side.host,
        set_at=now,
    )
    with _alone(store):
        others = [one for one in read_baselines(store) if _of(one) != _of(made)]
        _write(store, [*others, made])
    return made


def clear_baselines(store: Path, run: str | None) -> tuple[Baseline, ...]:
    """Return the baselines that were taken back: that of a run's id, or all for None.

    Raises:
        UsageError: If there is none, or it cannot be written.
    """
    with _alone(store):
        known = read_baselines(store)
        gone = tuple(one for one in known if run in (None, one.run))
        if not gone:
            what = f"{run[:80]!r} is no baseline" if run else "there is no baseline"
            names = ", ".join(one.run for one in known)
            raise UsageError(what, f"There is {names}" if names else SET)
        _write(store, [one for one in known if one not in gone])
    return gone


def baseline_for(store: Path, other: Side) -> Baseline:
    """Return the baseline that a run is held against: of its model, and best of its host.

    Raises:
        UsageError: If there is none.
    """
    known = read_baselines(store)
    of_model = [one for one in known if one.model_sha256 == other.model_hash]
    of_host = [one for one in of_model if one.host_id == other.host] or of_model
    if len(of_host) == 1:
        return of_host[0]
    if of_host:
        names = ", ".join(one.run for one in of_host)
        what = f"{len(of_host)} baselines are of {other.model}, and none of this host: {names}"
        raise UsageError(what, "Name one of them instead of `baseline`")
    if not known:
        raise UsageError(f"no baseline is set in {store}", SET)
    names = ", ".join(dict.fromkeys(one.model for one in known))
    what = f"no baseline is of this {other.model} (a model is known by its hash)"
    raise UsageError(what, f"There are some of {names}. {SET}")


def _of(one: Baseline) -> tuple[str, str | None]:
    return one.model_sha256, one.host_id


def _place(place: Path, store: Path) -> str:
    whole, root = place.resolve(), store.resolve()
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else str(whole)


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Keep others from changing the baselines meanwhile: what they wrote would be lost."""
    held = hold(store, wait=True)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _write(store: Path, baselines: list[Baseline]) -> None:
    ordered = sorted(baselines, key=lambda one: (one.model, one.host_id or ""))
    document = {"format": FORMAT, "baselines": [asdict(one) for one in ordered]}
    try:
        store.mkdir(parents=True, exist_ok=True)
        write_atomically(store / FILE, seal.sealed_text(document))
    except OSError as error:
        fix = "Make the folder writable, or name another with --store"
        raise UsageError(f"cannot write {store / FILE}: {error.strerror}", fix) from error
