"""A double of TensorRT and of CUDA's runtime that records, checks and computes.

It stands at the boundary of the Python bindings, in modules of their names that child processes
find as well. It takes what the bindings take (`test_bindings` holds both against each other), works
when a stream is waited for and not before, keeps the two memories apart, and gets its numbers from
``onnx.reference``. What it cannot show is whether TensorRT does the same.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import pytest

VERSION, CUDA_VERSION = "11.4.0", "13.5.0"
MODULES = ("tensorrt", "cuda", "cuda.bindings", "cuda.bindings.runtime", "pynvml")
FAULTS, RECORD = "XBENCH_TESTS_FAULTS", "XBENCH_TESTS_RECORD"
BUS = b"0000:65:00.0"

P = ParamSpec("P")
T = TypeVar("T")

SITE = {
    "tensorrt.py": f"from {__package__}.double_tensorrt import *\n__version__ = {VERSION!r}\n",
    "cuda/__init__.py": "",
    "cuda/bindings/__init__.py": "",
    "cuda/bindings/runtime.py": f"from {__package__}.double_cuda import *\n",
    "pynvml.py": f"from {__package__}.double_nvml import *\n",
    f"tensorrt-{VERSION}.dist-info/METADATA": f"Name: tensorrt\nVersion: {VERSION}\n",
    f"cuda_bindings-{CUDA_VERSION}.dist-info/METADATA": (
        f"Name: cuda-bindings\nVersion: {CUDA_VERSION}\n"
    ),
}


@contextmanager
def installed(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have this process and its children import the double; gives the file of their calls."""
    for name, content in SITE.items():
        path = folder / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    patch.syspath_prepend(str(folder / "site"))
    patch.setenv("XBENCH_CACHE", str(folder / "cache"))
    patch.setenv(RECORD, str(folder / "calls"))
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    try:
        yield folder / "calls"
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if isinstance(module, ModuleType):
                sys.modules[name] = module


def note(call: str) -> None:
    """Record a call, of this process or of a child."""
    if record := os.environ.get(RECORD):
        with Path(record).open("a") as file:
            file.write(f"{os.getpid()} {call}\n")


def calls(record: Path, *, children: bool = False) -> list[str]:
    """Return what was called in this process, or in its children, oldest first."""
    lines = record.read_text().splitlines() if record.exists() else []
    pairs = [line.split(" ", 1) for line in lines]
    return [call for process, call in pairs if (int(process) != os.getpid()) == children]


def fault(call: str) -> Any:
    """Return what the test wants to go wrong in a call: once, if it says when; else None."""
    wanted = json.loads(os.environ.get(FAULTS, "{}")).get(call)
    if isinstance(wanted, list):
        what, place = wanted
        asked = [one.partition("(")[0] for one in calls(Path(os.environ[RECORD]))]
        return what if asked.count(call) == place else None
    return wanted


def recorded(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function whose calls are recorded."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        note(function.__name__)
        return function(*args, **kwargs)

    return inner
