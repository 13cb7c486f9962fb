"""Caps are in force from a worker's first instruction, hold for its children, and are explained."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.xbench.caps.conftest import Kernel
from xbench.adapter import Limits
from xbench.caps import OPEN, Caps
from xbench.caps.impose import affinity
from xbench.cgroup import ROOT

CAP_BYTES = 2**28
LOOK = """
import json, resource, subprocess, sys, time
look = "print(open('/proc/self/cgroup').read(), end='')"
told = {"limit": resource.getrlimit(resource.RLIMIT_AS)[0], "own": open("/proc/self/cgroup").read()}
told["child"] = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout
print(json.dumps(told), flush=True)
time.sleep(60)
"""
TAKE = "held = []\nwhile True:\n    held.append(b'x' * 2**24)"


@contextmanager
def started(caps: Caps, code: str, root: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    """Start an interpreter under caps, as `xbench.process` does."""
    process = subprocess.Popen(
        caps.command([sys.executable, "-c", code]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        caps.impose(process.pid)
        assert process.stdin
        process.stdin.write(OPEN.decode())
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()
        caps.remove()


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


@pytest.mark.usefixtures("writable")
def test_a_group_holds_the_worker_and_its_children_from_the_first_instruction() -> None:
    caps = Caps(Limits(1, memory_bytes=CAP_BYTES))
    assert caps.by["memory"].startswith("cgroup v")
    with started(caps, LOOK) as process:
        seen = told(process)
        assert "/xbench-" in seen["own"]
        assert seen["child"] == seen["own"]
        read = caps.told([process.pid])["read"]
    assert read["memory_limit_bytes"] == CAP_BYTES
    assert 0 < read["memory_peak_bytes"] <= CAP_BYTES
    assert read["memory_kills"] == 0


@pytest.mark.usefixtures("unwritable")
def test_without_groups_the_address_space_is_limited_and_the_reason_told() -> None:
    caps = Caps(Limits(1, memory_bytes=CAP_BYTES))
    assert caps.by["memory"] == "RLIMIT_AS (no control group: Read-only file system)"
    with started(caps, LOOK) as process:
        assert told(process)["limit"] == CAP_BYTES
        assert caps.told([process.pid])["read"]["address_space_bytes"] == CAP_BYTES


@pytest.mark.usefixtures("unwritable")
def test_a_gpu_without_groups_is_not_capped_and_says_so() -> None:
    """Its driver reserves more address space than any cap leaves."""
    caps = Caps(Limits(1, memory_bytes=CAP_BYTES, device="cuda:0"))
    assert caps.by["memory"] == "nothing (no control group: Read-only file system)"


def test_a_group_that_lets_nobody_in_falls_back_too(kernel: Kernel) -> None:
    kernel.version_1()
    caps = Caps(Limits(1, memory_bytes=CAP_BYTES, quota_cpus=0.5), root=kernel.root)
    assert caps.by["memory"] == "cgroup v1 memory.limit_in_bytes"
    assert caps.by["quota"] == "cgroup v1 cpu.cfs_quota_us"
    for folder in kernel.made():
        (folder / "cgroup.procs").unlink()
        (folder / "cgroup.procs").mkdir()
    with started(caps, LOOK) as process:
        assert told(process)["limit"] == CAP_BYTES
    assert caps.by["memory"] == "RLIMIT_AS (no control group: Is a directory)"
    assert caps.by["quota"] == "nothing (no control group: Is a directory)"
    assert kernel.made() == []


def test_without_caps_the_interpreter_is_started_itself() -> None:
    caps = Caps(Limits(2, (0, 1)))
    assert not caps.gated
    assert caps.command(["python"]) == ["python"]
    assert set(caps.by) == {"threads", "cpus"}


def test_a_worker_whose_parent_is_gone_never_starts() -> None:
    """It waits for a word, and the end of the pipe is none."""
    caps = Caps(Limits(1, memory_bytes=CAP_BYTES), root=Path("/nowhere"))
    done = subprocess.run(
        caps.command([sys.executable, "-c", "print('ran')"]),
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.usefixtures("writable")
def test_the_kernels_kill_in_the_group_is_explained_with_the_cap() -> None:
    caps = Caps(Limits(1, memory_bytes=CAP_BYTES))
    with started(caps, TAKE) as process:
        process.wait(30)
        why = caps.out_of_memory("")
    assert why
    assert why[0].startswith("it needs more than the 256 MiB that it was capped to (the kernel's")


@pytest.mark.usefixtures("unwritable")
def test_a_refusal_of_address_space_is_explained_for_what_it_is() -> None:
    caps = Caps(Limits(1, memory_bytes=CAP_BYTES))
    with started(caps, TAKE) as process:
        _, said = process.communicate()
        why = caps.out_of_memory(said)
    assert why
    assert (
        why[0]
        == "it needs more than the 256 MiB of address space that it was capped to (MemoryError)"
    )
    assert "control group" in why[1]


@pytest.mark.parametrize(
    "said",
    [
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  ...",
        "ImportError: liba.so: failed to map segment from shared object",
        "RuntimeError: can't start new thread",
        "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_what_frameworks_say_of_too_little_memory_is_known(kernel: Kernel, said: str) -> None:
    kernel.version_1()
    caps = Caps(Limits(1, memory_bytes=5 * 10**8), root=kernel.root)
    why = caps.out_of_memory(f"{said}\nAborted (core dumped)")
    assert why
    assert why[0].startswith("it needs more than the 500 MB that it was capped to (")


def test_what_is_known_to_be_for_memory_needs_no_sign(kernel: Kernel) -> None:
    """A framework's own words, which the worker has understood already."""
    kernel.version_1()
    caps = Caps(Limits(1, memory_bytes=CAP_BYTES), root=kernel.root)
    assert caps.out_of_memory("Exception: in initialisation:") is None
    why = caps.out_of_memory("Exception: in initialisation:", certain=True)
    assert why
    assert "256 MiB that it was capped to (Exception: in initialisation:)" in why[0]


def test_other_ends_are_not_the_caps(kernel: Kernel) -> None:
    """Nor is a kill of the machine's own, far below the cap."""
    kernel.version_1()
    caps = Caps(Limits(1, memory_bytes=CAP_BYTES), root=kernel.root)
    assert caps.out_of_memory("Segmentation fault") is None
    (folder,) = kernel.made()
    (folder / "memory.oom_control").write_text("oom_kill 1")
    (folder / "memory.max_usage_in_bytes").write_text(str(CAP_BYTES // 2))
    assert caps.out_of_memory("") is None
    (folder / "memory.max_usage_in_bytes").write_text(str(CAP_BYTES))
    assert caps.out_of_memory("")
    assert Caps(Limits(1)).out_of_memory("MemoryError") is None


def test_the_affinity_of_every_thread_is_read(tmp_path: Path) -> None:
    code = "import os, sys; os.sched_setaffinity(0, {0}); print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()
    assert affinity([process.pid]) == [0]
    process.communicate()
    assert affinity([process.pid]) == []
