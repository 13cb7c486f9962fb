"""OpenVINO: threads as asked, no telemetry, typed refusals; its precision has its own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.errors import UnsupportedNodeError, XbenchError
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench_adapters.openvino import OpenVinoAdapter

ONE_THREAD = Limits(1)


def load(model: BoundModel, limits: Limits = ONE_THREAD) -> Any:
    adapter = OpenVinoAdapter()
    adapter.prepare(limits)
    return adapter.load(model, limits, "fp32")


def write(folder: Path, *nodes: onnx.NodeProto, opset: int = 18) -> BoundModel:
    """Return a file of ``nodes`` from input ``x`` to output ``y``."""
    float_ = TensorProto.FLOAT
    graph = make_graph(
        list(nodes),
        "g",
        [make_tensor_value_info("x", float_, [1, 4, 4])],
        [make_tensor_value_info("y", float_, None)],
    )
    opsets = [make_opsetid("", opset), make_opsetid("some.domain", 3)]
    path = folder / "model.onnx"
    path.write_bytes(make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return BoundModel(path, (TensorSpec("x", "float32", (1, 4, 4)),), ("y",), {})


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_read_back(threads: int, tmp_path: Path) -> None:
    if threads > len(os.sched_getaffinity(0)):
        pytest.skip("this process may use one CPU only")
    facts = load(models.work().write(tmp_path), Limits(threads)).facts()
    assert facts.threads == threads
    assert facts.options is not None
    assert facts.options["num_streams"] == "1"
    assert facts.options["enable_cpu_pinning"] == "False"
    assert facts.options["execution_mode_hint"] == "ACCURACY"


AFFINITY = """
import os, sys
from pathlib import Path
cpu = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {cpu})
from xbench.adapter import Limits
from xbench.measure import thread_cpus, warm_up
from xbench.testing import models
from xbench_adapters.openvino import OpenVinoAdapter
example, adapter, limits = models.work(), OpenVinoAdapter(), Limits(1, (cpu,))
adapter.prepare(limits)
session = adapter.load(example.write(Path(sys.argv[1])), limits, "fp32")
session.bind(example.feeds[0])
busy = warm_up(session, 1.0).busy_threads
print(busy, thread_cpus() == (cpu,), session.facts().threads)
"""

TELEMETRY = """
import sys, threading
from xbench.adapter import Limits
from xbench_adapters.openvino import OpenVinoAdapter
OpenVinoAdapter().prepare(Limits(1))
print(*(name for name in sys.modules if name.startswith("openvino_telemetry.")))
print(*(t.name for t in threading.enumerate() if t is not threading.main_thread()))
"""


def _python(code: str, *arguments: str, **environment: str) -> str:
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_parents_affinity_holds(tmp_path: Path) -> None:
    """Every thread of a worker that was given one CPU stays on it, and one of them works."""
    assert _python(AFFINITY, str(tmp_path)).split() == ["1", "True", "1"]


def test_it_sends_nothing_and_writes_nothing_at_home(tmp_path: Path) -> None:
    """Importing OpenVINO reports its use unless the module that does is kept out."""
    told = _python(TELEMETRY, HOME=str(tmp_path), CI="false")
    assert told.split() == []
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_cannot_be_shared_are_copied(tmp_path: Path) -> None:
    """Memory in another order, or that may not be written to, gives the same outputs."""
    example = models.perceptron()
    session = load(example.write(tmp_path))
    expected = infer(session, example.feeds[0])["y"]
    frozen = example.feeds[0]["x"].copy()
    frozen.flags.writeable = False
    for array in (frozen, np.asfortranarray(frozen)):
        np.testing.assert_array_equal(infer(session, {"x": array})["y"], expected)


@pytest.mark.parametrize(
    ("node", "operator", "version"),
    [
        (make_node("Det", ["x"], ["y"], name="det"), "Det", 18),
        (make_node("Foo", ["x"], ["y"], name="det", domain="some.domain"), "some.domain::Foo", 3),
    ],
)
def test_an_operator_that_it_lacks_is_named(
    tmp_path: Path, node: onnx.NodeProto, operator: str, version: int
) -> None:
    with pytest.raises(UnsupportedNodeError) as raised:
        load(write(tmp_path, node))
    found = raised.value
    assert (found.node, found.operator, found.version) == ("det", operator, version)


def test_a_use_that_it_lacks_is_named_with_the_reason(tmp_path: Path) -> None:
    """It knows the operator, and not with these attributes."""
    flag = onnx.helper.make_tensor("flag", TensorProto.BOOL, [], [True])
    nodes = [
        make_node("Relu", ["x"], ["r"]),
        make_node("Constant", [], ["ratio"], value_float=0.5),
        make_node("Constant", [], ["on"], value=flag),
        make_node("Not", ["on"], ["off"]),
        make_node("Cast", ["r"], ["any"], to=TensorProto.BOOL),
        make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        make_node("Cast", ["m"], ["training"], to=TensorProto.BOOL),
        make_node("Dropout", ["r", "ratio", "training"], ["y"], name="drop"),
    ]
    with pytest.raises(UnsupportedNodeError) as raised:
        load(write(tmp_path, *nodes))
    found = raised.value
    assert (found.node, found.operator, found.version) == ("drop", "Dropout", 18)
    assert "training_mode" in found.detail


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    model = write(tmp_path, make_node("Relu", ["x"], ["y"]))
    model.path.write_bytes(b"not a model")
    with pytest.raises(RuntimeError) as raised:
        load(model)
    assert not isinstance(raised.value, XbenchError)
