"""The run folder: everything that was asked, measured and found, safe at any moment.

::

    RUN/
    ├── run.json         what was asked, of which model, on which machine
    ├── samples.jsonl    a line as soon as it is known: launches, rounds, failures, energy
    ├── feeds-N.npz     the inputs at the N-th batch size, the same bytes for every backend
    ├── outputs/         outputs of timed inferences, until they are compared
    ├── logs/            what each worker printed
    └── result.json      the document of `--json`, and the hashes of the files above

Whole files are written beside their place and renamed; samples are appended, and a line
that a kill tore off is left out when they are read. Both carry hashes (`xbench.seal`): a file
that is not what was written is told apart. A folder has one writer at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xbench import seal
from xbench.errors import UsageError
from xbench.keeping import append, hold, sync, write_atomically
from xbench.samples import Epoch, Failure, GpuState, Launched, Samples
from xbench.wire import facts_from_json

FORMAT = 1
REQUEST, SAMPLES, RESULT = "run.json", "samples.jsonl", "result.json"
CHUNK_BYTES = 2**20


class RunFolder:
    """A run folder that is being written. A full disk costs no measurement: see `problem`.

    Raises:
        UsageError: If another process writes there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: str | None = None
        self._lost: str | None = None
        self._unsaved: list[Mapping[str, Any]] = []
        self._next: int | None = None  # number of the next line, once the file has been looked at
        try:
            held = hold(path)
        except BlockingIOError:
            fix = "Wait until it has ended, or stop it"
            raise UsageError(f"{path} is being written by another process", fix) from None
        with suppress(OSError):  # a run from a bundle has no outputs that wait
            for name in ("outputs", "logs"):
                (path / name).mkdir(exist_ok=True)
        self._release = weakref.finalize(self, os.close, held) if held is not None else None

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Return a new folder.

        Raises:
            UsageError: If something is there already, or it cannot be made.
        """
        try:
            path.mkdir(parents=True)
            (path / "outputs").mkdir()
            (path / "logs").mkdir()
        except FileExistsError:
            fix = f"Choose another --out, or finish that run with --resume {path}"
            raise UsageError(f"{path} exists already", fix) from None
        except OSError as error:
            fix = "Choose another place with --out"
            raise UsageError(f"cannot make {path}: {error.strerror}", fix) from error
        return cls(path)

    @classmethod
    def create_beside(cls, path: Path) -> RunFolder:
        """Return a new folder of that name, or with a number behind it where that is taken.

        Raises:
            UsageError: If it cannot be made.
        """
        candidate, again = path, 1
        while True:
            try:
                return cls.create(candidate)
            except UsageError:
                if not candidate.exists():
                    raise
            again += 1
            candidate = path.with_name(f"{path.name}-{again}")

    def close(self) -> None:
        """Let another writer have the folder."""
        if self._release is not None:
            self._release()

    @property
    def problem(self) -> str | None:
        """Return what is not on the disk and why, or None; samples may yet get there."""
        return self._lost or self._waiting

    def lose(self, what: str) -> None:
        """Remember that something could not be kept, for good."""
        self._lost = f"cannot keep all of {self.path}: {what}"

    def write_json(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a whole file by rename; a full disk shows in `problem`."""
        try:
            write_atomically(self.path / name, seal.sealed_text(document))
        except OSError as error:
            self.lose(f"{name}: {error.strerror}")

    def conclude(self, document: Mapping[str, Any]) -> None:
        """Write ``result.json``, with the hashes of all else that is kept."""
        self._append()
        sync(self.path / SAMPLES)
        try:
            kept = contents(self.path)
        except OSError as error:
            self.lose(f"result.json: {error.strerror}")
            return
        self.write_json(RESULT, {**document, "kept": kept})

    def write_log(self, name: str, text: str) -> None:
        """Keep what a worker printed; a full disk is kept in `problem`."""
        try:
            (self.path / "logs" / name).write_text(text)
        except OSError as error:
            self.lose(f"a log: {error.strerror}")

    def drop_outputs(self) -> None:
        """Remove the outputs: they have been compared, and may be large."""
        for path in (self.path / "outputs").glob("*.npz"):
            path.unlink(missing_ok=True)

    def launched(self, launched: Launched) -> None:
        """Append what a launch told before its first round."""
        self._append({"launched": asdict(launched)})

    def round(self, order: tuple[int, ...], epochs: tuple[Epoch, ...]) -> None:
        """Append one round."""
        self._append({"order": order, "epochs": [asdict(epoch) for epoch in epochs]})

    def failure(self, failure: Failure) -> None:
        """Append why a cell stopped."""
        self._append({"failure": asdict(failure)})

    def energy(self, cell: int, energy: Mapping[str, Any]) -> None:
        """Append what an inference of a cell costs."""
        self._append({"energy": energy, "cell": cell})

    def load(self, cell: int, told: Mapping[str, Any]) -> None:
        """Append what a search found of a cell."""
        self._append({"load": told, "cell": cell})

    def _append(self, *lines: Mapping[str, Any]) -> None:
        """Append lines, after those that could not be written before."""
        self._unsaved += lines
        file = self.path / SAMPLES
        try:
            if self._next is None:
                self._next = read_lines(self.path).following
            numbered = enumerate(self._unsaved, self._next)
            if text := "".join(seal.sealed_line(number, line) for number, line in numbered):
                append(file, text)
        except OSError as error:  # they stay, and are tried again with the next one
            self._waiting = f"cannot write to {self.path}: {error.strerror}"
        else:
            self._next += len(self._unsaved)
            self._unsaved.clear()
            self._waiting = None


def contents(path: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of each file that stays as it is once the run has ended, by name.

    Of the samples it is what there is now: a run that is resumed adds to them.
    """
    return {
        file.name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in sorted(path.iterdir())
        if file.is_file() and not file.name.startswith(".") and file.name != RESULT
    }


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_run(path: Path) -> dict[str, Any]:
    """Return the ``run.json`` of a run folder.

    Raises:
        UsageError: If there is none, or it was written by a newer xbench.
    """
    try:
        data = (path / REQUEST).read_bytes()
        document = json.loads(data)
    except (OSError, ValueError) as error:
        fix = "Give the folder that `xbench compare` named at its end"
        raise UsageError(f"{path} is no run folder ({error})", fix) from error
    if seal.state(data) is seal.State.DAMAGED:
        what = f"{path / REQUEST} is damaged: it does not have the hash that it was written with"
        raise UsageError(what, "Take it from a bundle again, or start a new comparison")
    if document.get("format", 0) > FORMAT:
        raise UsageError(f"{path} was written by a newer xbench", "Update xbench")
    return dict(document)


def read_samples(path: Path) -> Samples:
    """Return the samples of a run folder.

    A line that is torn, damaged or of another kind is left out; `xbench.archive.checking` tells.
    """
    launched: list[Launched] = []
    epochs: list[Epoch] = []
    failures: list[Failure] = []
    orders: dict[tuple[int, int], tuple[int, ...]] = {}
    energies: dict[int, Mapping[str, Any]] = {}
    loads: dict[int, Mapping[str, Any]] = {}
    for line in read_lines(path).told:
        if "launched" in line:
            launched.append(_launched(line["launched"]))
        elif "failure" in line:
            failures.append(Failure(**line["failure"]))
        elif "energy" in line:
            energies[line["cell"]] = line["energy"]
        elif "load" in line:
            loads[line["cell"]] = line["load"]
        elif "epochs" in line:
            of_round = [_epoch(one) for one in line["epochs"]]
            epochs += of_round
            orders |= {(one.launch, one.round): tuple(line["order"]) for one in of_round}
    return Samples(tuple(launched), tuple(epochs), tuple(failures), orders, energies, loads)


def read_lines(path: Path) -> seal.Lines:
    """Return the lines of a run folder's samples, and how many cannot be read."""
    try:
        return seal.read_lines((path / SAMPLES).read_bytes())
    except FileNotFoundError:
        return seal.read_lines(b"")


def _epoch(data: dict[str, Any]) -> Epoch:
    canary_ns = tuple(data["canary_ns"]) if data["canary_ns"] else None
    own = {"latencies_ns": tuple(data["latencies_ns"]), "canary_ns": canary_ns}
    return Epoch(**{**data, **own, "gpu": _gpu(data.get("gpu"))})


def _gpu(data: dict[str, Any] | None) -> GpuState | None:
    if data is None:  # on a CPU, or in a run from before it was read
        return None
    reasons = data["reasons"]
    return GpuState(**{**data, "reasons": None if reasons is None else tuple(reasons)})


def _launched(data: dict[str, Any]) -> Launched:
    own = {"cpus": tuple(data["cpus"]), "facts": facts_from_json(data["facts"])}
    return Launched(**{**data, **own})
