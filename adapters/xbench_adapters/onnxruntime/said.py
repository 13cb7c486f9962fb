"""What ONNX Runtime says where it fails, as errors of ours."""

from __future__ import annotations

import re
from pathlib import Path

from xbench.authoring import first_node, unsupported
from xbench.errors import DeviceMemoryError, UnsupportedNodeError, UsageError, XbenchError

# What it says of an operator that it does not know, has no kernel for, or knows of later only.
REFUSED_NODE = (
    r'In Node, \("(?P<node>[^"]*)", (?P<operator>[^,]+), "(?P<domain>[^"]*)".* No Op registered',
    r"Fatal error: (?:(?P<domain>[^: ]+):)?(?P<operator>\w+)\(-?\d+\) is not a registered",
    r"find an implementation for (?P<operator>\w+)\(\d+\) node with name '(?P<node>[^']*)'",
)
REFUSED_TYPE = (
    r"Type '(?P<type>[^']+)' of input parameter \([^)]*\) "
    r"of operator \((?P<operator>\w+)\) in node \((?P<node>[^)]*)\) is invalid"
)
REFUSED_OPSET = r"Opset (\d+) is under development.* support for domain (\S+) is till opset (\d+)"
REFUSED_IR = r"Unsupported model IR version: (\d+), max supported IR version: (\d+)"
OUTPUT_SHAPE = r"The output OrtValue provided for output '(?P<output>[^']*)'.* has shape"

DEVICE_FULL = (
    "CUDA failure 2:",
    "CUDA out of memory",
    "BFCArena",
    "Failed to allocate memory for requested buffer",
    "ALLOC_FAILED",  # of cuBLAS and of cuDNN
    "OutOfMemory",
)
"""Words of which one is in what the CUDA and TensorRT providers say where the GPU is full.

The arena names no device; its messages mean the GPU where the session computes on one.
"""


def refusal(message: str, path: Path) -> XbenchError | None:
    """Return the typed error behind what ONNX Runtime said at loading; None if it is another."""
    said = " ".join(message.split())
    for pattern in REFUSED_NODE:
        if found := re.search(pattern, said):
            given = found.groupdict(default="")
            domain, operator, node = given.get("domain", ""), given["operator"], given.get("node")
            return unsupported(path, operator, "it has no kernel here", node=node, domain=domain)
    if found := re.search(REFUSED_TYPE, said):
        detail = f"this version of it takes no {found['type']}"
        return unsupported(path, found["operator"], detail, node=found["node"])
    if found := re.search(REFUSED_OPSET, said):
        version, domain, last = int(found[1]), found[2], found[3]
        detail = f"operator set {version} of {domain} is newer than {last}, the last that it knows"
        node, operator = first_node(path, domain)
        return UnsupportedNodeError(node, operator, version, detail)
    if found := re.search(REFUSED_IR, said):
        reason = (
            f"the file has ONNX IR version {found[1]}; this ONNX Runtime reads up to {found[2]}"
        )
        return UsageError(reason, "Export the model for an older ONNX, or update onnxruntime")
    return None


def fault(message: str) -> XbenchError | None:
    """Return the typed error behind what a session on a GPU said; None if it is another."""
    said = " ".join(message.split())
    if any(words in said for words in DEVICE_FULL):
        return DeviceMemoryError(f"ONNX Runtime says: {said[-300:]}")
    if found := re.search(OUTPUT_SHAPE, said):
        reason = f"the data decides the shape of {found['output']!r}, which cannot stay in place"
        return UsageError(reason, "Use --boundary host")
    return None
