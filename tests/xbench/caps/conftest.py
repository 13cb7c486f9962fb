"""What the tests of caps share: a simulated kernel, and where the real one lets groups be made."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from xbench.caps import groups
from xbench.caps.groups import Groups, memory_cap
from xbench.cgroup import ROOT

OF_VERSION_1 = {
    "memory.limit_in_bytes": "9223372036854771712",
    "memory.memsw.limit_in_bytes": "9223372036854771712",
    "memory.max_usage_in_bytes": "0",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
    "cpu.cfs_quota_us": "-1",
    "cpu.cfs_period_us": "100000",
}
OF_VERSION_2 = {
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.peak": "0",
    "memory.events": "low 0\noom 0\noom_kill 0",
    "cpu.max": "max 100000",
}


class Kernel:
    """A tree of groups in a folder, which fills a new group's folder as the kernel does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = OF_VERSION_1
        (root / "proc/self").mkdir(parents=True)

    def version_1(self, memory: str = "/m", cpu: str = "/c") -> None:
        """Put this process into a group of each controller."""
        (self.root / "proc/self/cgroup").write_text(f"4:memory:{memory}\n1:cpu,cpuacct:{cpu}\n")
        for folder in (f"memory{memory}", f"cpu{cpu}"):
            (self.tree / folder).mkdir(parents=True)

    def version_2(self, group: str, **controls: str) -> None:
        """Put this process into a group; ``controls`` are files of it, with ``__`` for a dot."""
        (self.root / "proc/self/cgroup").write_text(f"0::{group}\n")
        self.files = OF_VERSION_2
        own = self.tree / group.lstrip("/")
        own.mkdir(parents=True)
        (self.tree / "cgroup.controllers").write_text("cpu memory")
        for folder in (own, *own.parents):
            if folder.is_relative_to(self.tree):
                (folder / "cgroup.subtree_control").write_text("")
        for name, text in controls.items():
            (own / name.replace("__", ".")).write_text(text)

    @property
    def tree(self) -> Path:
        """Return where groups are mounted."""
        return self.root / "sys/fs/cgroup"

    def made(self) -> list[Path]:
        """Return every group of a worker that there is."""
        return sorted(path for path in self.tree.rglob("xbench-*") if path.is_dir())

    def make(self, folder: Path) -> None:
        """Make a group."""
        folder.mkdir()
        for name, text in {**self.files, groups.MEMBERS: ""}.items():
            (folder / name).write_text(text)

    def drop(self, folder: Path) -> None:
        """Remove a group, unless a process is in it."""
        for pid in groups.members(folder):
            with suppress(OSError):
                os.kill(pid, 0)
                raise OSError(errno.EBUSY, "Device or resource busy")
        shutil.rmtree(folder)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Return a simulated kernel, in the place of the real one."""
    simulated = Kernel(tmp_path)
    monkeypatch.setattr(groups, "make_folder", simulated.make)
    monkeypatch.setattr(groups, "drop_folder", simulated.drop)
    return simulated


@pytest.fixture
def writable() -> None:
    """Skip where the real kernel lets no group be made."""
    own = Groups(ROOT)
    try:
        own.impose(memory_cap(own.version, 2**30))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    finally:
        own.remove()


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no group be made, as in most containers."""

    def refuse(folder: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))

    monkeypatch.setattr(groups, "make_folder", refuse)
