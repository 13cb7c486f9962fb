"""The run folder: everything that was asked, measured and found, safe at any moment.

::

    RUN/
    ├── run.json         what was asked, of which model, on which machine
    ├── samples.jsonl    a line as soon as it is known: launches, rounds, failures, energy
    ├── feeds-GROUP.npz  the inputs, the same bytes for every backend
    ├── outputs/         outputs of timed inferences, until they are compared
    ├── logs/            what each worker printed
    └── result.json      the document of `--json`

Whole files are written beside their place and renamed; samples are appended, and a line
that a kill tore off is left out when they are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xbench.errors import UsageError
from xbench.samples import Epoch, Failure, GpuState, Launched, Samples
from xbench.wire import facts_from_json

FORMAT = 1


class RunFolder:
    """A run folder that is being written. A full disk costs no measurement: see `problem`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: str | None = None
        self._lost: str | None = None
        self._unsaved: list[str] = []
        self._torn = False  # whether a failed append may have left half a line

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
            write_atomically(
                self.path / name, json.dumps(document, indent=1, allow_nan=False) + "\n"
            )
        except OSError as error:
            self.lose(f"{name}: {error.strerror}")

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

    def _append(self, line: Mapping[str, Any]) -> None:
        self._unsaved.append(json.dumps(line, separators=(",", ":")) + "\n")
        text = ("\n" if self._torn else "") + "".join(self._unsaved)
        try:
            with (self.path / "samples.jsonl").open("a") as file:
                file.write(text)
        except OSError as error:
            self._torn = True  # the lines stay, and are tried again with the next one
            self._waiting = f"cannot write to {self.path}: {error.strerror}"
        else:
            self._unsaved.clear()
            self._torn = False
            self._waiting = None


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader finds the old file or the new one, never half."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read_run(path: Path) -> dict[str, Any]:
    """Return the ``run.json`` of a run folder.

    Raises:
        UsageError: If there is none, or it was written by a newer xbench.
    """
    try:
        document = json.loads((path / "run.json").read_text())
    except (OSError, ValueError) as error:
        fix = "Give the folder that `xbench compare` named at its end"
        raise UsageError(f"{path} is no run folder ({error})", fix) from error
    if document.get("format", 0) > FORMAT:
        raise UsageError(f"{path} was written by a newer xbench", "Update xbench")
    return dict(document)


def read_samples(path: Path) -> Samples:
    """Return the samples of a run folder; a torn line, or one of another kind, is left out."""
    launched: list[Launched] = []
    epochs: list[Epoch] = []
    failures: list[Failure] = []
    orders: dict[tuple[int, int], tuple[int, ...]] = {}
    energies: dict[int, Mapping[str, Any]] = {}
    for line in _lines(path / "samples.jsonl"):
        if "launched" in line:
            launched.append(_launched(line["launched"]))
        elif "failure" in line:
            failures.append(Failure(**line["failure"]))
        elif "energy" in line:
            energies[line["cell"]] = line["energy"]
        elif "epochs" in line:
            of_round = [_epoch(one) for one in line["epochs"]]
            epochs += of_round
            orders |= {(one.launch, one.round): tuple(line["order"]) for one in of_round}
    return Samples(tuple(launched), tuple(epochs), tuple(failures), orders, energies)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text().splitlines():
        try:
            yield json.loads(text)
        except ValueError:
            continue  # torn by a kill or a full disk


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
