"""The user's profiles stand beside the shipped ones, and win over them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xbench.errors import UnknownNameError, UsageError
from xbench.profiles import find_profile, profiles
from xbench.profiles.shelf import shipped

from .conftest import MINIMAL


def named(name: str, title: str = "My board") -> str:
    return MINIMAL.replace('"mine"', f'"{name}"').replace("My board", title)


def test_a_shipped_profile_is_found_by_its_name_in_any_case() -> None:
    assert find_profile("rpi5-4gb").memory.size_bytes == 4 * 2**30
    assert find_profile("1-CORE-512mb").name == "1-core-512MB"


def test_a_family_means_its_default_memory_size() -> None:
    assert find_profile("rpi5").name == "rpi5-8gb"
    assert find_profile("rpi4b").name == "rpi4b-4gb"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="xbench profiles") as caught:
        find_profile("rpi5-3gb")
    assert caught.value.suggestion in {"rpi5-2gb", "rpi5-4gb", "rpi5-8gb"}


def test_a_users_profile_stands_among_the_others(own: Path) -> None:
    (own / "mine.toml").write_text(MINIMAL)
    (own / "notes.txt").write_text("not a profile")
    profile = find_profile("mine")
    assert (profile.title, profile.origin, profile.hides) == ("My board", own / "mine.toml", False)
    assert len(profiles()) == len(shipped()) + 1


def test_a_users_profile_wins_over_the_shipped_one_and_says_so(own: Path) -> None:
    (own / "a.toml").write_text(named("rpi5-8gb"))
    assert (find_profile("rpi5-8gb").title, find_profile("rpi5-8gb").hides) == ("My board", True)
    assert find_profile("rpi5").title == "My board"  # which means rpi5-8gb
    assert find_profile("rpi5-4gb").title == "Raspberry Pi 5"
    assert len(profiles()) == len(shipped())


def test_a_users_profile_can_take_a_familys_name(own: Path) -> None:
    (own / "a.toml").write_text(named("rpi5"))
    assert (find_profile("RPI5").title, find_profile("rpi5").hides) == ("My board", True)
    assert find_profile("rpi5-8gb").title == "Raspberry Pi 5"


def test_a_users_family_means_its_own_default(own: Path) -> None:
    """Further memory sizes of a shipped family: the bare name is the user's default."""
    sizes = '[memory]\n[variants.6gb]\nsize = "6 GiB"\n'
    (own / "a.toml").write_text(named("rpi5").replace('[memory]\nsize = "4 GiB"\n', sizes))
    assert find_profile("rpi5").name == "rpi5-6gb"
    assert find_profile("rpi5-8gb").origin is None


def test_folders_of_the_variable_stand_in_for_the_default_one(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first folder wins, as in a PATH; the default folder is not read."""
    (own / "c.toml").write_text(named("elsewhere"))
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, title in ((first, "First"), (second, "Second")):
        folder.mkdir()
        (folder / "a.toml").write_text(named("mine", title))
    (second / "b.toml").write_text(named("other"))
    monkeypatch.setenv("XBENCH_PROFILES", f"{first}{os.pathsep}{second}{os.pathsep}")
    assert (find_profile("mine").title, find_profile("other").title) == ("First", "My board")
    with pytest.raises(UnknownNameError):
        find_profile("elsewhere")


def test_a_folder_of_the_variable_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XBENCH_PROFILES", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"XBENCH_PROFILES.*nowhere"):
        profiles()


def test_the_xdg_folder_is_used_where_it_is_absolute(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own / "mine.toml").write_text(MINIMAL)
    folder = tmp_path / "config" / "xbench" / "profiles"
    folder.mkdir(parents=True)
    (folder / "a.toml").write_text(named("other"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert find_profile("other").origin == folder / "a.toml"
    with pytest.raises(UnknownNameError):
        find_profile("mine")
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    assert find_profile("mine").origin == own / "mine.toml"


def test_two_files_of_one_folder_cannot_share_a_name(own: Path) -> None:
    (own / "a.toml").write_text(MINIMAL)
    (own / "b.toml").write_text(named("MINE"))
    with pytest.raises(UsageError, match=r"b\.toml and .*a\.toml both define 'MINE'"):
        profiles()


def test_a_broken_file_is_named_with_its_key(own: Path) -> None:
    (own / "bad.toml").write_text(MINIMAL.replace("count = 4", "count = 0"))
    with pytest.raises(UsageError, match=r"bad\.toml: cpu\.clusters\[0\]\.count"):
        find_profile("rpi5")


def test_a_path_needs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.toml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    for path in ("p.toml", "./p.toml", str(tmp_path / "p.toml")):
        assert find_profile(path).name == "mine"


@pytest.mark.parametrize("path", ["nowhere.toml", "./nowhere"])
def test_a_path_to_nothing_says_so(path: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read nowhere"):
        find_profile(path)
    with pytest.raises(UsageError, match="is no file"):
        find_profile(f"{tmp_path}{os.sep}")


def test_no_home_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a service without one: the shipped profiles are there."""

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    assert len(profiles()) == len(shipped())
