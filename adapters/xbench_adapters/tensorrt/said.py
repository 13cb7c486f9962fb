"""What TensorRT says when it refuses a model or cannot build it, as errors with a type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xbench.authoring import unsupported
from xbench.errors import DeviceMemoryError, ModelError

NAMED = 8
KEPT_ERRORS = 20
OUT_OF_MEMORY = r"OutOfMemory|[Oo]ut of memory"
# A node that was fused has the names of all: ``a + b``, or ``{ForeignNode[first...last]}``.
NO_KERNEL = r"(?m)implementation for node (?:\{?ForeignNode\[)?(.+?)(?:\.\.\.| \+ |\]|\.?\)|\.?$)"
AGAIN = "Copy or download it again, or export it again"


def logger(trt: Any) -> Any:
    """Return a logger that prints warnings and worse, and keeps the last errors."""

    class Told(trt.ILogger):  # type: ignore[misc] # it ships no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors = [*self.errors, msg][-KEPT_ERRORS:]
            if severity not in (trt.ILogger.INFO, trt.ILogger.VERBOSE):
                print(f"[TensorRT] {msg}", flush=True)  # noqa: T201 -- the worker's log

    return Told()


def refusal(parser: Any, path: Path) -> Exception:
    """Return the typed error behind what the parser found: the first node, and how many more."""
    found = [parser.get_error(place) for place in range(parser.num_errors)]
    codes = {refused.code().name for refused in found}
    if "MODEL_DESERIALIZE_FAILED" in codes:
        return ModelError(f"TensorRT cannot read {path}: {_line(found[0].desc())}", AGAIN)
    if "MEM_ALLOC_FAILED" in codes:
        return MemoryError(f"TensorRT has no memory to read {path}")
    if not found:
        return ModelError(f"TensorRT does not accept {path}, and does not say why", AGAIN)
    first = next((refused for refused in found if refused.node_operator()), found[0])
    detail = f"TensorRT: {_line(first.desc())}{_others(first, found)}"
    domain, _, operator = first.node_operator().rpartition("::")
    return unsupported(path, operator or "?", detail, node=first.node_name() or None, domain=domain)


def failure(errors: Sequence[str], path: Path, happened: str) -> Exception:
    """Return the typed error behind what was logged when a call came to nothing."""
    text = "\n".join(errors)
    line = _line(errors[-1]) if errors else "it does not say why"
    if re.search(OUT_OF_MEMORY, text):
        return DeviceMemoryError(f"TensorRT {happened}: {line}")
    if found := re.search(NO_KERNEL, text):
        said = next(one for one in errors if found[0] in one)
        return unsupported(path, "?", f"TensorRT: {_line(said)}", node=found[1])
    return RuntimeError(f"TensorRT {happened}: {line}")


def _others(first: Any, found: Sequence[Any]) -> str:
    """Return the other nodes that were refused, in words."""
    names = [
        f"{refused.node_name() or '?'} ({refused.node_operator()})"
        for refused in found
        if refused is not first and refused.node_operator()
    ]
    left = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"; so are {', '.join(names[:NAMED])}{left}" if names else ""


def _line(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")
