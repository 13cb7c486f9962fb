"""A home of its own for each test: nobody's real profiles take part."""

from __future__ import annotations

from pathlib import Path

import pytest

MINIMAL = """\
name = "mine"
title = "My board"
[[cpu.clusters]]
count = 4
[memory]
size = "4 GiB"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home, and forget where the real one keeps profiles."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for variable in ("XBENCH_PROFILES", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return home


@pytest.fixture
def own(home: Path) -> Path:
    """Return the folder in which the user's profiles lie by default."""
    folder = home / ".config" / "xbench" / "profiles"
    folder.mkdir(parents=True)
    return folder
