"""`xbench tune` with real workers, from the command line to the folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import onnx
import psutil
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from tests.xbench.test_comparison import convolution
from xbench.archive.reading import read_document
from xbench.cli.main import app
from xbench.comparison import run
from xbench.errors import UsageError
from xbench.plan import Spec
from xbench.report.tuning import render
from xbench.store import read_samples
from xbench.tuning.choice import Sureness
from xbench.tuning.judgement import State
from xbench.tuning.request import Request
from xbench.tuning.run import Tuned, tune
from xbench.tuning.search import Effort

pytestmark = pytest.mark.usefixtures("test_adapters")
BRIEF = Effort(look_rounds=(2, 3), launches=(1, 1), rounds=3)


def tuned(model: Path, out: Path, *backends: str, **changed: Any) -> Tuned:
    """Return a short search with one thread at batches 1 and 2, unless ``changed``."""
    spec = Spec(model=str(model), backends=backends, batches=changed.pop("batches", (1, 2)))
    asked = {"threads": (1,), "streams": (1,), "effort": BRIEF, **changed}
    return tune(Request(spec=spec, **asked), out=out)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["tune", *arguments])


@pytest.fixture(scope="module")
def of_two_runtimes(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Return one search over two real runtimes."""
    folder = tmp_path_factory.mktemp("tune")
    path = folder / "conv.onnx"
    onnx.save(convolution(), path)
    return tuned(path, folder / "run", "onnxruntime", "openvino")


def test_two_runtimes_are_searched_and_the_winner_is_sound(of_two_runtimes: Tuned) -> None:
    """It ran at full effort, its outputs agree, and nobody is surely better."""
    found = of_two_runtimes
    assert found.choice.winner is not None
    assert found.choice.sureness is not Sureness.NONE
    seen = found.evidence.of(found.choice.winner)
    assert seen.finals
    assert seen.parity is not None
    assert seen.parity.status == "agrees"
    assert seen.memory_bytes is not None
    states = {found.judgement.standings[id_].state for id_ in found.evidence.seen}
    assert states <= {State.RACING, State.BEHIND}


def test_the_folder_has_the_document_and_every_sample(of_two_runtimes: Tuned) -> None:
    found, folder = of_two_runtimes, Path(of_two_runtimes.folder)
    document = json.loads((folder / "tune.json").read_text())
    assert document["kind"] == "tune"
    assert document["answer"]["winner"] == found.choice.winner
    assert len(document["configurations"]) == len(found.space)
    assert {row["id"] for row in document["results"]} == set(found.evidence.seen)
    for one in document["configurations"]:
        assert one["state"]
        assert (one["ratio"] is not None) == (one["rounds"] > 0)
    rows = read_document(folder)["results"]
    assert {row["label"] for row in rows} == {
        found.space.configurations[id_].name.replace(",", "") for id_ in found.evidence.seen
    }
    samples = read_samples(folder)
    assert {epoch.cell for epoch in samples.epochs} <= set(found.evidence.seen)
    assert not list((folder / "outputs").iterdir())
    assert json.loads((folder / "run.json").read_text())["tune"]["goal"]["aim"] == "throughput"


def test_a_search_is_not_taken_up_again_as_a_comparison(of_two_runtimes: Tuned) -> None:
    with pytest.raises(UsageError, match="is a search"):
        run(Spec(model=""), resume=Path(of_two_runtimes.folder))


def test_the_report_names_winner_command_and_what_was_measured(of_two_runtimes: Tuned) -> None:
    text = render(of_two_runtimes)
    winner = of_two_runtimes.space.configurations[of_two_runtimes.choice.winner or 0]
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "Use it: xbench compare" in text
    assert f"--backends {winner.backend} --threads {winner.threads} --batch {winner.batch}" in (
        " ".join(text.split())
    )
    total = len(of_two_runtimes.space)
    assert f"{of_two_runtimes.started} of {total} configurations" in text


def test_a_wrong_backend_never_wins_however_fast(tiny_model: Path, tmp_path: Path) -> None:
    """`faulty:wrong` takes a fifth of a millisecond, `busy` one; its outputs are off."""
    found = tuned(tiny_model, tmp_path / "run", "busy", "faulty:wrong", batches=(1,))
    assert found.choice.winner is not None
    assert found.space.configurations[found.choice.winner].backend == "busy"
    assert found.exit_status == 0
    assert len(found.judgement.those(State.DISAGREES)) == 1
    assert "disagrees" in render(found)


def test_one_that_crashes_is_told_and_the_others_are_searched(
    tiny_model: Path, tmp_path: Path
) -> None:
    found = tuned(tiny_model, tmp_path / "run", "faulty:segfault-load", "busy")
    assert found.choice.winner is not None
    assert found.space.configurations[found.choice.winner].name == "busy, 1 thread, batch 2"
    assert len(found.judgement.those(State.FAILED)) == 1  # and no larger batch of it was started
    assert "SIGSEGV" in render(found)


def test_limits_decide_the_status_and_each_is_told(tiny_model: Path, tmp_path: Path) -> None:
    """An inference takes a millisecond: one limit is kept by nobody."""
    line = "--backends busy --threads 1 --streams 1 --batch 1,2 --slo p50=0.5ms --json - -q"
    done = command(str(tiny_model), *line.split(), "--out", str(tmp_path / "run"))
    assert done.exit_code == 1, done.output
    told = json.loads(done.stdout)
    assert told["answer"]["winner"] is None
    states = [one["state"] for one in told["configurations"]]
    assert states == ["breaks the limit", "skipped"]
    assert "No configuration keeps all limits" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--goal", "speed"], "there is no goal 'speed'"),
        (["--slo", "20ms"], "'20ms' is not a limit"),
        (["--memory", "much"], "'much' is not a size"),
        (["--threads", "1,x"], "list of whole numbers"),
        (["--backends", "onxruntime"], "Did you mean 'onnxruntime'"),
        (["--threads", "4096"], "no configuration fits"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(
    tiny_model: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = command(str(tiny_model), *arguments, "--out", str(tmp_path / "run"))
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_ctrl_c_ends_with_the_best_so_far(tiny_model: Path, tmp_path: Path) -> None:
    """A search that would take minutes is stopped after its first rounds; no worker is left."""
    out = tmp_path / "run"
    line = "--backends busy:1000,busy:2000 --threads 1 --streams 1 --batch 1,2,4,8,16,32 -q"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from xbench.cli.main import main; main()", "tune"),
            *(str(tiny_model), *line.split(), "--out", str(out)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "XBENCH_TEST_ADAPTERS": "1",
            "TMPDIR": str(tmp_path),
        },  # a lock of its own
    )
    end_s = monotonic() + 60
    while monotonic() < end_s and '"epochs"' not in _text(out / "samples.jsonl"):
        sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate(timeout=60)
    assert process.returncode == 130, complaints
    assert "Interrupted: this is the best so far" in " ".join(said.split())
    assert json.loads((out / "tune.json").read_text())["interrupted"]
    assert not psutil.wait_procs(children, timeout=10)[1]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
