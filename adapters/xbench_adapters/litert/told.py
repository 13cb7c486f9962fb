"""What an interpreter of LiteRT tells: which operators compute in which type, and who does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from xbench.adapter import Facts
from xbench.authoring import joined

FLOATS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
KINDS = {**FLOATS, "int8": "int8", "uint8": "uint8", "int16": "int16", "int4": "int4"}
CONVERSIONS = {"QUANTIZE", "DEQUANTIZE", "CAST"}
MOVES = {
    "BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE", "DYNAMIC_UPDATE_SLICE", "EMBEDDING_LOOKUP",
    "EXPAND_DIMS", "FILL", "GATHER", "GATHER_ND", "MIRROR_PAD", "PACK", "PAD", "PADV2", "RESHAPE",
    "REVERSE_V2", "SCATTER_ND", "SELECT", "SELECT_V2", "SLICE", "SPACE_TO_DEPTH", "SPLIT",
    "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
}  # fmt: skip
"""Operators that lay elements elsewhere and compute none."""

HALVES_ALLOWED = b"reduced_precision_support"
HALVES = frozenset({"asimdhp", "avx512_fp16"})
"""Flags of CPUs that compute in float16: of Arm's, of x86's."""

Operator = dict[str, Any]


def told(interpreter: Any, known: Facts, *, halved: bool) -> Facts:
    """Return facts with what an interpreter tells.

    The precision is that of the arithmetic: float16 weights are widened when they are loaded,
    and what is computed with them is float32. It is None where that may be ``halved``.
    """
    nodes = interpreter._get_ops_details()  # it has no public name
    operators = [node for node in nodes if node["op_name"] != "DELEGATE"]
    tensors = {one["index"]: one for one in interpreter.get_tensor_details()}
    counted = Counter(_kinds(operators, tensors))
    kinds = {*counted, *_inner_kinds(interpreter)}
    options = {
        **(known.options or {}),
        "weights": _weights(operators, tensors, interpreter.get_input_details()),
        "arithmetic": ", ".join(f"{kind} {n}" for kind, n in sorted(counted.items())) or "none",
        **computed_by(nodes, {one["index"] for one in interpreter.get_output_details()}),
    }
    precision = None if halved else joined(kinds) or "fp32"
    return replace(known, precision=precision, options=options)


def may_be_halved(path: Path) -> bool:
    """Return whether what a flatbuffer has in float32 may be computed in float16.

    XNNPACK does so where a flatbuffer allows it, as those with float16 weights do, and the CPU
    has such arithmetic; nothing tells whether it did.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return content.find(HALVES_ALLOWED) >= 0 and _computes_halves()


def _computes_halves() -> bool:
    """Return whether the CPU computes in float16, or nobody says that it does not."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    return not HALVES.isdisjoint(told.split())


def _kinds(operators: Iterable[Operator], tensors: dict[int, Any]) -> Iterator[str]:
    """Yield the type in which each operator computes that does."""
    for node in operators:
        if node["op_name"] in CONVERSIONS | MOVES:
            continue
        taken, given = (
            {_kind(tensors[int(index)]) for index in node[end] if int(index) in tensors} - {None}
            for end in ("inputs", "outputs")
        )
        narrow = {kind for kind in taken if kind and kind not in FLOATS.values()}
        # Of float activations and quantised weights the products are whole numbers.
        yield from sorted(narrow or {kind for kind in taken | given if kind})[:1]


def _kind(tensor: Any) -> str | None:
    """Return a tensor's type if numbers are computed with it: floats, or integers with a scale."""
    kind = KINDS.get(tensor["dtype"].__name__)
    scaled = len(tensor["quantization_parameters"]["scales"]) > 0
    return kind if scaled or kind in FLOATS.values() else None


def _inner_kinds(interpreter: Any) -> set[str]:
    """Return the types within loops and branches, by their tensors: no operator there is listed."""
    places = range(1, interpreter.num_subgraphs())
    tensors = (one for place in places for one in interpreter.get_tensor_details(place))
    return {kind for kind in map(_kind, tensors) if kind}


def _weights(operators: Iterable[Operator], tensors: dict[int, Any], inputs: Iterable[Any]) -> str:
    """Return the type that holds most elements of the constants that operators read."""
    given = _tensors(operators, "outputs") | {one["index"] for one in inputs}
    sizes: Counter[str] = Counter()
    for index in _tensors(operators, "inputs") - given:
        one = tensors.get(index)
        if one is not None and (kind := KINDS.get(one["dtype"].__name__)):
            sizes[kind] += int(one["shape"].prod())
    return max(sizes, key=lambda kind: sizes[kind], default="none")


def computed_by(nodes: Iterable[Operator], results: set[int]) -> dict[str, str]:
    """Return how many operators XNNPACK computes, and those that LiteRT's own kernels do.

    XNNPACK replaces parts of the graph by a node each, and nobody lists what is in it: that is
    what such a node gives, and what only nodes within read.
    """
    nodes = list(nodes)
    parts = [node for node in nodes if node["op_name"] == "DELEGATE"]
    given = _tensors(parts, "outputs")
    needed = _tensors(parts, "inputs") | results
    own: list[str] = []
    whole = [node for node in nodes if node["op_name"] != "DELEGATE"]
    for node in reversed(whole):  # each after those that read it
        gives = _tensors([node], "outputs")
        if gives & needed and not gives & given:
            needed |= _tensors([node], "inputs")
            own.append(node["op_name"])
    counted = sorted(Counter(own).items())
    return {
        "xnnpack": f"{len(whole) - len(own)} of {len(whole)} operators in {len(parts)} parts",
        "own_kernels": ", ".join(f"{name} {count}" for name, count in counted) or "none",
    }


def _tensors(nodes: Iterable[Operator], end: str) -> set[int]:
    return {int(index) for node in nodes for index in node[end]}
