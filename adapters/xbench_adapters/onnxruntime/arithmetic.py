"""In which types a session really computes: its own profile of one inference says so.

The file does not decide that. The CPU provider has hardly a kernel for float16 on x86: its casts to
float32 come and go while the graph is optimised, and what runs is float32. Of QuantizeLinear and
DequantizeLinear around an operator it makes one integer kernel, or it does not.

Another process makes the same session once more, since one that writes a profile is slower and
holds more: see `xbench_adapters.onnxruntime.profile`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xbench.adapter import Array
from xbench.apart import ask
from xbench.authoring import joined
from xbench.inputs import save_feeds
from xbench_adapters.onnxruntime.options import Setup

KINDS = {
    "float": "fp32", "float16": "fp16", "bfloat16": "bf16", "double": "fp64",
    "int8": "int8", "uint8": "int8", "int16": "int16", "uint16": "int16",
    "int4": "int4", "uint4": "int4", "float8e4m3fn": "fp8", "float8e5m2": "fp8",
}  # fmt: skip
"""What a profile calls a type. Of int32 and int64 are only indices and sums."""

MULTIPLY = ("Conv", "MatMul", "Gemm", "Attention", "LSTM", "GRU", "RNN", "Einsum", "MoE")
"""Parts of the names of operators that multiply, also of those that others were fused into."""

FLOATS_TO_INT8 = {"DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
UNTOLD = {"MatMulNBits"}  # computes in float32 or in int8, as its accuracy_level says
CONVERT = {"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
MOVE = {
    "Concat", "ConstantOfShape", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements",
    "GatherND", "Identity", "If", "Loop", "MemcpyFromHost", "MemcpyToHost", "Pad", "Range",
    "ReorderInput", "ReorderOutput", "Reshape", "Scan", "ScatterND", "Shape", "Size", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip
"""Operators that lay elements elsewhere and compute none; `MULTIPLY` goes before."""

COPIES = {"MemcpyFromHost", "MemcpyToHost"}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What a profile says.

    Attributes:
        kinds: How many operators compute in which precision: those that multiply, or where there
            is none, all that compute. None where one of them does not tell; 0 of float32 where
            the file alone told, and nothing was counted.
        copies: How many operators copy between the memory of the CPU and of a device.
        arena_bytes: Most that the arena of the provider asked for held; None where it does not say.
    """

    kinds: Mapping[str, int] | None
    copies: int
    arena_bytes: int | None

    @property
    def precision(self) -> str | None:
        """Return the precisions, the narrowest first: ``int8+fp32``; None where one is unknown."""
        if self.kinds is None:
            return None
        return joined(self.kinds) or None

    @property
    def counted(self) -> str:
        """Return what was counted: ``fp32 1, int8 52``; nothing where nothing was."""
        kinds = sorted((self.kinds or {}).items())
        return ", ".join(f"{kind} {count}" for kind, count in kinds if count)


def read(setup: Setup, feeds: Mapping[str, Array], *, unless_plain: bool = False) -> Arithmetic:
    """Return in what the same session computes, from one inference in another process.

    Args:
        setup: What the session is made of.
        feeds: The inputs of the inference.
        unless_plain: Whether the file alone may say that there is nothing but float32.

    Raises:
        Exception: If that process fails, as for lack of memory.
    """
    with TemporaryDirectory(prefix="xbench-onnxruntime-") as name:
        folder = Path(name)
        save_feeds(folder / "feeds.npz", (feeds,))
        job = {"setup": asdict(setup), "folder": name, "unless_plain": unless_plain}
        module = "xbench_adapters.onnxruntime.profile"
        said = ask(module, job, folder, "the reading of the arithmetic")
        return Arithmetic(said["kinds"], said["copies"], said["arena_bytes"])


def of_profile(events: Iterable[Mapping[str, Any]], provider: str) -> Arithmetic:
    """Return what a profile says of an inference."""
    nodes = [event["args"] for event in events if event.get("cat") == "Node"]
    nodes = [node for node in nodes if "op_name" in node]
    multiplying = [node for node in nodes if _multiplies(node["op_name"])]
    rest = [node for node in nodes if node["op_name"] not in CONVERT | MOVE]
    kinds = [_kind(node) for node in multiplying or rest]
    untold = not UNTOLD.isdisjoint(node["op_name"] for node in multiplying)
    own = [node for node in nodes if node.get("provider") == provider]
    held = [
        int(node["mem_arena_held"]) for node in own if "mem_arena_held" in node
    ]  # late versions
    return Arithmetic(
        None if untold else dict(Counter(kind for kind in kinds if kind)),
        sum(node["op_name"] in COPIES for node in nodes),
        max(held, default=None),
    )


def _multiplies(operator: str) -> bool:
    return operator not in MOVE and any(part in operator for part in MULTIPLY)


def _kind(node: Mapping[str, Any]) -> str | None:
    """Return the precision of an operator: that of its first input which is no index."""
    if node["op_name"] in FLOATS_TO_INT8:
        return "int8"
    types = [kind for value in node.get("input_type_shape", ()) for kind in value]
    return next((KINDS[one] for one in types if one in KINDS), None)
