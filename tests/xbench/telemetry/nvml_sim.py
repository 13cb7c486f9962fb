"""The simulated NVML (`nvml_sim.c`): built here, loaded by nvidia-ml-py, driven by tests."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pynvml
import pytest

SOURCE = Path(__file__).with_name("nvml_sim.c")
LIBRARY = "libnvidia-ml.so.1"
UUIDS = ("GPU-1a2b3c4d-0000", "GPU-1aff0000-0001", "GPU-77770000-0002", "GPU-77770000-0003")


def build(folder: Path) -> Path:
    """Return the path of the library, compiled into a folder; skip where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("the simulated NVML needs a C compiler")
    path = folder / LIBRARY
    # Without a name of its own (-soname): by that, others would find it once it is loaded.
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(path), "-lm"], check=True)
    return path


class SimulatedNvml:
    """The test's side of the library: what the GPUs draw, and which faults they have."""

    def __init__(self, path: Path, gpus: int = 1) -> None:
        self.library = ctypes.CDLL(str(path))
        self.library.sim_spent_j.restype = ctypes.c_double
        self.set("reset", gpus)
        for index in range(gpus):
            self.identity(index, UUIDS[index], "Simulated GPU")

    def set(self, what: str, *values: Any) -> None:
        """Call ``sim_<what>``; text, whole numbers and doubles go as C has them."""
        getattr(self.library, f"sim_{what}")(*(_c(value) for value in values))

    def identity(self, index: int, uuid: str, name: str) -> None:
        self.set("identity", index, uuid, name)

    def fault(self, function: str, code: int, index: int = 0) -> None:
        self.set("fault", index, function, code)

    def advance(self, seconds: float) -> None:
        self.set("advance", seconds)

    def memory_reads(self, index: int = 0) -> int:
        """Return how often the memory in use was asked for."""
        return int(self.library.sim_memory_reads(index))

    def spent_j(self, index: int = 0) -> float:
        return float(self.library.sim_spent_j(index))


def point_pynvml_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nvidia-ml-py find that library where it looks for the driver's, until the test ends.

    It asks ctypes for the name alone, and keeps what it has loaded in its module.
    """

    def open_library(name: str) -> ctypes.CDLL:
        assert name == LIBRARY
        return ctypes.CDLL(str(path))

    monkeypatch.setattr(pynvml, "CDLL", open_library)
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlLib_refcount", 0)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})


def _c(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float):
        return ctypes.c_double(value)
    return ctypes.c_uint64(value)
