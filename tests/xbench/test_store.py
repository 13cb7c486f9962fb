"""The run folder: nothing measured is lost, nothing torn is read."""

from __future__ import annotations

import hashlib
import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.adapter import Facts, Fallback
from xbench.errors import UsageError
from xbench.keeping import write_atomically
from xbench.samples import Epoch, Failure, GpuState, Launched
from xbench.store import FORMAT, RunFolder, read_run, read_samples


def epoch(number: int, latencies_ns: tuple[int, ...] = (5, 6, 7)) -> Epoch:
    return Epoch(
        cell=0,
        launch=0,
        round=number,
        position=0,
        feed=0,
        latencies_ns=latencies_ns,
        wall_ns=sum(latencies_ns),
        cpu_ns=10,
        canary_ns=(100, 110) if number % 2 else None,
        others_cpus=0.5 if number % 3 else None,
    )


LAUNCHED = Launched(
    cell=0,
    launch=0,
    version="1.0",
    import_s=0.5,
    load_s=0.1,
    first_inference_ns=1000,
    warmup_s=1.0,
    warmup_inferences=10,
    steady=True,
    busy_threads=2,
    cpus=(0, 1),
    overhead_ns=80.0,
    facts=Facts(precision="fp32", fallback=Fallback(1, ("n",), "cpu"), options={"a": "b"}),
)
FAILURE = Failure(cell=1, launch=0, phase="load", status="crashed", reason="r", fix="f")


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond ``size_bytes``: a write then fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.launched(LAUNCHED)
    folder.round((0, 1), (epoch(0), epoch(1)))
    folder.failure(FAILURE)
    folder.energy(1, {"label": "unavailable:x", "figures": []})
    samples = read_samples(folder.path)
    assert samples.energies == {1: {"label": "unavailable:x", "figures": []}}
    assert samples.launched == (LAUNCHED,)
    assert samples.epochs == (epoch(0), epoch(1))
    assert samples.failures == (FAILURE,)
    assert samples.orders == {(0, 0): (0, 1), (0, 1): (0, 1)}


ON_GPU = GpuState(
    sm_mhz=1755,
    mem_mhz=2619,
    temperature_c=61,
    power_w=320.5,
    power_limit_w=700.0,
    reasons=("sw_power_cap",),
    held_ns={"sw_power_cap": 10**7},
    span_ns=10**8,
)


def test_the_state_of_a_gpu_and_its_memory_are_read_again(tmp_path: Path) -> None:
    """Also where the driver told nothing, with the reason."""
    folder = RunFolder.create(tmp_path / "run")
    memory = {"baseline_bytes": 1, "peak_bytes": 2, "process_peak_bytes": None, "reason": "r"}
    launched = replace(LAUNCHED, device_memory=memory)
    epochs = tuple(
        replace(epoch(number), gpu=gpu)
        for number, gpu in enumerate((ON_GPU, GpuState(missing="no driver"), None))
    )
    folder.launched(launched)
    for one in epochs:
        folder.round((0,), (one,))
    samples = read_samples(folder.path)
    assert samples.launched == (launched,)
    assert samples.epochs == epochs


def test_a_run_from_before_gpus_were_read_has_none(tmp_path: Path) -> None:
    """Its lines lack the fields, and hashes; they are read as ever."""
    folder = RunFolder.create(tmp_path / "run")
    folder.launched(LAUNCHED)
    folder.round((0,), (epoch(0),))
    file = folder.path / "samples.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    del lines[0]["launched"]["device_memory"], lines[1]["epochs"][0]["gpu"]
    for line in lines:
        del line["n"], line["sha"]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    samples = read_samples(folder.path)
    assert samples.launched == (LAUNCHED,)
    assert samples.epochs == (epoch(0),)


def test_lines_of_a_kind_that_is_not_known_are_passed_over(tmp_path: Path) -> None:
    """A later version may keep more; a folder from before energy has none."""
    folder = RunFolder.create(tmp_path / "run")
    folder.launched(LAUNCHED)
    with (folder.path / "samples.jsonl").open("a") as file:
        file.write('{"something": {"new": 1}}\n')
    folder.failure(FAILURE)
    samples = read_samples(folder.path)
    assert (samples.launched, samples.failures) == ((LAUNCHED,), (FAILURE,))
    assert samples.energies == {}


@given(cut=st.integers(min_value=0, max_value=2000))
def test_a_torn_line_costs_that_line_alone(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    """Wherever a kill tears the file, every whole line before it is read."""
    folder = RunFolder.create(tmp_path_factory.mktemp("torn") / "run")
    for number in range(8):
        folder.round((0,), (epoch(number),))
    file = folder.path / "samples.jsonl"
    text = file.read_text()
    file.write_text(text[:cut])
    whole = text[:cut].count("\n")
    read = read_samples(folder.path).epochs
    assert whole <= len(read) <= whole + 1  # a cut just before a line's end leaves it whole
    assert read == tuple(epoch(number) for number in range(len(read)))


def test_a_full_disk_costs_no_sample_once_there_is_room(tmp_path: Path) -> None:
    """Lines that could not be written wait, and follow when the disk has room again."""
    folder = RunFolder.create(tmp_path / "run")
    folder.round((0,), (epoch(0),))
    with disk_of(folder.path.joinpath("samples.jsonl").stat().st_size + 20):
        folder.round((0,), (epoch(1),))
        folder.round((0,), (epoch(2),))
        assert folder.problem
        assert str(folder.path) in folder.problem
    folder.round((0,), (epoch(3),))
    assert folder.problem is None
    assert [one.round for one in read_samples(folder.path).epochs] == [0, 1, 2, 3]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, "old")
    with disk_of(10), pytest.raises(OSError, match="large"):
        write_atomically(path, "new" * 100)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_folder_is_never_written_over(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--resume"):
        RunFolder.create(tmp_path)


def test_of_two_that_begin_at_once_each_has_a_folder(tmp_path: Path) -> None:
    """Also where they would have the same name."""
    folders = [RunFolder.create_beside(tmp_path / "runs" / "20260101-120000-toy") for _ in range(3)]
    assert [one.path.name[15:] for one in folders] == ["-toy", "-toy-2", "-toy-3"]
    with pytest.raises(UsageError, match="cannot make"):
        RunFolder.create_beside(Path("/proc/none/run"))


def test_a_folder_has_one_writer_at_a_time(tmp_path: Path) -> None:
    """Who is done, or has gone, keeps nobody out."""
    first = RunFolder.create(tmp_path / "run")
    with pytest.raises(UsageError, match="another process"):
        RunFolder(first.path)
    first.close()
    second = RunFolder(first.path)
    second.round((0,), (epoch(0),))
    del second
    RunFolder(first.path).round((0,), (epoch(1),))
    assert [one.round for one in read_samples(first.path).epochs] == [0, 1]


def test_a_result_tells_what_it_was_made_from(tmp_path: Path) -> None:
    """Every file that stays, by size and hash; lines that waited for room are among them."""
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("run.json", {"format": FORMAT})
    (folder.path / "feeds-0.npz").write_bytes(b"feeds")
    with disk_of(10):
        folder.round((0,), (epoch(0),))
    folder.conclude({"schema": 1})
    assert folder.problem is None
    kept = json.loads((folder.path / "result.json").read_text())["kept"]
    assert kept.keys() == {"run.json", "samples.jsonl", "feeds-0.npz"}
    for name, told in kept.items():
        data = (folder.path / name).read_bytes()
        assert told == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert len(read_samples(folder.path).epochs) == 1


@pytest.mark.parametrize("change", [b"x", b" "])
def test_a_request_that_was_changed_is_refused(tmp_path: Path, change: bytes) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("run.json", {"format": FORMAT, "spec": {"seed": 10}})
    data = (folder.path / "run.json").read_bytes()
    (folder.path / "run.json").write_bytes(data.replace(b'"seed": 10', b'"seed": 1' + change))
    with pytest.raises(UsageError, match=r"damaged|no run folder"):
        read_run(folder.path)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run folder"):
        read_run(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(UsageError, match="newer xbench"):
        read_run(tmp_path)
