"""What control groups grant is read in both versions, as containers lay them out."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from xbench import cgroup


def tree(root: Path, group: str, **files: str) -> Path:
    """Write a tree as the kernel shows it; names are paths with ``__`` for a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def file(name: str) -> str:
    return name.replace("/", "__")


def test_version_2_is_read_from_the_process_own_group(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "0::/pod/box\n",
        **{
            "cgroup.controllers": "cpu memory",
            file("pod/box/cpu.max"): "150000 100000",
            file("pod/box/memory.max"): "4294967296",
            file("pod/box/memory.events"): "low 0\nhigh 0\noom 9\noom_kill 3\noom_group_kill 1",
        },
    )
    assert cgroup.version(root) == 2
    assert cgroup.cpu_quota(root) == 1.5
    assert cgroup.memory_limit_bytes(root) == 2**32
    assert cgroup.oom_kills(root) == 3


def test_version_1_is_read_controller_by_controller(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "4:memory:/m\n3:cpuset:/\n1:cpu,cpuacct:/c\n0::/\n",
        **{
            file("cpu/c/cpu.cfs_quota_us"): "50000",
            file("cpu/c/cpu.cfs_period_us"): "100000",
            file("memory/m/memory.limit_in_bytes"): "1048576",
            file("memory/m/memory.oom_control"): "oom_kill_disable 0\nunder_oom 0\noom_kill 7",
        },
    )
    assert cgroup.version(root) == 1
    assert cgroup.cpu_quota(root) == 0.5
    assert cgroup.memory_limit_bytes(root) == 2**20
    assert cgroup.oom_kills(root) == 7


def test_the_narrowest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "0::/slice/box\n",
        **{
            "cgroup.controllers": "cpu memory",
            file("slice/box/cpu.max"): "400000 100000",
            file("slice/cpu.max"): "200000 100000",
            file("slice/box/memory.max"): "max",
            file("slice/memory.max"): "2048",
        },
    )
    assert cgroup.cpu_quota(root) == 2
    assert cgroup.memory_limit_bytes(root) == 2048


def test_a_group_mounted_as_the_root_is_found_under_the_hosts_path(tmp_path: Path) -> None:
    """As containers without a namespace of their own see it."""
    root = tree(
        tmp_path,
        "0::/docker/0123456789\n",
        **{"cgroup.controllers": "cpu", "cpu.max": "300000 100000", "memory.events": "oom_kill 2"},
    )
    assert cgroup.cpu_quota(root) == 3
    assert cgroup.oom_kills(root) == 2


@pytest.mark.parametrize("quota", ["max 100000", "100000 0", "garbage", ""])
def test_no_limit_is_none_and_never_a_number(tmp_path: Path, quota: str) -> None:
    root = tree(
        tmp_path,
        "0::/box\n",
        **{
            "cgroup.controllers": "cpu",
            file("box/cpu.max"): quota,
            file("box/memory.max"): "max",
            file("memory.max"): "9223372036854771712",  # how version 1 spells it
        },
    )
    assert cgroup.cpu_quota(root) is None
    assert cgroup.memory_limit_bytes(root) is None


def test_a_path_that_leads_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    """A process outside its namespace's root is shown as ``/../..``."""
    (tmp_path / "etc").mkdir()
    root = tree(
        tmp_path, "0::/../../../etc\n", **{"cgroup.controllers": "", "cpu.max": "100000 100000"}
    )
    (tmp_path / "etc/cpu.max").write_text("1 100000")
    assert cgroup.cpu_quota(root) == 1


def test_where_there_are_no_groups_everything_is_none(tmp_path: Path) -> None:
    assert cgroup.version(tmp_path) is None
    assert cgroup.cpu_quota(tmp_path) is None
    assert cgroup.memory_limit_bytes(tmp_path) is None
    assert cgroup.oom_kills(tmp_path) is None


def test_the_whole_machines_count_of_kills_is_the_last_resort(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/vmstat").write_text("oom_kill_other 4\noom_kill 12\n")
    assert cgroup.oom_kills(tmp_path) == 12


def test_a_kill_that_is_not_for_memory_is_not_counted() -> None:
    """On this very machine: the counter can be read, and SIGKILL alone leaves it."""
    before = cgroup.oom_kills()
    child = multiprocessing.get_context("spawn").Process(target=signal.pause)
    child.start()
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert cgroup.oom_kills() == before


def test_what_another_process_is_granted_is_read_from_its_own_groups(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "4:memory:/m\n1:cpu,cpuacct:/c\n",
        **{
            file("memory/m/w/memory.limit_in_bytes"): "4096",
            file("memory/m/w/memory.max_usage_in_bytes"): "2048",
            file("memory/m/w/memory.oom_control"): "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
            file("memory/m/memory.limit_in_bytes"): "8192",
            file("cpu/c/w/cpu.cfs_quota_us"): "2500",
            file("cpu/c/w/cpu.cfs_period_us"): "5000",
        },
    )
    (root / "proc/77").mkdir()
    (root / "proc/77/cgroup").write_text("4:memory:/m/w\n1:cpu,cpuacct:/c/w\n")
    assert cgroup.memory_limit_bytes(root) == 8192
    assert cgroup.memory_limit_bytes(root, "77") == 4096
    assert cgroup.cpu_quota(root) is None
    assert cgroup.cpu_quota(root, "77") == 0.5
    folder = next(cgroup.folders("memory", root, "77"))
    assert (cgroup.limit_of(folder), cgroup.peak_of(folder), cgroup.kills_of(folder)) == (
        4096,
        2048,
        2,
    )


def test_what_one_group_does_not_tell_is_none(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max")
    assert cgroup.limit_of(tmp_path) is None
    assert cgroup.peak_of(tmp_path) is None
    assert cgroup.kills_of(tmp_path) is None
