"""Where files of claims lie: those that xbench ships, and any path."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from xbench.claims.claim import ClaimsFile
from xbench.claims.parse import parse
from xbench.errors import UnknownNameError, UsageError

SUFFIXES = (".yaml", ".yml")
LISTING = "xbench verify"


def find_claims(name_or_path: str) -> ClaimsFile:
    """Return the claims of a file, or of the shipped one of that name.

    What has a separator, ends in ``.yaml`` or is there is a path.

    Raises:
        UnknownNameError: If no shipped file has the name.
        UsageError: If the file cannot be read or used, with the line and the field.
    """
    path = Path(name_or_path)
    if path.suffix in SUFFIXES or len(path.parts) > 1 or path.exists():
        return _read(path)
    known = {path.stem: path for path in _shipped_paths()}
    if name_or_path not in known:
        raise UnknownNameError("file of claims", name_or_path, tuple(known), LISTING)
    return _read(known[name_or_path])


@cache
def shipped() -> tuple[ClaimsFile, ...]:
    """Return the files that xbench ships, by name."""
    return tuple(map(_read, _shipped_paths()))


def _shipped_paths() -> list[Path]:
    folder = Path(str(files(__package__).joinpath("files")))
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def _read(path: Path) -> ClaimsFile:
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no file", "Name a file of claims")
    try:
        data = path.read_bytes()
    except OSError as error:
        fix = f"Name a file of claims; `{LISTING}` lists those that xbench brings"
        raise UsageError(f"cannot read {path}: {error.strerror}", fix) from error
    return parse(data, str(path), path)
