"""Whether a backend takes a model: asked in real workers, whatever they do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import psutil
import pytest

from tests.xbench.conftest import model_of
from tests.xbench.graphs import FLOAT, INT64, linear, node, save
from xbench.acceptance import RefusedNode
from xbench.adapter import BoundModel, Limits
from xbench.bench import Bench
from xbench.errors import UnsupportedNodeError
from xbench.inspection import inspect
from xbench.result import Status
from xbench.testing import NullAdapter, models
from xbench.wire import model_to_json
from xbench.worker import failure

LIMITS = Limits(threads=1)


# Workers without a framework


@pytest.mark.usefixtures("test_adapters")
def test_each_way_to_fail_is_an_answer_and_the_others_are_asked(tiny_model: Path) -> None:
    expected = {
        "faulty:segfault-prepare": (Status.CRASHED, "SIGSEGV"),
        "faulty:raise-load": (Status.CRASHED, "a fault was injected"),
        "faulty:exit-load": (Status.CRASHED, "exit status 3"),
        "faulty:memory-load": (Status.OOM_HOST, "MemoryError"),
        "faulty:flood-load": (Status.OK, ""),
    }
    found = inspect(tiny_model, ["busy", *expected, "busy"])
    assert [one.backend for one in found.backends] == ["busy", *expected]  # each asked once
    answers = {one.backend: one for one in found.backends}
    for backend, (status, words) in expected.items():
        assert answers[backend].status is status, answers[backend]
        assert words in (answers[backend].reason or "")
        assert (answers[backend].fix is None) == (status is Status.OK)
    assert (answers["busy"].how, answers["busy"].backend_version) == ("loaded", "1")
    assert found.exit_status == 1
    json.dumps(found.to_json())


@pytest.mark.usefixtures("test_adapters")
def test_a_backend_that_never_answers_is_given_up(tiny_model: Path) -> None:
    [answer] = inspect(tiny_model, ["faulty:hang-load"], timeout_s=5.0).backends
    assert answer.status is Status.TIMEOUT
    assert "--timeout" in (answer.fix or "")


@pytest.mark.usefixtures("test_adapters")
def test_the_node_that_stops_a_backend_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    onnx.save(model_of("Nonsense", "some.domain"), path)
    found = inspect(path, ["busy", "null"])
    refused, taken = found.backends
    assert refused.status is Status.UNSUPPORTED
    assert refused.node == RefusedNode(
        name="only",
        operator="some.domain::Nonsense",
        version=1,
        detail="onnx.reference does not know it",
    )
    assert taken.status is Status.OK
    assert found.to_json()["backends"][0]["node"]["version"] == 1


@dataclass
class Checking(NullAdapter):
    """An adapter that answers without loading."""

    refuses: bool = False
    loads: int = 0

    def check(self, model: BoundModel, limits: Limits, precision: str) -> None:
        if self.refuses:
            raise UnsupportedNodeError("n", "Op", 0, "no")

    def load(self, model: BoundModel, limits: Limits, precision: str) -> Any:
        self.loads += 1
        return super().load(model, limits, precision)


def test_an_adapters_own_check_goes_before_loading(tmp_path: Path) -> None:
    bound = models.elementwise().write(tmp_path)
    job = {"model": model_to_json(bound), "limits": asdict(LIMITS), "precision": "fp32"}
    bench, adapter = Bench(), Checking()
    bench.adapter = adapter
    assert bench.check(job) == {"how": "checked"}
    assert adapter.loads == 0
    bench.adapter = NullAdapter()
    assert bench.check(job) == {"how": "loaded"}
    bench.adapter = Checking(refuses=True)
    with pytest.raises(UnsupportedNodeError) as raised:
        bench.check(job)
    node = failure(raised.value)["error"]["node"]
    assert node == {"name": "n", "operator": "Op", "version": 0, "detail": "no"}


# What the real ones answer


def test_every_backend_takes_a_model_of_common_operators(tmp_path: Path) -> None:
    found = inspect(linear(tmp_path), ["onnxruntime", "openvino", "pytorch"])
    assert found.exit_status == 0
    assert {one.backend: one.how for one in found.backends} == {
        "onnxruntime": "loaded",
        "openvino": "loaded",
        "pytorch": "checked",
    }
    assert all(one.backend_version for one in found.backends)


def test_an_operator_that_one_backend_lacks_stops_that_one_alone(tmp_path: Path) -> None:
    """ONNX Runtime counts words; OpenVINO has no such operator."""
    counting: dict[str, Any] = {
        "mode": "TF",
        "min_gram_length": 1,
        "max_gram_length": 1,
        "max_skip_count": 0,
        "ngram_counts": [0],
        "ngram_indexes": [0, 1],
        "pool_int64s": [2, 3],
    }
    path = save(
        tmp_path,
        [node("TfIdfVectorizer", ["x"], ["y"], name="words", **counting)],
        {"x": (INT64, ["batch", 6])},
        {"y": (FLOAT, ["batch", 2])},
    )
    runs, stopped = inspect(path, ["onnxruntime", "openvino"]).backends
    assert runs.status is Status.OK, runs
    assert stopped.status is Status.UNSUPPORTED, stopped
    assert stopped.node is not None
    assert (stopped.node.name, stopped.node.operator) == ("words", "TfIdfVectorizer")
    assert stopped.node.version == 18
    assert stopped.node.detail


def test_no_framework_is_loaded_by_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    onnx.save(model_of("Relu"), path)
    code = (
        "import sys; from xbench.inspection import inspect\n"
        f"found = inspect({str(path)!r}, ['onnxruntime', 'pytorch'])\n"
        "assert found.exit_status == 0, found.backends\n"
        "assert not {'torch', 'onnxruntime', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ctrl_c_while_a_model_loads_stops_and_leaves_nobody(tiny_model: Path) -> None:
    """The status is that of an interruption, and no worker outlives the command."""
    command = [sys.executable, "-c", "from xbench.cli.main import main; main()", "inspect"]
    program = subprocess.Popen(
        [*command, str(tiny_model), "--backends", "busy,faulty:hang-load"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XBENCH_TEST_ADAPTERS": "1"},
    )
    assert program.stderr is not None
    while "asking faulty" not in program.stderr.readline():
        pass
    workers = psutil.Process(program.pid).children(recursive=True)
    program.send_signal(signal.SIGINT)
    text, said = program.communicate(timeout=60)
    assert (program.returncode, text) == (130, "")
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
