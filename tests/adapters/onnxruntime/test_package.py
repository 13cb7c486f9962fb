"""What is asked of CUDA and of its provider exists in what is published, and does what we believe.

The package is the one with the CUDA provider, on a machine without CUDA's libraries: that is where
ONNX Runtime computes on the CPU instead, and only logs it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import xbench_adapters.onnxruntime
from tests.adapters.tensorrt import bindings
from tests.adapters.tensorrt.usage import signatures, takes, uses
from xbench.testing import models
from xbench_adapters.onnxruntime import cuda
from xbench_adapters.onnxruntime.options import CUDA, TENSORRT

ADAPTER = Path(xbench_adapters.onnxruntime.__file__).parent
VERSION = "1.31.1"
CUDART = ("12.8.0", "12.9.10", "13.5.0")
PATIENCE_S = 400

# Run in a process of its own, with the package: what comes of a session on a GPU that is not there.
ASK = """
import json, sys
from pathlib import Path
from xbench.adapter import BoundModel, Limits
from xbench.errors import XbenchError
from xbench_adapters.onnxruntime import OnnxRuntimeAdapter

found = {}
for variant in ("", "tensorrt"):
    adapter, limits = OnnxRuntimeAdapter(variant), Limits(1, device="cuda:0")
    try:
        version = adapter.prepare(limits)
        adapter.load(BoundModel(Path(sys.argv[1]), (), ("y",), {}), limits, "fp32")
        found[variant] = [version, "loaded", ""]
    except XbenchError as error:
        found[variant] = [version, type(error).__name__, error.reason]
Path(sys.argv[2]).write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what wheels told, unless pytest was told to keep nothing."""
    kept = getattr(request.config, "cache", None)
    return Path(kept.mkdir("tensorrt-bindings")) if kept else tmp_path_factory.mktemp("bindings")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ONNX Runtime as it is published for GPUs."""
    site = tmp_path_factory.mktemp("onnxruntime-gpu")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--target", str(site)]
    done = subprocess.run(
        [*command, f"onnxruntime-gpu=={VERSION}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip does not say why"]
        pytest.skip(f"onnxruntime-gpu cannot be downloaded: {lines[-1][:200]}")
    return site


@pytest.mark.parametrize("version", CUDART)
def test_all_that_is_asked_of_cuda_exists(version: str, cache: Path) -> None:
    """Every function and constant, with as many arguments as it takes."""
    surface = bindings.surface("cuda-bindings", version, "cuda.bindings.runtime", cache)
    found = [use for use in uses(ADAPTER, {}) if use.owner == "cuda"]
    assert {"cudaEventRecord", "cudaEventElapsedTime", "cudaSetDevice"} <= {u.name for u in found}
    for use in found:
        assert use.name in surface, use.where
        if use.positional is not None and use.name != "cudaEventElapsedTime":  # given by a star
            assert takes(signatures(surface[use.name]), use), use.where
    assert signatures(surface["cudaEventElapsedTime"]) == [["start", "end"]]


def words(site: Path, provider: str) -> set[bytes]:
    """Return the words in a provider's library."""
    path = site / f"onnxruntime/capi/libonnxruntime_providers_{cuda.LIBRARIES[provider]}.so"
    return set(re.findall(rb"[A-Za-z][A-Za-z0-9_]{7,}", path.read_bytes()))


def spelled(known: set[bytes], option: str) -> bool:
    """Return whether a library knows an option; long ones lie in it in pieces of 16 letters."""
    return option.encode() in known or all(
        any(piece in one for one in known)
        for piece in (option[place : place + 14].encode() for place in (0, len(option) - 14))
    )


@pytest.mark.slow  # a quarter of a gigabyte is downloaded
def test_every_option_is_the_providers_own(package: Path) -> None:
    """One that it does not know would end the session, or be without effect."""
    asked: dict[str, set[str]] = {}
    for precision in ("fp32", "tf32", "fp16", "bf16", "int8"):
        for provider in (CUDA, TENSORRT):
            for name, options in cuda.providers(provider, precision, 1):
                asked.setdefault(name, set()).update(options)
    for provider, names in asked.items():
        known = words(package, provider)
        assert [one for one in sorted(names) if not spelled(known, one)] == []
        assert not spelled(known, "no_such_option_here")
    assert not any(b"use_tf32" in one for one in words(package, TENSORRT)), "it has one by now"


@pytest.mark.slow
def test_a_gpu_that_cannot_be_used_is_refused(package: Path, tmp_path: Path) -> None:
    """The package itself makes a session on the CPU of it, and returns it."""
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("there is a driver")
    model, answer = models.convolution().write(tmp_path).path, tmp_path / "answer.json"
    paths = os.pathsep.join([str(package), *(path for path in sys.path if path)])
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(model), str(answer)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(answer.read_text())
    version, kind, reason = found[""]
    assert (version, kind) == (VERSION, "UsageError")
    assert reason == f"ONNX Runtime could not enable {CUDA} and would run on CPUExecutionProvider"
    version, kind, reason = found["tensorrt"]
    assert (version, kind) == (VERSION, "UsageError")
    assert "cannot load TensorRT" in reason
