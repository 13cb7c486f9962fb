"""Whether a run folder holds what was written to it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xbench import seal
from xbench.archive.findings import Finding, Kind, unreadable
from xbench.archive.quarantine import reasons, set_aside
from xbench.archive.reading import DamagedFileError, document_of
from xbench.errors import UsageError
from xbench.keeping import hold, is_held
from xbench.store import FORMAT, REQUEST, RESULT, SAMPLES, file_sha256

AGAIN = "Take the run from a bundle again, or measure it with: xbench compare --resume {folder}"
BUNDLE = "Take the run from a bundle again"
LEFT_OUT = "What is left is used; the rows of the result were made before, and stand"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a run folder holds.

    Attributes:
        result: The document of its ``result.json``; None where there is none that can be trusted.
        request: The same of its ``run.json``.
        lines: Lines of samples that can be read.
        findings: What is wrong, in no more than a line each.
    """

    folder: Path
    result: Mapping[str, Any] | None
    request: Mapping[str, Any] | None
    lines: int
    findings: tuple[Finding, ...]


def tidied(folder: Path, *, deep: bool = False) -> Checked:
    """Return what ``folder`` holds, after damaged files were set aside; see `check_run`.

    Nothing is moved while somebody writes there, nor where this user may not.
    """
    checked = check_run(folder, deep=deep)
    if not any(one.aside for one in checked.findings):
        return checked
    try:
        held = hold(folder)
    except BlockingIOError:
        return checked
    try:  # once more, now that nobody else can have put a new file there
        for finding in check_run(folder, deep=deep, alone=True).findings:
            if finding.aside:
                with suppress(OSError):
                    set_aside(finding)
    finally:
        if held is not None:
            os.close(held)
    after = check_run(folder, deep=deep)
    cut_off = [one for one in checked.findings if one.kind is Kind.CUT_OFF]
    told = (one for one in cut_off if one not in after.findings)  # once: nothing is missing
    return replace(after, findings=(*after.findings, *told))


def check_run(folder: Path, *, deep: bool = False, alone: bool = False) -> Checked:
    """Return what ``folder`` holds; files are only read.

    Args:
        folder: A run folder.
        deep: Whether to hash the inputs as well, which may be large.
        alone: Whether the caller holds the folder, so that nobody else writes there.
    """
    findings: list[Finding] = []
    result = _whole(folder, RESULT, findings)
    request = _whole(folder, REQUEST, findings)
    kept = result.get("kept") if result else None
    kept = kept if isinstance(kept, dict) else {}
    kept = {name: told for name, told in kept.items() if _is_told(told)}
    lines, wrong = _samples(folder, kept.get(SAMPLES))
    findings += wrong
    aside = list(reasons(folder))
    explained = {one.file for one in aside}
    findings += (one for one in _others(folder, kept, deep) if one.file not in explained)
    if alone or not is_held(folder):
        findings += _cut_off(folder)
    findings += aside
    return Checked(folder, result, request, lines, tuple(findings))


def _whole(folder: Path, name: str, findings: list[Finding]) -> Mapping[str, Any] | None:
    """Return a document of the folder; None, and a finding, where it cannot be trusted."""
    file = folder / name
    try:
        data = file.read_bytes()
        return document_of(data, file) if name == RESULT else _request(data, file)
    except FileNotFoundError:
        return None
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        findings.append(unreadable(folder, what, "See who may read it", file=name))
    except DamagedFileError as error:
        what = error.reason.removeprefix(f"{file} ")
        fix = AGAIN.format(folder=folder) if name == RESULT else BUNDLE
        findings.append(_finding(Kind.DAMAGED, folder, name, what, fix, aside=True))
    except UsageError as error:
        what = error.reason.removeprefix(f"{file} ")
        findings.append(unreadable(folder, what, error.fix, file=name))
    return None


def _request(data: bytes, file: Path) -> Mapping[str, Any]:
    if seal.state(data) is seal.State.DAMAGED:
        what = f"{file} is damaged: it does not have the hash that it was written with"
        raise DamagedFileError(what, BUNDLE)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{file} is damaged: it is no JSON ({error})", BUNDLE) from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise UsageError(f"{file} is no request of xbench", "Move it out of the store")
    if document["format"] > FORMAT:
        raise UsageError(f"{file} was written by a newer xbench", "Update xbench")
    return document


def _samples(folder: Path, kept: Mapping[str, Any] | None) -> tuple[int, list[Finding]]:
    """Return how many lines can be read, and what is wrong with the others."""
    file = folder / SAMPLES
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        what = "is not there, though the run had it"
        return 0, [_finding(Kind.LOST, folder, SAMPLES, what, BUNDLE)] if kept else []
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        return 0, [unreadable(folder, what, "See who may read it", file=SAMPLES)]
    lines = seal.read_lines(data)
    readable = len(lines.told)
    if lines.lost:
        places = _places(lines.damaged)
        of = f"{lines.lost} of its {lines.following} lines cannot be read{places}"
        return readable, [_finding(Kind.DAMAGED, folder, SAMPLES, of, LEFT_OUT)]
    if kept and len(data) < kept["bytes"]:
        what = f"was cut short: {len(data):,} of {kept['bytes']:,} bytes are left"
        return readable, [_finding(Kind.LOST, folder, SAMPLES, what, LEFT_OUT)]
    if kept and not _begins_as_kept(data, kept):
        what = "is not what the run's result was made from"
        return readable, [_finding(Kind.DAMAGED, folder, SAMPLES, what, LEFT_OUT)]
    return readable, []


def _begins_as_kept(data: bytes, kept: Mapping[str, Any]) -> bool:
    """Return whether samples begin as they were; a run that was resumed has more."""
    return hashlib.sha256(memoryview(data)[: kept["bytes"]]).hexdigest() == str(kept["sha256"])


def _is_told(told: object) -> bool:
    return isinstance(told, dict) and isinstance(told.get("bytes"), int) and "sha256" in told


def _places(damaged: tuple[int, ...]) -> str:
    if not damaged:
        return " (they are gone)"
    shown = ", ".join(map(str, damaged[:5]))
    return f" (damaged: line{'s' if len(damaged) > 1 else ''} {shown}{', …' * (len(damaged) > 5)})"


def _others(folder: Path, kept: Mapping[str, Any], deep: bool) -> Iterator[Finding]:
    """Yield the files that the result names and that are not as they were."""
    for name, told in kept.items():
        if name in (SAMPLES, REQUEST) or Path(name).name != name:
            continue
        file = folder / name
        try:
            there = file.is_file()
            same = there and _is_as_kept(file, told, deep)
        except OSError as error:
            what = f"cannot be read ({error.strerror})"
            yield unreadable(folder, what, "See who may read it", file=name)
            continue
        if not there:
            yield _finding(Kind.LOST, folder, name, "is not there, though the run had it", BUNDLE)
        elif not same:
            what = "is damaged: it is not what the run was measured with"
            yield _finding(Kind.DAMAGED, folder, name, what, BUNDLE, aside=True)


def _is_as_kept(file: Path, told: Mapping[str, Any], deep: bool) -> bool:
    same_size = file.stat().st_size == told["bytes"]
    return same_size and (not deep or file_sha256(file) == told["sha256"])


def _cut_off(folder: Path) -> Iterator[Finding]:
    """Yield the files that a killed writer left beside their place."""
    for file in sorted(folder.glob(".*.json.*")):
        of = file.name[1:].rsplit(".", 1)[0]
        what = f"is a write of {of} that was cut off"
        yield _finding(Kind.CUT_OFF, folder, file.name, what, f"{of} is as before it", aside=True)


def _finding(
    kind: Kind, folder: Path, file: str, what: str, fix: str, *, aside: bool = False
) -> Finding:
    return Finding(kind=kind, folder=folder, file=file, what=what, fix=fix, aside=aside)
