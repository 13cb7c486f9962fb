"""The document of a finished run, from its folder or from a file of `--json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from xbench import seal
from xbench.errors import UsageError
from xbench.result import SCHEMA

NO_RESULT = "Give a run folder of `xbench compare`, or a document that its --json wrote"
RESULT, REQUEST = "result.json", "run.json"

_FORM: dict[str, type] = {"model": dict, "host": dict, "spec": dict, "results": list}


class DamagedFileError(UsageError):
    """A file is not what was written: cut short, or changed since."""


def read_document(path: Path) -> dict[str, Any]:
    """Return the document of a run: what `xbench.result.Run.to_json` wrote.

    Args:
        path: A run folder, its ``result.json``, or a file that `--json` wrote.

    Raises:
        DamagedFileError: If the file carries a hash and does not have it.
        UsageError: If there is no result, or a newer xbench wrote it.
    """
    file = _file(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", NO_RESULT) from error
    return document_of(data, file)


def document_of(data: bytes, file: Path) -> dict[str, Any]:
    """Return the document that the bytes of a file hold; ``file`` is what an error names.

    Raises:
        DamagedFileError: If they carry a hash and do not have it.
        UsageError: If they are no result, or a newer xbench wrote them.
    """
    if seal.state(data) is seal.State.DAMAGED:
        what = f"{file} is damaged: it does not have the hash that it was written with"
        raise DamagedFileError(what, _way_out(file))
    try:
        document = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        if file.name == RESULT:  # xbench renames whole files into place: this one is damaged
            what = f"{file} is damaged: it is no JSON ({error})"
            raise DamagedFileError(what, _way_out(file)) from error
        raise UsageError(f"{file} is no JSON: {error}", NO_RESULT) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, bool) or not isinstance(schema, int):
        raise UsageError(f"{file} is no result of xbench: it has no schema", NO_RESULT)
    if schema > SCHEMA:
        raise UsageError(f"{file} was written by a newer xbench (schema {schema})", "Update xbench")
    _check_form(document, file)
    return dict(document)


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if not (path / RESULT).exists() and (path / REQUEST).exists():
        fix = f"Finish it with: xbench compare --resume {path}"
        raise UsageError(f"{path} has no result yet", fix)
    return path / RESULT


def _check_form(document: dict[str, Any], file: Path) -> None:
    wrong = [name for name, kind in _FORM.items() if not isinstance(document.get(name), kind)]
    wrong += [] if isinstance(document.get("run_id"), str) else ["run_id"]
    if not wrong and not all(isinstance(row, dict) for row in document["results"]):
        wrong.append("results")
    if wrong:
        what = f"{file} is no result of xbench: {', '.join(wrong)} missing or of another form"
        raise UsageError(what, NO_RESULT)


def _way_out(file: Path) -> str:
    if file.name == RESULT and (file.parent / REQUEST).exists():
        return (
            "`xbench history` moves it aside; take it from a bundle again, or measure it with: "
            f"xbench compare --resume {file.parent}"
        )
    return "Take it from where it was copied, or from a bundle, again"


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
