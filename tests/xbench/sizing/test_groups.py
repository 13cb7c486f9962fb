"""Profiles that are the same caps here are measured once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.sizing.made import GIB, MIB, bare, device, wanted
from xbench.errors import UnknownNameError, UsageError
from xbench.profiles import profiles
from xbench.sizing.groups import Room, grouped, room
from xbench.sizing.groups import wanted as named


def test_profiles_with_more_threads_than_the_host_share_its_caps() -> None:
    """Two CPUs: a device of four cores and one of eight are one set of caps, one core another."""
    asked = wanted(
        device("four"), device("eight", threads=8, memory=16 * GIB), bare("one", threads=1)
    )
    groups = grouped(asked, 2)
    assert [(one.threads, len(one.members)) for one in groups] == [(2, 2), (1, 1)]
    assert groups[0].lead.profile.name == "eight"
    assert len(grouped(asked, 64)) == 3


@given(
    st.lists(st.tuples(st.integers(1, 16), st.integers(1, 64)), min_size=1, max_size=20),
    st.integers(1, 16),
)
def test_every_profile_is_in_one_group_whose_lead_has_the_most_memory(
    made: list[tuple[int, int]], cpus: int
) -> None:
    asked = wanted(*(bare(f"p{i}", threads=t, memory=m * MIB) for i, (t, m) in enumerate(made)))
    groups = grouped(asked, cpus)
    assert sorted(one.profile.name for group in groups for one in group.members) == sorted(
        one.profile.name for one in asked
    )
    for group in groups:
        assert group.threads <= cpus
        assert group.lead.cap_bytes == max(one.cap_bytes for one in group.members)


def test_the_shipped_profiles_are_few_sets_of_caps_on_a_small_host() -> None:
    assert len(grouped(named(["all"]), 2)) == 2
    assert len(named(["all"])) == len(profiles())


def test_names_files_and_all_are_each_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ntitle = "Mine"\n[[cpu.clusters]]\ncount = 2\n[memory]\nsize = "1 GiB"\n'
    )
    found = named(["rpi5", "RPI5-8GB", str(path), "all"])
    assert [one.reference for one in found[:2]] == ["rpi5-8gb", str(path)]
    assert len({one.profile.name for one in found}) == len(found)
    with pytest.raises(UnknownNameError, match="Did you mean 'rpi5'"):
        named(["rpi55"])
    with pytest.raises(UsageError, match="names none"):
        named([])


@given(st.integers(1, 2**40), st.integers(1, 2**40), st.integers(0, 2**40))
def test_more_memory_never_leaves_less_room(peak: int, cap: int, more: int) -> None:
    order = list(Room)
    assert order.index(room(peak, cap + more)) <= order.index(room(peak, cap))


def test_near_is_a_fifth_below_the_cap_to_a_quarter_above() -> None:
    """What is near has to be run under the cap: the kernel may or may not take back enough."""
    rooms = [room(peak, 1000) for peak in (800, 801, 1250, 1251)]
    assert rooms == [Room.ENOUGH, Room.NEAR, Room.NEAR, Room.TOO_LITTLE]
