"""Which GPUs there are, asked of the driver's own library as it is loaded, by its C calls."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = "from xbench_adapters.tensorrt import gpu; print(*gpu.count())"
LIBRARY = """
int nvmlInit_v2(void) { return INIT; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = COUNT; return STATUS; }
int nvmlShutdown(void) { return 0; }
"""


def asked(folder: Path, **values: int) -> str:
    """Return the answer where a library with these values stands for the driver's."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler, which makes the library")
    code = LIBRARY
    for name, value in values.items():
        code = code.replace(name, str(value))
    library = folder / "libnvidia-ml.so.1"
    command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=code, text=True, check=True)
    return answered(str(folder))


def answered(libraries: str) -> str:
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "LD_LIBRARY_PATH": libraries}
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("init", "count", "status", "answer"),
    [
        (0, 2, 0, "2 None"),
        (0, 0, 0, "0 the NVIDIA driver lists no GPU"),
        (9, 0, 0, "0 the NVIDIA driver cannot be reached: NVML's error 9"),
        (0, 1, 999, "0 NVML's error 999"),
    ],
)
def test_the_driver_is_asked(
    tmp_path: Path, init: int, count: int, status: int, answer: str
) -> None:
    assert asked(tmp_path, INIT=init, COUNT=count, STATUS=status) == answer


def test_no_driver_is_no_gpu(tmp_path: Path) -> None:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("there is a driver")
    assert answered(str(tmp_path)) == "0 there is no NVIDIA driver on this machine"
