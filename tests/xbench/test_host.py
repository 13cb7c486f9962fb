"""The machine is recorded as it is, without naming it, and what is absent has its reason."""

from __future__ import annotations

import json
import os
import platform
import socket
from importlib import metadata

import pytest

from xbench import __version__
from xbench.host import READINGS, capture_context


def test_the_context_is_a_document_and_whole() -> None:
    context = capture_context()

    assert json.loads(json.dumps(context)) == context
    assert context.keys() == READINGS.keys() | {"absent"}
    empty = {name for name in READINGS if context[name] is None}
    assert context["absent"].keys() == empty
    assert all(context["absent"].values())


def test_what_can_always_be_read_is_right() -> None:
    context = capture_context()

    assert context["python"].endswith(platform.python_version())
    assert os.uname().release in context["kernel"]
    assert context["affinity"] == sorted(os.sched_getaffinity(0))
    assert context["memory_bytes"]["total"] >= context["memory_bytes"]["available"] > 0
    assert context["devices"][0]["name"] == "cpu"
    assert context["versions"]["xbench"] == __version__
    for name in ("numpy", "onnx", "onnxruntime"):
        assert context["versions"][name] == metadata.version(name)


def test_the_machine_is_not_named() -> None:
    """Two captures are known for the same machine's; whose it is cannot be read."""
    first, second = capture_context(), capture_context()
    assert first["host_id"] == second["host_id"]
    assert len(first["host_id"]) == 12
    if len(socket.gethostname()) > 4:
        assert socket.gethostname() not in json.dumps({**first, "environment": {}})


def test_variables_that_change_a_measurement_are_kept_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = {
        "OMP_NUM_THREADS": "3",
        "KMP_AFFINITY": "compact",
        "ORT_DISABLE_ALL": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "MALLOC_ARENA_MAX": "1",
        "LD_PRELOAD": "",
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }
    others = {"MY_OMP_TOKEN": "secret", "HOME_OV": "x", "API_KEY": "secret", "TF_CLI_CONFIG": "x"}
    for name, value in {**kept, **others}.items():
        monkeypatch.setenv(name, value)

    environment = capture_context()["environment"]

    assert kept.items() <= environment.items()
    assert not others.keys() & environment.keys()
