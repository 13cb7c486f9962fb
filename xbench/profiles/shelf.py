"""Where profiles lie: those that xbench ships, and the user's own beside them.

The user's are the ``*.toml`` files in the folders of ``$XBENCH_PROFILES`` (parted as in
``$PATH``); without it in ``xbench/profiles`` of ``$XDG_CONFIG_HOME``, else of ``~/.config``.
The user's wins over a shipped one of the same name, an earlier folder over a later one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from xbench.errors import UnknownNameError, UsageError
from xbench.profiles.model import KINDS, Profile
from xbench.profiles.parse import parse

VARIABLE = "XBENCH_PROFILES"
LISTING = "xbench profiles"


def profiles() -> tuple[Profile, ...]:
    """Return every profile, devices before generic ones, each kind by name.

    Raises:
        UsageError: If a file of the user's cannot be read or used: by file and key.
    """
    found = {profile.name.casefold(): profile for profile in shipped()}
    names = {*found, *(profile.family.casefold() for profile in shipped())}
    for profile in _own():
        key = profile.name.casefold()
        found[key] = replace(profile, hides=key in names)
    return tuple(sorted(found.values(), key=_order))


def find_profile(name_or_path: str) -> Profile:
    """Return the profile of that name, or of that TOML file.

    A name is one of `profiles`, or that of a family for its default memory size, in any case.
    What has a separator or ends in ``.toml`` is a path.

    Raises:
        UnknownNameError: If there is none of that name.
        UsageError: If the file cannot be read or used.
    """
    if name_or_path.endswith(".toml") or os.sep in name_or_path:
        return _default(_read(Path(name_or_path)))
    every = profiles()
    by_name = {profile.name.casefold(): profile for profile in every}
    # The user's families before the shipped ones, whose sizes the user's profiles may hide.
    families = [*(p for p in every if p.origin is not None), *shipped()]
    meant = {p.family.casefold(): p.name.casefold() for p in reversed(families) if p.default}
    wanted = name_or_path.casefold()
    found = by_name.get(wanted) or by_name.get(meant.get(wanted, ""))
    if found is not None:
        return found
    known = [profile.name for profile in every]
    known += [profile.family for profile in every if profile.family not in known]
    raise UnknownNameError("profile", name_or_path, tuple(known), LISTING)


@cache
def shipped() -> tuple[Profile, ...]:
    """Return the profiles that xbench ships."""
    data = files(__package__).joinpath("data")
    names = sorted(entry.name for entry in data.iterdir() if entry.name.endswith(".toml"))
    return tuple(p for name in names for p in parse(data.joinpath(name).read_bytes(), name))


def folders() -> tuple[Path, ...]:
    """Return the folders of the user's own profiles, the first one first.

    Raises:
        UsageError: If ``$XBENCH_PROFILES`` names a folder that is not there.
    """
    if asked := os.environ.get(VARIABLE):
        named = tuple(Path(part).expanduser() for part in asked.split(os.pathsep) if part)
        for folder in named:
            if not folder.is_dir():
                fix = "Make it, or change the variable"
                raise UsageError(f"${VARIABLE} names {folder}, which is no folder", fix)
        return named
    config = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        # The XDG rules: a path that is not absolute is ignored.
        base = Path(config) if Path(config).is_absolute() else Path.home() / ".config"
        folder = base / "xbench" / "profiles"
        return (folder,) if folder.is_dir() else ()
    except (RuntimeError, OSError):  # no home, or none that we may look into: no profiles in it
        return ()


def _own() -> Iterator[Profile]:
    """Yield the user's profiles, those of the first folder last: what comes last stays."""
    for folder in reversed(folders()):
        seen: dict[str, Path] = {}
        for path in _files(folder):
            for profile in _read(path):
                other = seen.setdefault(profile.name.casefold(), path)
                if other != path:
                    reason = f"{path} and {other} both define {profile.name!r}"
                    raise UsageError(reason, "Rename one, or remove it")
                yield profile


def _files(folder: Path) -> Iterable[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}", "Check its rights") from error


def _read(path: Path) -> tuple[Profile, ...]:
    path = path.expanduser()
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no file", "Name a profile's TOML file")
        text = path.read_bytes()
    except OSError as error:
        fix = f"Name a profile's TOML file, or a name from `{LISTING}`"
        raise UsageError(f"cannot read {path}: {error.strerror}", fix) from error
    return parse(text, str(path), path)


def _default(found: tuple[Profile, ...]) -> Profile:
    return next(profile for profile in found if profile.default)


def _order(profile: Profile) -> tuple[int, list[tuple[int, int, str]]]:
    """Return by what profiles are sorted: kind, then name, its numbers by their size."""
    parts = re.findall(r"[0-9]+|[^0-9]+", profile.name.casefold())
    name = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]
    return KINDS.index(profile.kind), name
