"""Real workers that break in every way: each keeps its row, the others finish."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import psutil
import pytest

from tests.xbench.conftest import model_of
from xbench.cautions import Code
from xbench.comparison import compare, run
from xbench.lock import lock_path
from xbench.plan import Spec
from xbench.result import Run, Status
from xbench.store import read_samples

XBENCH = (sys.executable, "-c", "from xbench.cli.main import main; main()")
MARK = "XBENCH_TEST_MARK"
SHORT: dict[str, Any] = {"launches": 1, "time_budget_s": 2.0}


pytestmark = pytest.mark.usefixtures("test_adapters")


def by_backend(found: Run) -> dict[str, tuple[Status, str]]:
    return {row.backend: (row.status, row.reason or "") for row in found.results}


def test_each_fault_before_the_rounds_is_one_row_and_the_others_finish(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Import, load, first inference and warm-up: nine ways to fail, two rows that do not."""
    expected = {
        "faulty:segfault-prepare": (Status.CRASHED, "SIGSEGV"),
        "faulty:exit-prepare": (Status.CRASHED, "exit status 3"),
        "faulty:raise-load": (Status.CRASHED, "a fault was injected"),
        "faulty:segfault-load": (Status.CRASHED, "SIGSEGV"),
        "faulty:hang-load": (Status.TIMEOUT, "no answer within"),
        "faulty:memory-load": (Status.OOM_HOST, "MemoryError"),
        "faulty:kill-run": (Status.CRASHED, "SIGKILL"),
        "faulty:exit-warmup": (Status.CRASHED, "exit status 3"),
        "faulty:raise-warmup": (Status.CRASHED, "a fault was injected"),
    }
    backends = ("busy", *expected, "busy:2000")
    found = compare(tiny_model, backends, out=tmp_path / "run", timeout_s=4.0, **SHORT)
    rows = by_backend(found)
    for backend, (status, words) in expected.items():
        assert rows[backend][0] is status, (backend, rows[backend])
        assert words in rows[backend][1]
    assert rows["busy"][0] is rows["busy:2000"][0] is Status.OK
    assert [(one.baseline, one.candidate) for one in found.comparisons] == [("busy", "busy:2000")]
    assert found.exit_status == 1
    assert all(row.fix for row in found.results if row.status is not Status.OK)
    assert all(row.latency_ns is None for row in found.results if row.backend in expected)


def test_each_fault_in_the_rounds_keeps_what_was_measured(tiny_model: Path, tmp_path: Path) -> None:
    """A worker that dies later leaves its samples; a flood of output harms nobody."""
    expected = {
        "faulty:segfault-later": (Status.CRASHED, "SIGSEGV"),
        "faulty:hang-later": (Status.TIMEOUT, "no answer within"),
        "faulty:memory-later": (Status.OOM_HOST, "MemoryError"),
        "faulty:exit-outputs": (Status.CRASHED, "exit status 3"),
        "faulty:flood-later": (Status.OK, ""),
    }
    backends = ("busy", *expected, "busy:2000")
    asked: dict[str, Any] = {"timeout_s": 4.0, "launches": 1, "time_budget_s": 20.0}
    found = compare(tiny_model, backends, out=tmp_path / "run", **asked)
    rows = by_backend(found)
    for backend, (status, words) in expected.items():
        assert rows[backend][0] is status, (backend, rows[backend])
        assert words in rows[backend][1]
    kept = {row.backend: row.rounds for row in found.results}
    assert kept["faulty:segfault-later"] >= 1
    assert kept["busy"] > kept["faulty:segfault-later"]
    ranked = {row.backend for row in found.results if row.rank is not None}
    assert ranked == {"busy", "busy:2000", "faulty:flood-later"}
    logs = list((tmp_path / "run" / "logs").iterdir())
    assert all(log.stat().st_size < 2**20 for log in logs)
    assert any("bytes left out" in log.read_text() for log in logs)


def test_a_missing_operator_is_unsupported_and_named(tmp_path: Path) -> None:
    path = tmp_path / "custom.onnx"
    onnx.save(model_of("Frobnicate", "com.example"), path)
    backends = ("onnxruntime", "openvino", "pytorch")
    found = compare(path, backends, out=tmp_path / "run", **SHORT)
    for row in found.results:
        assert row.status is Status.UNSUPPORTED, (row.backend, row.reason)
        assert "Frobnicate" in (row.reason or "")


def test_the_second_comparison_waits_for_the_first_and_says_so(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Two at once would both be wrong."""
    hold = (
        "import fcntl, os, sys, time; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o666); "
        "fcntl.flock(fd, fcntl.LOCK_EX); print('held', flush=True); time.sleep(3)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(lock_path())], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    said: list[str] = []
    found = run(
        Spec(model=str(tiny_model), backends=("busy",), **SHORT),
        out=tmp_path / "run",
        progress=Telling(said.append),
    )
    assert other.wait() == 0
    other.stdout.close()
    assert found.exit_status == 0
    assert any("Another comparison" in line for line in said)


class Telling:
    """A progress that hands every line on."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self.hear = hear

    def phase(self, text: str) -> None:
        self.hear(text)

    def standing(self, standing: object) -> None:
        del standing

    def note(self, text: str) -> None:
        self.hear(text)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of its own that is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system, and not in every container")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_costs_no_result(tiny_model: Path, small_disk: Path) -> None:
    found = compare(
        tiny_model, ("busy:100", "busy:200"), out=small_disk / "run", launches=1, time_budget_s=15.0
    )
    assert [row.status for row in found.results] == [Status.OK, Status.OK]
    assert found.comparisons[0].ratio is not None
    assert Code.NOT_SAVED in {caution.code for caution in found.cautions}


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """Yield a control group whose processes share 400 MB."""
    root = Path("/sys/fs/cgroup/memory")
    if not (root / "memory.limit_in_bytes").exists():
        root = Path("/sys/fs/cgroup")
    group = root / f"xbench-test-{uuid.uuid4().hex}"
    try:
        group.mkdir()
        version_1 = (group / "memory.limit_in_bytes").exists()
        limit = "memory.limit_in_bytes" if version_1 else "memory.max"
        (group / limit).write_text(str(400 << 20))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    yield group
    for _ in range(50):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.1)  # the last process is still leaving
        else:
            break


def test_a_worker_that_the_kernel_kills_for_memory_is_told_from_a_crash(
    tiny_model: Path, tmp_path: Path, small_memory: Path
) -> None:
    """The kernel takes the worker, not its parent, and the row says that memory ran out."""
    inside = f'echo $$ > {small_memory}/cgroup.procs; exec "$@"'
    backends = "busy,faulty:memory-later"
    asked = ["--out", str(tmp_path / "run"), "--json", "-", "--launches", "1", "--time-budget"]
    compared = [*XBENCH, "compare", str(tiny_model), "--backends", backends, *asked, "4s"]
    done = subprocess.run(
        ["sh", "-c", inside, "sh", *compared], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    busy, faulty = json.loads(done.stdout)["results"]
    assert busy["status"] == "ok"
    assert faulty["status"] == "oom_host", faulty
    assert "killed" in faulty["reason"]


# Ctrl-C, and worse


class Program:
    """`xbench compare` as a process, with a mark by which its workers are found."""

    def __init__(self, *arguments: str | Path) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [*XBENCH, "compare", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, MARK: self.mark, "XBENCH_TEST_ADAPTERS": "1"},
        )

    def wait_for(self, words: str) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            if words in line:
                return
        raise AssertionError(f"it ended without saying {words!r}")

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def left_behind(self) -> list[int]:
        """Return the processes with this program's mark, after a moment to leave."""
        for _ in range(50):
            found = [one.pid for one in psutil.process_iter() if self._is_ours(one)]
            if not found:
                return []
            time.sleep(0.1)
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and process.environ().get(MARK) == self.mark
        except (psutil.Error, OSError):
            return False


LONG = ("--launches", "2", "--time-budget", "60s", "--precision-target", "0.0001%")


def test_the_first_ctrl_c_reports_and_the_run_can_be_finished(
    tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    program = Program(
        tiny_model, "--backends", "busy,busy:2000", "--out", out, "--json", "-", *LONG
    )
    program.wait_for(": measuring")
    time.sleep(1.5)
    program.process.send_signal(signal.SIGINT)
    status, text, err = program.end()
    assert status == 130
    document = json.loads(text)
    assert document["interrupted"]
    assert document["comparisons"][0]["ratio"] is not None
    assert "--resume" in err
    assert program.left_behind() == []
    before = len(read_samples(out).epochs)
    assert before > 0

    kept = json.loads((out / "run.json").read_text())
    kept["spec"]["time_budget_s"] = 2.0
    del kept["content_sha256"]  # of what it was before
    (out / "run.json").write_text(json.dumps(kept))
    rest = Program("--resume", out, "--json", "-")
    status, text, _ = rest.end()
    assert status == 0
    finished = json.loads(text)
    assert not finished["interrupted"]
    assert finished["results"][0]["launches"] == 2
    assert len(read_samples(out).epochs) > before
    assert Code.RESUMED in {caution["code"] for caution in finished["cautions"]}


def test_ctrl_c_while_a_model_loads_does_not_wait_for_it(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    program = Program(tiny_model, "--backends", "busy,faulty:hang-load", "--out", out, *LONG)
    program.wait_for("loading faulty")
    time.sleep(0.5)
    program.process.send_signal(signal.SIGINT)
    status, _, _ = program.end()
    assert status == 130
    assert program.left_behind() == []


def test_the_second_ctrl_c_stops_at_once(tiny_model: Path, tmp_path: Path) -> None:
    """A turn that hangs would be waited for; the second signal does not."""
    out = tmp_path / "run"
    program = Program(tiny_model, "--backends", "busy,faulty:hang-round", "--out", out, *LONG)
    program.wait_for(": measuring")
    time.sleep(1.0)
    program.process.send_signal(signal.SIGINT)
    program.wait_for("Stopping")
    program.process.send_signal(signal.SIGINT)
    status, _, err = program.end()
    assert status == 130
    assert "Traceback" not in err
    assert program.left_behind() == []


def test_a_killed_parent_takes_its_workers_along_and_loses_a_round_at_most(
    tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    program = Program(tiny_model, "--backends", "busy,busy:2000", "--out", out, *LONG)
    program.wait_for(": measuring")
    time.sleep(2.0)
    program.process.kill()
    program.end()
    assert program.left_behind() == []
    epochs = read_samples(out).epochs
    assert {epoch.cell for epoch in epochs} == {0, 1}
