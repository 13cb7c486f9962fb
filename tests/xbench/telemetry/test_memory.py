"""A process that takes known amounts: each is found in its phase, and nowhere else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import monotonic_ns, sleep
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.telemetry.children import ChildWatch, in_phases, living
from xbench.telemetry.memory import (
    HostMemory,
    allocator_options,
    lag_bytes,
    total,
    with_children,
)
from xbench.telemetry.usage import Usage

MB = 10**6
SLACK = 12 * MB  # of Python itself, between two readings


def phases_of(program: str) -> dict[str, Any]:
    """Return what a process tells that runs ``program`` with ``memory`` and ``MB`` given."""
    told = "; import json; print(json.dumps(memory.told()))"
    start = "from xbench.telemetry.memory import HostMemory; memory = HostMemory(); MB = 10**6\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{start}{program}{told}"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def near(size: int, expected: int) -> bool:
    return abs(size - expected) <= SLACK


def test_a_peak_belongs_to_the_phase_in_which_it_was_reached() -> None:
    """200 MB for a moment, then nothing: the next phase knows nothing of it."""
    told = phases_of(
        "memory.end('before'); b'x' * (200 * MB); memory.end('moment'); memory.end('after')"
    )
    before, moment, after = told["phases"].values()
    assert told["not_reset"] is None
    assert near(moment["peak"] - before["peak"], 200 * MB)
    assert near(moment["rss"], before["rss"])
    assert near(after["peak"], before["peak"])


def test_what_is_kept_is_private_anonymous_memory() -> None:
    told = phases_of("memory.end('before'); kept = b'x' * (200 * MB); memory.end('kept')")
    before, kept = told["phases"].values()
    for figure in ("rss", "pss", "private", "anonymous"):
        assert near(kept[figure] - before[figure], 200 * MB), figure
    assert near(kept["file"], before["file"])
    assert kept["children"] == 0


def test_memory_that_was_given_back_and_stays_in_the_heap_is_free() -> None:
    """Blocks too small to have pages of their own, and one above them that is kept."""
    told = phases_of(
        "memory.end('before'); blocks = [bytes(50_000) for _ in range(2000)]; "
        "kept = bytes(60_000); memory.end('taken'); del blocks; memory.end('freed')"
    )
    before, taken, freed = told["phases"].values()
    if before["free"] is None:
        pytest.skip("this C library does not tell")
    assert near(taken["free"], before["free"])
    assert near(freed["free"] - before["free"], 100 * MB)
    assert near(freed["rss"] - freed["free"], before["rss"] - before["free"])


def test_a_mapped_file_is_told_apart_from_the_heap(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"x" * (100 * MB))
    told = phases_of(
        f"import mmap; memory.end('before'); file = open({str(weights)!r}, 'rb'); "
        "mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ); "
        "sum(mapped[::4096]); memory.end('mapped')"
    )
    before, mapped = told["phases"].values()
    assert near(mapped["file"] - before["file"], 100 * MB)
    assert near(mapped["anonymous"], before["anonymous"])


def test_memory_that_is_only_promised_is_not_held() -> None:
    """A gigabyte of address space without a page in it."""
    told = phases_of(
        "import mmap; memory.end('before'); promised = mmap.mmap(-1, 10**9); memory.end('after')"
    )
    before, after = told["phases"].values()
    assert near(after["peak"], before["peak"])


def test_a_child_that_lives_on_counts_in_every_phase_that_it_lives_in() -> None:
    told = phases_of(
        "import subprocess, sys; memory.end('alone'); child = subprocess.Popen("
        "[sys.executable, '-c', 'x = b\"x\" * 10**8; print(1, flush=True); input()'], "
        "stdin=-1, stdout=-1); child.stdout.readline(); memory.end('begun'); "
        "memory.end('living'); child.communicate(b'1'); memory.end('over')"
    )
    alone, begun, living_, over = told["phases"].values()
    assert alone["children"] == over["children"] == 0
    for phase in (begun, living_):
        assert 100 * MB <= phase["children"] <= 100 * MB + 2 * SLACK
        assert near(phase["private"] - alone["private"], 100 * MB)


def test_a_child_that_has_ended_is_told_where_it_held_more_than_its_parent() -> None:
    child = "subprocess.run([sys.executable, '-c', 'b\"x\" * (300 * 10**6)'], check=True)"
    told = phases_of(f"import subprocess, sys; {child}; memory.end('child'); memory.end('after')")
    assert 300 * MB <= told["phases"]["child"]["ended"] <= 300 * MB + 2 * SLACK
    assert told["phases"]["after"]["ended"] == 0


def test_what_a_child_inherits_from_its_parents_count_is_not_its_own() -> None:
    """`ru_maxrss` of a child that holds next to nothing says 200 MB here."""
    program = (
        "import subprocess, sys; kept = b'x' * (200 * MB); "
        "subprocess.run([sys.executable, '-c', 'pass'], check=True); memory.end('child')"
    )
    told = phases_of(program)
    assert told["child_at_most"] >= 200 * MB
    assert told["phases"]["child"]["ended"] == 0


@pytest.mark.parametrize("how", ["exec", "fork"])
def test_a_child_that_ends_is_seen_from_outside(how: str) -> None:
    """300 MB for a moment, in a child of a process that itself holds more than that."""
    hold = "held = b'x' * (300 * 10**6); time.sleep(0.3)"
    run = {
        "exec": f"subprocess.run([sys.executable, '-c', {'import time; ' + hold!r}], check=True)",
        "fork": f"exec({'if not os.fork(): ' + hold + '; os._exit(0)'!r}); os.wait()",
    }[how]
    program = (
        f"import os, subprocess, sys, time; kept = b'x' * (400 * 10**6); print(1, flush=True); "
        f"input(); {run}; print(time.monotonic_ns(), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        with ChildWatch(process.pid) as watch:
            start_ns = monotonic_ns()
            process.stdin.write(b"1\n")
            process.stdin.flush()
            end_ns = int(process.stdout.readline())
        process.communicate(b"1\n")
    before, during, after = in_phases(watch.held, [start_ns, end_ns, monotonic_ns()])
    assert before == after == 0
    low = 300 * MB if how == "exec" else 150 * MB  # a copy counts what it grew since it was seen
    assert low <= during <= 300 * MB + 2 * SLACK


def test_a_copy_of_its_parent_does_not_count_its_parents_memory_again() -> None:
    program = (
        "import os, time; kept = b'x' * (400 * 10**6)\n"
        "if not os.fork(): time.sleep(0.3); os._exit(0)\n"
        "os.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    with ChildWatch(process.pid) as watch:
        process.wait()
    assert all(held <= SLACK for _, held in watch.held)


def test_grandchildren_are_found_and_strangers_are_not() -> None:
    inner = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", inner], stdin=subprocess.PIPE) as process:
        for _ in range(500):
            if found := living(process.pid):
                break
            sleep(0.02)
        process.communicate(b"\n")
    assert len(found) == 1
    assert living(process.pid) == []


def test_where_the_mark_cannot_be_reset_it_says_so(tmp_path: Path) -> None:
    """The files of a process whose container hides ``clear_refs``."""
    for name in ("status", "smaps_rollup"):
        (tmp_path / name).write_text(Path(f"/proc/self/{name}").read_text())
    (tmp_path / "clear_refs").mkdir()
    memory = HostMemory(tmp_path)
    memory.end("import")
    told = memory.told()
    assert told["not_reset"] == "Is a directory"
    assert told["phases"]["import"]["peak"] >= told["phases"]["import"]["rss"] > 0


def test_a_kernel_that_tells_nothing_leaves_everything_unknown(tmp_path: Path) -> None:
    memory = HostMemory(tmp_path)
    memory.end("import")
    told = with_children(memory.told(), [])
    figures = {**told["phases"]["import"]}
    assert figures.pop("children") == 0
    del figures["free"]  # which the C library tells, not the kernel
    assert set(figures.values()) == {None}


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(1, 10**9))),
    st.lists(st.integers(0, 120), min_size=1).map(sorted),
)
def test_each_sample_of_the_children_falls_into_one_phase(
    held: list[tuple[int, int]], ends_ns: list[int]
) -> None:
    most = in_phases(held, ends_ns)
    inside = [size for at, size in held if at <= ends_ns[-1]]
    assert max(most) == max(inside, default=0)
    assert all(size in {0, *inside} for size in most)


def test_seen_children_are_added_to_the_peak_of_their_phase_alone() -> None:
    phase = {"peak": 100, "rss": 90, "children": 0, "ended": 0}
    phases = {
        "load": {**phase, "until_ns": 10},
        "first": {**phase, "until_ns": 20},
        "warm": {**phase, "until_ns": 30, "ended": 70},
    }
    told = with_children({"phases": phases, "not_reset": None}, [(5, 40), (8, 50), (21, 60)])
    peaks = {name: (one["peak"], one["children"]) for name, one in told["phases"].items()}
    assert peaks == {"load": (150, 50), "first": (100, 0), "warm": (170, 70)}


def test_living_children_are_added_figure_by_figure_but_for_the_peak() -> None:
    own, child = Usage(100, 90, 80, 70, 60, 30, 0), Usage(10, 9, 8, 7, 6, 3, None)
    assert total(own, [child]) == Usage(100, 99, 88, 77, 66, 33, None)


def test_options_that_change_memory_are_kept_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "maps").write_text("7f00-7f01 r-xp 00000000 08:01 42 /usr/lib/libjemalloc.so.2\n")
    wanted = {
        "MALLOC_ARENA_MAX": "2",
        "LD_PRELOAD": "/usr/lib/libjemalloc.so.2",
        "TF_GPU_ALLOCATOR": "cuda_malloc_async",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    }
    found = allocator_options({**wanted, "HOME": "/root", "OMP_NUM_THREADS": "2"}, tmp_path)
    assert found.pop("libraries") == "libjemalloc.so.2"
    found.pop("transparent_hugepage", None)
    assert found == wanted


def test_the_running_counts_lag_grows_with_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    lags = []
    for cpus in (2, 64):
        monkeypatch.setattr("os.cpu_count", lambda cpus=cpus: cpus)
        lags.append(lag_bytes())
    assert lags[0] < MB < 10 * MB < lags[1]
