"""The experiment as a whole, with real workers: order, stops, truth and what is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

import xbench
from xbench.cautions import Code
from xbench.comparison import run
from xbench.errors import UnknownNameError, UsageError
from xbench.plan import Spec
from xbench.progress import Silent, Standing
from xbench.result import SCHEMA, Run, Status, Verdict
from xbench.store import read_run, read_samples

SHORT: dict[str, Any] = {"launches": 1, "time_budget_s": 2.0}
# So wide a target is reached at once: every launch ends after its fewest settled rounds.
ROUNDS: dict[str, Any] = {"launches": 2, "time_budget_s": 120.0, "precision_target": 100.0}
pytestmark = pytest.mark.usefixtures("test_adapters")


@pytest.fixture(scope="module")
def of_real_runtimes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return one comparison of the three runtimes on a small convolutional model."""
    folder = tmp_path_factory.mktemp("real")
    path = folder / "conv.onnx"
    onnx.save(convolution(), path)
    backends = ("onnxruntime", "openvino", "pytorch")
    return xbench.compare(path, backends, out=folder / "run", launches=2, time_budget_s=12.0)


def convolution() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weight = random.standard_normal((32, 3, 3, 3)).astype(np.float32) / 5
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node("GlobalAveragePool", ["r"], ["features"], name="pool"),
        ],
        "conv",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 64, 64])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 32, 1, 1])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_three_runtimes_agree_at_true_fp32(of_real_runtimes: Run) -> None:
    """Each row's outputs are those of the reference, and each runtime says fp32."""
    rows = of_real_runtimes.results
    assert [row.backend for row in rows] == ["onnxruntime", "openvino", "pytorch"]
    for row in rows:
        assert row.status is Status.OK, (row.backend, row.reason)
        assert row.parity.status == "agrees"
        assert row.parity.max_rel is not None
        assert row.parity.max_rel < 1e-5  # bfloat16 would be off by 1e-3
        assert row.precision == {"requested": "fp32", "effective": "fp32"}
        assert row.rank is not None


def test_every_pair_has_a_ratio_with_its_interval(of_real_runtimes: Run) -> None:
    pairs = [(one.baseline, one.candidate) for one in of_real_runtimes.comparisons]
    assert pairs == [
        ("onnxruntime", "openvino"),
        ("onnxruntime", "pytorch"),
        ("openvino", "pytorch"),
    ]
    for one in of_real_runtimes.comparisons:
        assert one.ratio is not None
        assert one.ratio.low <= one.ratio.value <= one.ratio.high


def test_the_document_has_every_field_of_the_contract(of_real_runtimes: Run) -> None:
    document = json.loads(json.dumps(of_real_runtimes.to_json(), allow_nan=False))
    assert document["schema"] == SCHEMA
    assert {"run_id", "model", "host", "spec", "results", "comparisons"} <= document.keys()
    model_fields = {"name", "sha256", "opset", "inputs", "outputs", "parameters", "flops"}
    assert model_fields <= document["model"].keys()
    row_fields = {
        *("backend", "backend_version", "device", "batch", "threads", "precision", "boundary"),
        *("scenario", "status", "reason", "fix", "latency_ns", "throughput_per_s", "import_s"),
        *("convert_s", "load_s", "first_inference_ns", "memory_bytes", "energy", "parity"),
        *("fallback", "importer", "overhead_ns", "launches", "rounds", "cautions"),
    }
    for row in document["results"]:
        assert row_fields <= row.keys()
        assert {"n", "mean", "min", "max", "p50", "p90", "p95", "p99", "p99_9"} <= row[
            "latency_ns"
        ].keys()
    for one in document["comparisons"]:
        assert {"baseline", "candidate", "ratio", "verdict"} <= one.keys()


def test_the_folder_has_all_to_compute_the_result_again(of_real_runtimes: Run) -> None:
    assert of_real_runtimes.folder
    folder = Path(of_real_runtimes.folder)
    samples = read_samples(folder)
    n = {row.id: row.latency_ns.n for row in of_real_runtimes.results if row.latency_ns}
    stored = Counter[int]()
    for epoch in samples.epochs:
        stored[epoch.cell] += len(epoch.latencies_ns)
    assert all(n[cell] <= stored[cell] for cell in n)  # a row leaves out disturbed rounds
    kept = read_run(folder)
    assert kept["spec"]["seed"] == 0
    assert kept["model"]["sha256"] == of_real_runtimes.model["sha256"]
    document = json.loads(json.dumps(of_real_runtimes.to_json()))
    written = json.loads((folder / "result.json").read_text())
    assert {name: written[name] for name in document} == document
    assert not list((folder / "outputs").iterdir())


def test_a_wrong_backend_is_shown_and_never_ranked(tiny_model: Path, tmp_path: Path) -> None:
    """One per cent off in every output: too small to see, too large for fp32."""
    found = xbench.compare(tiny_model, ("busy", "faulty:wrong"), out=tmp_path / "run", **SHORT)
    right, wrong = found.results
    assert right.status is Status.OK
    assert wrong.status is Status.PARITY_FAILED
    assert wrong.parity.worst_output == "y"
    assert wrong.latency_ns is not None
    assert wrong.rank is None
    assert found.comparisons == ()
    assert found.exit_status == 1


def test_parity_is_never_declared_on_degenerate_outputs(tmp_path: Path) -> None:
    """A model whose output is the same for any input agrees with everything, at every batch."""
    path = tmp_path / "dead.onnx"
    model = convolution()
    weight = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight * 0, "w"))
    onnx.save(model, path)
    backends, batches = ("onnxruntime", "openvino"), (1, 2)
    found = xbench.compare(path, backends, out=tmp_path / "run", batches=batches, **SHORT)
    assert len(found.results) == 4
    for row in found.results:
        assert row.parity.status == "degenerate"
        assert Code.PARITY_DEGENERATE in {caution.code for caution in row.cautions}


def is_ours(process: psutil.Process) -> bool:
    """Return whether this is a worker or the canary; other tests may have left children."""
    return any(word in {"xbench.worker", "xbench.canary"} for word in process.cmdline())


class Watching(Silent):
    """Notes the state of every worker after each round, when none is asked to work."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.standings: list[Standing] = []

    def standing(self, standing: Standing) -> None:
        self.standings.append(standing)
        for child in filter(is_ours, psutil.Process().children()):
            for _ in range(100):  # a signal takes a moment to arrive
                if child.status() == psutil.STATUS_STOPPED:
                    break
                sleep(0.01)
            self.states.append(child.status())


def test_idle_workers_are_stopped(tiny_model: Path, tmp_path: Path) -> None:
    """Two workers and the canary, all stopped whenever it is nobody's turn."""
    watching = Watching()
    spec = Spec(model=str(tiny_model), backends=("busy", "busy:2000"), **SHORT)
    run(spec, out=tmp_path / "run", progress=watching)
    assert len(watching.states) == 3 * len(watching.standings) > 0
    assert set(watching.states) == {psutil.STATUS_STOPPED}


def test_orders_are_balanced_seeded_and_stored(tiny_model: Path, tmp_path: Path) -> None:
    """Every cell stands equally often in each place; the same seed gives the same orders."""
    backends = ("busy:100", "busy:200", "busy:300")

    def orders(seed: int, name: str) -> list[tuple[int, ...]]:
        found = xbench.compare(tiny_model, backends, out=tmp_path / name, seed=seed, **ROUNDS)
        assert found.folder
        stored = read_samples(Path(found.folder)).orders
        return [stored[key] for key in sorted(stored)]

    first, second = orders(7, "a"), orders(7, "b")
    assert first == second
    square = first[:6]
    assert len(square) == 6
    for place in range(3):
        assert Counter(order[place] for order in square) == {0: 2, 1: 2, 2: 2}
    followers = Counter((a, b) for order in square for a, b in pairwise(order))
    assert set(followers.values()) == {2}


def test_batch_sizes_are_compared_apart(tiny_model: Path, tmp_path: Path) -> None:
    found = xbench.compare(
        tiny_model, ("busy", "busy:2000"), out=tmp_path / "run", batches=(1, 4), **SHORT
    )
    assert [row.batch for row in found.results] == [1, 1, 4, 4]
    assert [(one.baseline_id, one.candidate_id) for one in found.comparisons] == [(0, 1), (2, 3)]
    assert all(row.rank in (1, 2) for row in found.results)


def test_every_batch_size_has_its_rounds_however_late_it_is(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Starting the first batch's workers takes longer than all the time there is."""
    given: dict[str, Any] = {"launches": 1, "time_budget_s": 0.01}
    found = xbench.compare(tiny_model, ("busy",), out=tmp_path / "run", batches=(1, 2, 4), **given)
    assert [(row.batch, row.status, row.rounds) for row in found.results] == [
        (batch, Status.OK, 3) for batch in (1, 2, 4)
    ]


def test_one_launch_carries_a_caution(tiny_model: Path, tmp_path: Path) -> None:
    found = xbench.compare(tiny_model, ("busy", "busy"), out=tmp_path / "run", **SHORT)
    assert [row.backend for row in found.results] == ["busy", "busy#2"]
    assert Code.SINGLE_LAUNCH in {caution.code for caution in found.cautions}
    assert found.comparisons[0].verdict in set(Verdict)


def test_the_user_s_inputs_decide_open_dimensions(tiny_model: Path, tmp_path: Path) -> None:
    feeds = tmp_path / "feeds.npz"
    np.savez(feeds, x=np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32))
    found = xbench.compare(tiny_model, ("busy",), out=tmp_path / "run", inputs=str(feeds), **SHORT)
    assert found.results[0].status is Status.OK


def test_an_unknown_backend_names_the_nearest(tiny_model: Path) -> None:
    with pytest.raises(UnknownNameError, match="onnxruntime"):
        xbench.compare(tiny_model, ("onxruntime",))


def test_a_run_is_not_resumed_with_another_model(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model.read_bytes())
    xbench.compare(path, ("busy",), out=tmp_path / "run", **SHORT)
    onnx.save(convolution(), path)
    with pytest.raises(UsageError, match="changed"):
        run(Spec(model=""), resume=tmp_path / "run")


def test_a_run_that_was_never_quiet_does_not_call_its_rounds_quiet(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Beside programs that keep every CPU busy all rounds count, and none is called quiet."""
    spin = [sys.executable, "-c", "while True: pass"]
    neighbours = [subprocess.Popen(spin) for _ in range(len(os.sched_getaffinity(0)))]
    try:
        found = xbench.compare(
            tiny_model, ("busy", "busy:2000"), out=tmp_path / "run", launches=1, time_budget_s=6.0
        )
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
    assert found.comparisons[0].ratio is not None
    assert found.comparisons[0].quiet_share == 0.0
    assert Code.DISTURBED in {caution.code for caution in found.cautions}


def test_precisions_are_rows_beside_fp32_and_each_tells_its_loss(tmp_path: Path) -> None:
    """One file, converted once for all backends; what a runtime cannot do is a row that says so."""
    path = tmp_path / "conv.onnx"
    onnx.save(convolution(), path)
    backends = ("onnxruntime", "pytorch")
    found = run(
        Spec(model=str(path), backends=backends, precision="fp32,fp16,int8", **SHORT),
        out=tmp_path / "run",
    )
    rows = {row.name: row for row in found.results}
    assert list(rows) == [f"{b} {p}" for p in ("fp32", "fp16", "int8") for b in backends]
    for name, row in rows.items():
        assert row.status is Status.OK, (name, row.reason)
        assert row.precision["requested"] == name.split()[1]
        assert row.parity.reference == "onnxruntime:reference"
    loss = {name: row.parity.max_rel or 0.0 for name, row in rows.items()}
    for backend in backends:
        assert loss[f"{backend} fp32"] < 1e-5 < loss[f"{backend} fp16"] < loss[f"{backend} int8"]
    assert {one.candidate for one in found.comparisons} == set(list(rows)[1:])


def test_a_model_that_cannot_be_narrowed_keeps_its_row_and_the_others_run(tmp_path: Path) -> None:
    """A model without floating-point numbers has no fp16; at fp32 it is measured all the same."""
    whole = helper.make_tensor_value_info("x", TensorProto.INT64, [4])
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "whole",
        [whole],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [4])],
    )
    path = tmp_path / "whole.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path
    )
    spec = Spec(model=str(path), backends=("onnxruntime",), precision="fp32,fp16", **SHORT)
    found = run(spec, out=tmp_path / "run")
    fine, half = found.results
    assert fine.status is Status.OK
    assert half.status is Status.UNSUPPORTED
    assert half.reason
    assert half.fix
    assert found.exit_status == 1


def test_tf32_on_cpus_alone_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "conv.onnx"
    onnx.save(convolution(), path)
    with pytest.raises(UsageError, match="tf32 is arithmetic of NVIDIA GPUs"):
        run(Spec(model=str(path), precision="tf32"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_boundary_that_a_backend_lacks_is_told_in_its_row(tmp_path: Path) -> None:
    """The host's arrays are what a CPU's backends take and give."""
    path = tmp_path / "conv.onnx"
    onnx.save(convolution(), path)
    spec = Spec(model=str(path), backends=("onnxruntime",), boundary="device", **SHORT)
    (row,) = run(spec, out=tmp_path / "run").results
    assert row.status is Status.UNSUPPORTED
    assert "boundary 'device'" in (row.reason or "")


def test_one_launch_where_more_were_planned_decides_nothing(tmp_path: Path) -> None:
    """Launches differ: a difference that only one of them showed may be that launch's own."""
    path = tmp_path / "conv.onnx"
    onnx.save(convolution(), path)
    spec = Spec(model=str(path), backends=("busy", "busy:2000"), launches=5, time_budget_s=0.1)
    found = run(spec, out=tmp_path / "run")
    assert {row.launches for row in found.results} == {1}
    assert [one.verdict for one in found.comparisons] == [Verdict.UNDETERMINED]
