"""Groups of a worker's own: made where no limit is escaped, and gone afterwards, always."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.xbench.caps.conftest import Kernel
from xbench import cgroup
from xbench.caps import groups
from xbench.caps.groups import Groups, memory_cap, quota_cap
from xbench.cgroup import ROOT


def capped(root: Path, memory_bytes: int = 2**29, cpus: float = 0.5) -> Groups:
    """Return groups with a cap on memory and one on CPU time."""
    own = Groups(root)
    own.impose(memory_cap(own.version, memory_bytes))
    own.impose(quota_cap(own.version, cpus))
    return own


def test_version_1_has_a_group_for_each_controller_inside_this_process_own(kernel: Kernel) -> None:
    kernel.version_1()
    own = capped(kernel.root)
    memory, cpu = own.folders["memory"], own.folders["cpu"]
    assert (memory.parent, cpu.parent) == (kernel.tree / "memory/m", kernel.tree / "cpu/c")
    assert cgroup.limit_of(memory) == 2**29
    assert (memory / "memory.memsw.limit_in_bytes").read_text() == str(2**29)
    assert (cpu / "cpu.cfs_quota_us").read_text() == "2500"
    assert (cpu / "cpu.cfs_period_us").read_text() == "5000"
    own.enter(4_190_000)
    assert groups.members(memory) == groups.members(cpu) == [4_190_000]
    own.remove()
    own.remove()
    assert kernel.made() == []


def test_version_2_has_one_group_for_both(kernel: Kernel) -> None:
    kernel.version_2("/box")
    own = capped(kernel.root)
    (folder,) = kernel.made()
    assert folder.parent == kernel.tree / "box"
    assert (folder / "memory.max").read_text() == str(2**29)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "cpu.max").read_text() == "2500 5000"
    own.remove()
    assert kernel.made() == []


@contextmanager
def without(kernel: Kernel, name: str) -> Iterator[None]:
    """Let a file of new groups take nothing."""

    def make(folder: Path) -> None:
        kernel.make(folder)
        (folder / name).unlink()
        (folder / name).mkdir()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "make_folder", make)
        yield


def busy_parent(kernel: Kernel) -> None:
    """Let this process's own group refuse to hand a controller on, as one with processes does."""
    path = kernel.tree / "slice/box/cgroup.subtree_control"
    path.unlink()
    path.mkdir()


def test_version_2_goes_beside_a_group_that_has_processes_and_no_limit(kernel: Kernel) -> None:
    kernel.version_2("/slice/box", memory__max="max", cpu__max="max 100000")
    busy_parent(kernel)
    capped(kernel.root)
    (folder,) = kernel.made()
    assert folder.parent == kernel.tree / "slice"


@pytest.mark.parametrize("limit", [{"memory__max": "1048576"}, {"cpu__max": "50000 100000"}])
def test_no_limit_of_a_group_is_escaped(kernel: Kernel, limit: dict[str, str]) -> None:
    """Beside its own group a worker would be free of what that allows."""
    kernel.version_2("/slice/box", **limit)
    busy_parent(kernel)
    own = Groups(kernel.root)
    with pytest.raises(OSError, match="directory"):
        own.impose(memory_cap(own.version, 2**29))
    assert kernel.made() == []


def test_without_groups_the_reason_is_told(tmp_path: Path) -> None:
    own = Groups(tmp_path)
    with pytest.raises(OSError, match="no control group for memory is mounted"):
        own.impose(memory_cap(own.version, 2**29))


def test_a_group_that_refuses_the_limit_is_not_left_behind(kernel: Kernel) -> None:
    kernel.version_1()

    own = Groups(kernel.root)
    with without(kernel, "memory.limit_in_bytes"), pytest.raises(OSError, match="directory"):
        own.impose(memory_cap(own.version, 2**29))
    assert kernel.made() == []


def test_swap_need_not_be_counted(kernel: Kernel) -> None:
    """Kernels without accounts of swap have no file for it, and the cap on memory holds."""
    kernel.version_1()

    with without(kernel, "memory.memsw.limit_in_bytes"):
        own = capped(kernel.root)
    assert cgroup.limit_of(own.folders["memory"]) == 2**29


@pytest.mark.parametrize(("cpus", "period_us"), [(1.5, 5000), (0.5, 5000), (0.1, 10_000)])
def test_a_quota_is_written_exactly_and_never_below_what_the_kernel_takes(
    cpus: float, period_us: int
) -> None:
    ((_, period), (_, quota)) = quota_cap(1, cpus).files
    assert int(period) == period_us
    assert int(quota) >= 1000
    assert int(quota) / int(period) == pytest.approx(cpus, rel=1e-3)


def test_groups_of_processes_that_are_gone_are_swept(kernel: Kernel) -> None:
    """Those of living ones, of other spaces of process ids and of other names are left alone."""
    kernel.version_1()
    parent = kernel.tree / "memory/m"
    gone = subprocess.run([sys.executable, "-c", PRINT_NAME], capture_output=True, text=True)
    living, other = groups.new_name(), "xbench-1-2-3-4"
    reused = groups.new_name().split("-")
    reused[3] = "1"  # the process id of this process, which started at another time
    foreign = ("xbench-mine", "docker-1")
    for name in (gone.stdout.strip(), living, other, "-".join(reused), *foreign):
        kernel.make(parent / name)
    groups.sweep(parent)
    assert {path.name for path in parent.iterdir()} == {living, other, *foreign}


def runs(pid: int) -> bool:
    """Return whether a process is there, and not only its name."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


PRINT_NAME = "from xbench.caps.groups import new_name; print(new_name())"


def test_a_group_that_cannot_be_made_is_no_error_of_the_sweep(tmp_path: Path) -> None:
    groups.sweep(tmp_path / "there is none")


@pytest.mark.usefixtures("writable")
def test_the_kernel_holds_what_was_written() -> None:
    """The real one, where a group can be made: limits are read back, and nothing is left."""
    own = Groups(ROOT)
    own.impose(memory_cap(own.version, 2**29))
    (folder,) = own.folders.values()
    assert cgroup.limit_of(folder) == 2**29
    assert cgroup.kills_of(folder) == 0
    own.remove()
    assert not folder.exists()


@pytest.mark.usefixtures("writable")
def test_what_runs_in_a_group_ends_with_it() -> None:
    """A child that has left the worker's process group as well."""
    own = Groups(ROOT)
    own.impose(memory_cap(own.version, 2**29))
    script = "read -r go; setsid sleep 60 & echo $!; wait"
    shell = subprocess.Popen(
        ["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert shell.stdin
    assert shell.stdout
    own.enter(shell.pid)
    shell.stdin.write("go\n")
    shell.stdin.flush()
    child = int(shell.stdout.readline())
    assert runs(child)
    own.remove()
    shell.communicate()
    assert shell.returncode == -signal.SIGKILL
    assert not runs(child)


@pytest.mark.usefixtures("writable")
def test_groups_of_a_parent_that_was_killed_are_removed_by_the_next() -> None:
    """With what still runs in them."""
    parent = subprocess.Popen([sys.executable, "-c", CRASHES], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    folder, child = parent.stdout.readline().split()
    assert Path(folder).is_dir()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    next_one = Groups(ROOT)
    next_one.impose(memory_cap(next_one.version, 2**29))
    next_one.remove()
    assert not Path(folder).exists()
    assert not runs(int(child))


CRASHES = """
import subprocess
from time import sleep
from xbench.caps.groups import Groups, memory_cap

own = Groups()
own.impose(memory_cap(own.version, 2**29))
child = subprocess.Popen(["sleep", "60"])
own.enter(child.pid)
print(*own.folders.values(), child.pid, flush=True)
sleep(60)
"""
