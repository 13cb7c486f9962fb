"""NVIDIA's own Python bindings, imported without its libraries and without a GPU.

The wheels of the bindings are small and hold the compiled modules alone. TensorRT's link to three
libraries of gigabytes, for which empty ones stand in: what its bindings offer is known once they
are imported, and no function of a library is ever called.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

PATIENCE_S = 300
LIBRARIES = {
    "libnvinfer": (
        "createInferBuilder_INTERNAL",
        "createInferRefitter_INTERNAL",
        "createInferRuntime_INTERNAL",
        "getBuilderPluginRegistry",
        "getPluginRegistry",
    ),
    "libnvinfer_plugin": ("initLibNvInferPlugins",),
    "libnvonnxparser": (
        "createNvOnnxParserRefitter_INTERNAL",
        "createNvOnnxParser_INTERNAL",
        "getNvOnnxParserVersion",
    ),
}

# Run in a process of its own: prints what a module has, its classes with all that they have.
SURFACE = """
import enum, importlib, inspect, json, sys

def about(thing):
    try:
        signature = str(inspect.signature(thing)) if callable(thing) else None
    except (TypeError, ValueError):
        signature = None
    number = int(thing) if hasattr(type(thing), "__int__") else None
    return {"doc": getattr(thing, "__doc__", None) or "", "signature": signature, "number": number}

def inside(kind):
    names = [*dir(kind), *getattr(kind, "__members__", ())]
    wanted = [name for name in names if name[0] != "_" or name == "__init__"]
    return {name: about(getattr(kind, name, None)) for name in wanted}

module = importlib.import_module(sys.argv[1])
names = [name for name in dir(module) if name[0] != "_" or name == "__version__"]
things = {name: getattr(module, name) for name in names}
print(json.dumps({
    name: {**about(thing if not isinstance(thing, type) else None),
           "doc": getattr(thing, "__doc__", None) or "",
           "inside": inside(thing) if isinstance(thing, type) else None}
    for name, thing in things.items()
}))
"""

Surface = dict[str, Any]


def surface(package: str, version: str, module: str, cache: Path) -> Surface:
    """Return what ``module`` of a published wheel has: names, documentation, signatures.

    That is kept in ``cache``; the wheel is not.
    """
    question = hashlib.sha256(SURFACE.encode()).hexdigest()[:12]
    kept = cache / f"{package}-{version}-{question}.json"
    if not kept.exists():
        with TemporaryDirectory(prefix="xbench-bindings-") as folder:
            kept.write_text(_asked(package, version, module, Path(folder)))
    found: Surface = json.loads(kept.read_text())
    return found


def _asked(package: str, version: str, module: str, folder: Path) -> str:
    """Return what a process with the wheel tells of it, as JSON."""
    _install(package, version, folder / "site")
    environment = {**os.environ, "PYTHONPATH": str(folder / "site")}
    if package.startswith("tensorrt"):
        environment["LD_LIBRARY_PATH"] = str(_libraries(version.partition(".")[0], folder))
    command = [sys.executable, "-c", SURFACE, module]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _install(package: str, version: str, site: Path) -> None:
    """Install a wheel to a folder; skip the test where it cannot be had."""
    extra = ["cuda-pathfinder"] if package == "cuda-bindings" else []
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--target", str(site)]
    done = subprocess.run(
        [*command, f"{package}=={version}", *extra],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip does not say why"]
        pytest.skip(f"{package} {version} cannot be downloaded: {lines[-1][:200]}")


def _libraries(major: str, into: Path) -> Path:
    """Return a folder of empty libraries under the names that TensorRT's bindings link to."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler, which makes the empty libraries")
    folder = into / "libraries"
    folder.mkdir()
    for name, functions in LIBRARIES.items():
        target = folder / f"{name}.so.{major}"
        code = "".join(f"void *{one}(void) {{ return 0; }}\n" for one in functions)
        command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(target)]
        soname = f"-Wl,-soname,{target.name}"
        subprocess.run([*command, soname], input=code, text=True, check=True, timeout=PATIENCE_S)
    return folder
