"""A model's file at a precision: made once, kept, and made again where it is not whole."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.xbench.graphs import FLOAT, linear, make, node, save
from xbench import narrowing
from xbench.adapter import BoundModel, Native
from xbench.errors import InterruptedRunError, ModelError, UsageError
from xbench.inputs import save_feeds
from xbench.model import bind, read_model
from xbench.modelcache import cache_folder
from xbench.narrowing import narrowed, report, saturates
from xbench.progress import Silent
from xbench.testing import models


class Heard(Silent):
    """A progress that keeps what it hears."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.notes: list[str] = []

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of conversions, in a cache of the test's own."""
    monkeypatch.setenv("XBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "precision"


def bound(path: Path, batch: int = 1) -> BoundModel:
    """Return the model of a file, as a comparison hands it on."""
    made = bind(read_model(path), batch, {}, {})
    return replace(made, native=Native("keras", "keras", "model.keras"))


def calibrated(model: BoundModel, folder: Path, seed: int = 0) -> BoundModel:
    """Return the model with input sets to calibrate on."""
    rng = np.random.default_rng(seed)
    path = folder / f"sets-{seed}.npz"
    save_feeds(path, [{"x": rng.standard_normal((1, 4), np.float32)} for _ in range(3)])
    return replace(model, calibration=path)


def complete(cache: Path) -> list[str]:
    """Return the names of the conversions that are kept."""
    return sorted(one.name for one in cache.iterdir() if one.name[0] != ".")


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_the_file_itself_is_given_where_its_types_do_not_change(
    tmp_path: Path, precision: str
) -> None:
    """tf32 is a way to multiply float32: the model stays what it was, its own form too."""
    model = bound(linear(tmp_path))
    assert narrowed(model, precision, Silent()) is model


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_a_narrow_file_is_made_once_for_every_batch(
    tmp_path: Path, cache: Path, precision: str
) -> None:
    """The second time nothing is converted, and fp16 and bf16 serve another batch as well."""
    path = linear(tmp_path)
    model, heard = calibrated(bound(path), tmp_path), Heard()
    first = narrowed(model, precision, heard)
    assert narrowed(model, precision, heard).path == first.path
    assert len(heard.phases) == 1
    assert first.native is None
    assert (first.inputs, first.outputs) == (model.inputs, model.outputs)
    assert read_model(first.path).inputs == read_model(path).inputs
    assert report(first.path)["narrow_nodes"] == 1
    other = narrowed(calibrated(bound(path, 8), tmp_path), precision, heard)
    assert (other.path == first.path, len(complete(cache))) == (True, 1)
    assert other.shapes == {"x": (8, 4)}


def test_what_decides_the_content_decides_the_file(tmp_path: Path, cache: Path) -> None:
    """Another precision, another weight and, for int8, another calibration are other files."""
    model = bound(linear(tmp_path))
    other = bound(
        save(
            tmp_path,
            [node("MatMul", ["x", "w"], ["y"])],
            {"x": (FLOAT, ["batch", 4])},
            {"y": (FLOAT, ["batch", 8])},
            {"w": np.ones((4, 8), np.float32)},
            name="other.onnx",
        )
    )
    paths = [
        narrowed(model, "fp16", Silent()).path,
        narrowed(model, "bf16", Silent()).path,
        narrowed(other, "fp16", Silent()).path,
        narrowed(calibrated(model, tmp_path, 1), "int8", Silent()).path,
        narrowed(calibrated(model, tmp_path, 2), "int8", Silent()).path,
    ]
    assert len(set(paths)) == len(complete(cache)) == 5
    moved = tmp_path / "elsewhere.onnx"
    moved.write_bytes(model.path.read_bytes())
    assert narrowed(bound(moved), "fp16", Silent()).path == paths[0]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _forget(path: Path) -> None:
    path.unlink()


def _garble(path: Path) -> None:
    path.with_name("report.json").write_text("{")


@pytest.mark.parametrize("damage", [_cut, _change, _forget, _garble])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A full disk or a stray hand left something else than what was made."""
    model, heard = bound(linear(tmp_path)), Heard()
    path = narrowed(model, "fp16", heard).path
    whole = path.read_bytes()
    damage(path)
    assert narrowed(model, "fp16", heard).path == path
    assert path.read_bytes() == whole
    assert len(heard.phases) == 2


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the place of the folder: the message says which variable to set."""
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("XBENCH_CACHE", str(tmp_path / "taken"))
    with pytest.raises(ModelError, match="XBENCH_CACHE"):
        narrowed(bound(linear(tmp_path)), "fp16", Silent())


def test_what_cannot_be_converted_leaves_nothing_behind(tmp_path: Path, cache: Path) -> None:
    """The other process's error comes through with its type, reason and fix."""
    path = save(
        tmp_path,
        [node("Cast", ["x"], ["y"], to=7)],
        {"x": (FLOAT, ["batch"])},
        {"y": (7, ["batch"])},
    )
    with pytest.raises(UsageError, match="no float32 arithmetic") as caught:
        narrowed(bound(path), "bf16", Silent())
    assert "--precision" in caught.value.fix
    assert complete(cache) == []


def test_int8_without_inputs_to_calibrate_on_is_refused(tmp_path: Path) -> None:
    """Scales are not guessed."""
    with pytest.raises(UsageError, match="--calibration"):
        narrowed(bound(linear(tmp_path)), "int8", Silent())


def test_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    """The message lists those that there are."""
    with pytest.raises(UsageError, match="fp16, bf16, int8"):
        narrowed(bound(linear(tmp_path)), "fp8", Silent())


def test_a_model_that_is_so_already_stays_where_it_is(tmp_path: Path) -> None:
    """The user hears that nothing was changed."""
    once = narrowed(bound(linear(tmp_path)), "fp16", Silent())
    heard = Heard()
    again = narrowed(replace(once, native=Native("keras", "keras", "k")), "fp16", heard)
    assert again.path == once.path
    assert again.native is None
    assert heard.notes == ["fp16: the model is fp16 already"]


def test_weights_beyond_the_range_are_told_each_time(tmp_path: Path) -> None:
    """Whether the file is made now or was kept, the user hears of it."""
    path = save(
        tmp_path,
        [node("Mul", ["x", "w"], ["y"])],
        {"x": (FLOAT, [1])},
        {"y": (FLOAT, [1])},
        {"w": np.array([1e6], np.float32)},
    )
    heard = Heard()
    for _ in range(2):
        narrowed(bound(path), "fp16", heard)
    assert len(heard.notes) == 2
    assert all("'w'" in note for note in heard.notes)


def test_external_data_decides_the_file_too(tmp_path: Path) -> None:
    """The same graph with other weights beside it is another model."""
    model = make(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ["batch", 64])},
        {"y": (FLOAT, ["batch", 64])},
        {"w": np.ones((64, 64), np.float32)},
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    first = narrowed(bound(path), "fp16", Silent()).path
    data = np.full((64, 64), 2, np.float32)
    (tmp_path / "w.bin").write_bytes(data.tobytes())
    second = narrowed(bound(path), "fp16", Silent()).path
    held = [onnx.numpy_helper.to_array(onnx.load(p).graph.initializer[0]) for p in (first, second)]
    assert [a[0, 0] for a in held] == [1, 2]


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Put a converter in place that never ends, and return what waits for its process id."""
    told = tmp_path / "pid"
    package = tmp_path / "site"
    package.mkdir()
    (package / "sleeping_converter.py").write_text(
        "import os, time\n"
        "from pathlib import Path\n"
        "from xbench.apart import answer\n"
        "def work(job):\n"
        f"    Path({str(told)!r} + '.new').write_text(str(os.getpid()))\n"
        f"    os.rename({str(told)!r} + '.new', {str(told)!r})\n"
        "    time.sleep(600)\n"
        "answer(work)\n"
    )
    monkeypatch.syspath_prepend(package)
    monkeypatch.setattr(narrowing, "CONVERTER", "sleeping_converter")

    def wait() -> int:
        deadline = time.monotonic() + 60
        while not told.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return int(told.read_text())

    return wait


def gone(pid: int) -> bool:
    """Return whether a process ends soon."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_request_to_stop_ends_the_conversion(
    tmp_path: Path, cache: Path, sleeper: Callable[[], int]
) -> None:
    """The other process is gone, and no half of a file is kept."""
    waking, wake = os.pipe()
    pids: list[int] = []

    def stop() -> None:
        pids.append(sleeper())
        os.write(wake, b"x")

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(InterruptedRunError):
        narrowed(bound(linear(tmp_path)), "fp16", Silent(), waking)
    thread.join()
    assert gone(pids[0])
    assert complete(cache) == []


def test_a_conversion_ends_with_who_asked_for_it(
    tmp_path: Path, sleeper: Callable[[], int]
) -> None:
    """Whatever ends the parent, nothing goes on converting for nobody."""
    path = linear(tmp_path)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from xbench import narrowing\n"
        "from xbench.model import bind, read_model\n"
        "from xbench.progress import Silent\n"
        "narrowing.CONVERTER = 'sleeping_converter'\n"
        "model = bind(read_model(Path(sys.argv[1])), 1, {}, {})\n"
        "narrowing.narrowed(model, 'fp16', Silent(), os.pipe()[0])\n"
    )
    found = os.pathsep.join(one for one in sys.path if one)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], env={**os.environ, "PYTHONPATH": found}
    )
    pid = sleeper()
    parent.kill()
    parent.wait()
    assert gone(pid)


def test_a_conversion_that_is_killed_says_so(
    tmp_path: Path, cache: Path, sleeper: Callable[[], int]
) -> None:
    """Most likely memory ran out; nothing is kept, and the next try begins anew."""
    thread = threading.Thread(target=lambda: os.kill(sleeper(), signal.SIGKILL))
    thread.start()
    with pytest.raises(MemoryError, match="the conversion to fp16"):
        narrowed(bound(linear(tmp_path)), "fp16", Silent())
    thread.join()
    assert complete(cache) == []
    assert not any(one.is_dir() for one in cache.iterdir())


def test_a_converter_that_cannot_start_shows_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wrote before it left is in the message."""
    monkeypatch.setattr(narrowing, "CONVERTER", "xbench.nowhere")
    with pytest.raises(RuntimeError, match=r"exit status 1 .*No module named xbench\.nowhere"):
        narrowed(bound(linear(tmp_path)), "fp16", Silent())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse2 avx2", True),
        ("fpu sse2 avx2 avx512f", True),
        ("fpu sse2 avx2 avx512f avx512_vnni", False),
        ("fpu sse2 avx2 avx_vnni", False),
    ],
)
def test_x86_without_vnni_saturates(tmp_path: Path, flags: str, expected: bool) -> None:
    """Its instruction for products of 8 bits adds two of them in 16."""
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert saturates(path) == expected


def test_other_processors_do_not_saturate(tmp_path: Path) -> None:
    """Arm's lines have other names, and where there is no such file nothing is assumed."""
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp\n")
    assert not saturates(path)
    assert not saturates(tmp_path / "none")


def test_the_kept_report_is_readable_by_its_owner(tmp_path: Path, cache: Path) -> None:
    """It says what was done, file by file."""
    path = narrowed(bound(linear(tmp_path)), "bf16", Silent()).path
    told = json.loads(path.with_name("report.json").read_text())
    assert set(told["files"]) == {"model.onnx"}
    assert path.is_relative_to(cache_folder())
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR


def test_weights_beside_the_file_are_quantised_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PyTorch's exporter writes them; the tool alone would look for them elsewhere."""
    monkeypatch.setenv("XBENCH_CACHE", str(tmp_path / "cache"))
    example = models.perceptron(external=True)
    save_feeds(tmp_path / "sets.npz", example.feeds)
    model = replace(example.write(tmp_path), calibration=tmp_path / "sets.npz")
    made = narrowed(model, "int8", Silent())
    operators = {node.op_type for node in onnx.load(made.path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
