"""Every scenario through a whole comparison: real workers, real requests, rows that say so."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

import xbench
from xbench import comparison
from xbench.errors import UsageError
from xbench.plan import Spec
from xbench.progress import Silent
from xbench.report import terminal, view
from xbench.report.charts.figure import Material
from xbench.report.html import reproduce
from xbench.result import CellResult, Run, Status
from xbench.store import read_samples

BRIEF: dict[str, Any] = {"launches": 1, "time_budget_s": 2.0, "energy": False}
RUNTIMES = ("onnxruntime", "openvino")
pytestmark = pytest.mark.usefixtures("test_adapters")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small product with an open batch."""
    return _saved(tmp_path_factory.mktemp("model") / "open.onnx", "batch")


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same with a batch of 2 that cannot be changed."""
    return _saved(tmp_path_factory.mktemp("model") / "fixed.onnx", 2)


def _saved(path: Path, batch: str | int) -> Path:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [16, 16], [i % 7 - 3.0 for i in range(256)])
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
            helper.make_node("Relu", ["h"], ["y"], name="relu"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 16])],
        [weight],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def _compared(model: Path, backends: tuple[str, ...], out: Path, **asked: Any) -> Run:
    found = xbench.compare(model, backends, out=out, **{**BRIEF, **asked})
    for row in found.results:
        assert row.status is Status.OK, (row.name, row.reason)
        assert row.scenario == str(Spec(model="", scenario=asked["scenario"]).load)
    return found


def _load(row: CellResult) -> dict[str, Any]:
    assert row.load is not None
    return dict(row.load)


def test_a_server_tells_what_became_of_its_requests(model: Path, tmp_path: Path) -> None:
    """Every backend gets the same arrivals; latency counts from when a request was due."""
    asked: dict[str, Any] = {"scenario": "server:200", "slo": "p99=1s", "roofline": True}
    found = _compared(model, RUNTIMES, tmp_path / "run", **asked)
    for row in found.results:
        told = _load(row)
        assert told["rate_per_s"] == pytest.approx(200, rel=0.3)
        assert told["saturated"] is None
        assert told["requests"] == row.latency_ns.n  # type: ignore[union-attr]
        assert 0 < told["busy_share"] < 1
        assert row.roofline["share"] is None  # type: ignore[index] # waiting is no arithmetic
        assert "server:200" in row.roofline["reason"]  # type: ignore[index]
        assert row.parity.status == "agrees"
    schedules = {
        (epoch.round, tuple(epoch.served["schedule_ns"]))
        for epoch in read_samples(tmp_path / "run").epochs
        if epoch.served
    }
    assert len(schedules) == len({number for number, _ in schedules})
    text = terminal.render(found)
    assert "200 requests a second with p99 within 1 s" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_a_stall_delays_all_who_come_meanwhile(tiny_model: Path, tmp_path: Path) -> None:
    """A closed loop sees one slow inference of the same stall: users see a hundred."""
    stalls, asked = ("faulty:stall-midway",), {"threads": 1}
    server = _compared(tiny_model, stalls, tmp_path / "a", scenario="server:200", **asked)
    closed = _compared(tiny_model, stalls, tmp_path / "b", scenario="single-stream", **asked)
    del server, closed
    slow = {}
    for name in ("a", "b"):
        epochs = read_samples(tmp_path / name).epochs
        slow[name] = sum(ns > 100e6 for epoch in epochs for ns in epoch.latencies_ns)
    assert slow["b"] >= 1
    assert slow["a"] > 20 * slow["b"]  # some 80 are due in the first 400 ms of it


def test_a_server_that_cannot_keep_up_has_no_latency(tiny_model: Path, tmp_path: Path) -> None:
    """It says that it is saturated, and is not ranked."""
    run = _compared(tiny_model, ("busy:20000",), tmp_path / "run", scenario="server:100", threads=1)
    (row,) = run.results
    assert _load(row)["saturated"]
    assert row.latency_ns is None
    assert not row.ranked
    assert "cannot keep up" in str(row.reason)
    assert "saturated" in terminal.render(run)


def test_a_server_makes_batches_and_each_size_is_checked(model: Path, tmp_path: Path) -> None:
    """Requests that wait together run as one batch; the outputs of every size agree."""
    asked = "server:2000,max_batch=4,wait=5ms"
    found = _compared(model, RUNTIMES, tmp_path / "run", scenario=asked, threads=1)
    for row in found.results:
        sizes = {int(size): count for size, count in _load(row)["batch_sizes"].items()}
        assert max(sizes) == 4
        assert row.parity.status == "agrees"


def test_the_largest_rate_lies_below_what_a_stream_can_do(tiny_model: Path, tmp_path: Path) -> None:
    """An inference of 5 ms holds less than 200 a second; the search says how far it got."""
    asked = {"scenario": "server", "slo": "p90=50ms", "time_budget_s": 16.0, "threads": 1}
    for attempt in range(3):  # where others take the CPUs, every rate is left open
        run = _compared(tiny_model, ("busy:5000",), tmp_path / f"run{attempt}", **asked)
        (row,) = run.results
        search = _load(row)["search"]
        assert search["trials"]
        assert all(one["rate_per_s"] <= 1000 for one in search["trials"])
        assert search["holds_per_s"] is None or 20 < search["holds_per_s"] < 200
        assert "largest rate" in terminal.render(run)
        if held := [one for one in search["trials"] if one["says"] == "holds"]:
            break
    assert held, search  # half of what it can do is far within the limit


def test_streams_count_together_and_each_is_checked(model: Path, tmp_path: Path) -> None:
    """Throughput is that of all streams; a wrong second session does not hide."""
    asked: dict[str, Any] = {"scenario": "streams:2", "threads": 1}
    found = _compared(model, RUNTIMES, tmp_path / "run", **asked)
    for row in found.results:
        expected = pytest.approx(2e9 / row.latency_ns.mean, rel=0.2)  # type: ignore[union-attr]
        assert row.throughput_per_s.value == expected  # type: ignore[union-attr]
        assert row.threads["requested"] == 1
        assert row.caps["held"]["cpus_allowed"] == 2  # type: ignore[index]
    wrong = xbench.compare(model, ("faulty:second",), out=tmp_path / "w", **{**BRIEF, **asked})
    assert wrong.results[0].status is Status.PARITY_FAILED


def test_a_query_of_several_samples_is_a_batch_or_several_runs(
    model: Path, fixed: Path, tmp_path: Path
) -> None:
    """Where the model fixes its batch, a query is as many inferences as it takes."""
    asked = {"scenario": "multi-stream:4", "threads": 1}
    (row,) = _compared(model, ("onnxruntime",), tmp_path / "a", **asked).results
    assert row.batch == 4
    (row,) = _compared(fixed, ("busy:2000",), tmp_path / "b", **asked).results
    assert row.batch == 2
    assert row.latency_ns.min >= 4e6  # type: ignore[union-attr]
    assert row.throughput_per_s.value == pytest.approx(4e9 / row.latency_ns.mean, rel=0.1)  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="multiple"):
        xbench.compare(fixed, ("busy",), out=tmp_path / "c", scenario="multi-stream:3", **BRIEF)


def test_offline_finds_each_rows_own_batch(model: Path, fixed: Path, tmp_path: Path) -> None:
    """A row whose time does not grow with the batch goes on doubling; ratios are by sample."""
    backends = ("busy:1000", "onnxruntime")
    found = _compared(model, backends, tmp_path / "run", scenario="offline", threads=1)
    busy, runtime = found.results
    told = _load(busy)
    assert [int(batch) for batch in told["per_s"]][:4] == [1, 2, 4, 8]
    assert busy.batch == told["batch"] >= 16
    assert runtime.batch == _load(runtime)["batch"]
    assert busy.batch
    assert busy.latency_ns.min >= 1e6  # type: ignore[union-attr]
    assert busy.throughput_per_s.value > 1000 * busy.batch / 4  # type: ignore[union-attr]
    assert busy.parity.status == runtime.parity.status == "agrees"
    (pair,) = found.comparisons
    by_sample = [row.latency_ns.mean / row.batch for row in (busy, runtime)]  # type: ignore[operator, union-attr]
    assert pair.ratio.value == pytest.approx(by_sample[0] / by_sample[1], rel=0.5)  # type: ignore[union-attr]
    assert {row.rank for row in found.results} == {1, 2}
    assert len(view.groups(found)) == 1
    assert len([*Material.of(found, None).batches()]) == 1
    for row in found.results:  # each at a batch of its own, which no option may ask for
        assert "--batch" not in reproduce.of_row(found, row)
    (still,) = _compared(fixed, ("busy",), tmp_path / "fixed", scenario="offline").results
    assert still.batch == 2


class StopsAt(Silent):
    """Presses Ctrl-C when a phase begins."""

    def __init__(self, phase: str) -> None:
        self._phase = phase

    def phase(self, text: str) -> None:
        """Press it."""
        if text == self._phase:
            heard: Any = signal.getsignal(signal.SIGINT)
            heard(signal.SIGINT, None)  # sent in earnest, it ends a process that holds openvino


def test_ctrl_c_in_the_search_for_a_batch_is_no_refusal(model: Path, tmp_path: Path) -> None:
    """Nothing is kept of it, and a run that is taken up again searches anew."""
    out, asked = tmp_path / "run", {**BRIEF, "scenario": "offline", "threads": 1}
    stops = StopsAt("offline: busy:1000 at a batch of 4")
    first = xbench.compare(model, ("busy:1000",), out=out, progress=stops, **asked)
    assert first.interrupted
    assert first.results[0].status is Status.INTERRUPTED
    kept = read_samples(out)
    assert (kept.loads, kept.failures) == ({}, ())
    (row,) = comparison.run(Spec(model=""), resume=out).results
    assert row.status is Status.OK
    assert _load(row)["stopped"] != "refused"
    assert row.batch
    assert row.batch >= 16


def test_a_sustained_load_is_a_curve_for_each_row(tiny_model: Path, tmp_path: Path) -> None:
    """Rows run one after the other; each tells start, end and the rank at both."""
    asked = {"scenario": "sustained:3s", "threads": 1}
    run = _compared(tiny_model, ("busy:1000", "busy:2000"), tmp_path / "run", **asked)
    for row in run.results:
        told = _load(row)
        assert len(told["points"]) >= 50
        assert told["speed"]["low"] <= told["speed"]["value"] <= told["speed"]["high"]
        assert told["end_ns"]["value"] >= 1e6
    epochs = read_samples(tmp_path / "run").epochs
    assert [epoch.cell for epoch in epochs] == [0] * 60 + [1] * 60
    assert " then " in terminal.render(run)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"scenario": "server"}, "needs a rate"),
        ({"scenario": "offline", "batches": (1, 8)}, "decides the batch"),
        ({"scenario": "streams:2", "slo": "p99=20ms"}, "--slo is for a server"),
        ({"scenario": "server:30", "slo": "p98=20ms"}, "is not a limit"),
        ({"scenario": "server:30,max_batch=4", "batches": (8,)}, "decides the batch"),
        ({"scenario": "walk"}, "no scenario"),
        ({"scenario": "streams:64"}, "64 streams of 1 thread"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    asked: dict[str, Any], said: str, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        xbench.compare(tiny_model, ("busy",), out=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()
