"""The other end of `xbench.narrowing`: a model file at a precision, made in a process of its own.

``python -m xbench.graph.precision.convert JSON`` writes ``model.onnx``, with its data beside it
where that does not fit within, into the folder that it is given, and answers with a report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, TensorProto

from xbench.apart import answer
from xbench.errors import ModelError, UsageError
from xbench.graph.precision.draft import Draft, draft
from xbench.graph.precision.floats import Narrowed, narrow
from xbench.graph.precision.schemas import (
    NAMES,
    TYPES,
    Schemas,
    float_positions,
    typed_nodes,
)
from xbench.graph.precision.weights import Weights
from xbench.graph.subgraphs import subgraphs
from xbench.modelfile import graphs

MODEL = "model.onnx"
SHOWN = 4
QUANTISED = frozenset(
    {
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger"),
        *("MatMulInteger", "QLinearConv", "QLinearMatMul"),
    }
)
SEMANTICS = 13  # until this operator set, versions of one operator differ in what they compute
AS_IT_IS = "Leave {0} out of --precision: at fp32 every backend runs the file as it is"
BEFORE = "Give the model from before it was quantised, or leave {0} out of --precision"


@dataclass(frozen=True, slots=True)
class Given:
    """What a conversion is given.

    Attributes:
        path: The model file.
        folder: Where the new one goes, and nothing else.
        work: A folder for files in between.
        calibration: Input sets to choose the scales of int8 by.
        saturates: Whether int8 products of the CPU do; see `xbench.narrowing.saturates`.
    """

    path: Path
    folder: Path
    work: Path
    calibration: Path | None = None
    saturates: bool = False


def convert(given: Given, precision: str) -> dict[str, Any]:
    """Return the report of a conversion; ``unchanged`` is true where the file is so already.

    Raises:
        UsageError: If nothing in the model could be of that precision.
        UnsupportedNodeError: If a node that does the model's arithmetic cannot be.
        ModelError: If the file cannot be read, or what came of it is no valid model.
        BackendUnavailableError: If what quantises is not installed.
    """
    if precision == "int8":
        from xbench.graph.precision.quantize import quantize

        return quantize(
            given.path, given.folder, given.work, given.calibration, saturates=given.saturates
        )
    return _floats(given.path, precision, given.folder)


def is_quantised(model: ModelProto) -> bool:
    """Return whether a model holds operators on quantised numbers."""
    return any(node.op_type in QUANTISED for one in graphs(model.graph) for node in one.node)


def check(path: Path, origin: Path) -> None:
    """Raise `ModelError` if a converted file is no valid model, though what it came from is."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # the checker and inference have no class of error in common
        try:
            onnx.checker.check_model(str(origin), full_check=True)
        except Exception:
            return  # what is lax in the original may be lax in this
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"the conversion made an invalid model: {said}") from error


def _floats(path: Path, precision: str, folder: Path) -> dict[str, Any]:
    kind = TYPES[precision]
    light = draft(path)
    if is_quantised(light.model):
        reason = f"the model is quantised, and is not converted to {precision}"
        raise UsageError(reason, BEFORE.format(precision))
    light.model = _inferred(light.model)
    held = _kinds(light.model)
    if other := held[TensorProto.FLOAT16] + held[TensorProto.BFLOAT16] - held[kind]:
        reason = f"{other} nodes of the model compute in another narrow type already"
        raise UsageError(reason, AS_IT_IS.format(precision))
    light.model = _new_enough(light.model, kind)
    weights = Weights(light, kind)
    found = narrow(light, kind, weights)
    if not found.narrow:
        return _nothing_to_do(precision, held[kind])
    weights.write(light.model.graph, folder)
    onnx.save(light.model, folder / MODEL)
    check(folder / MODEL, path)
    return _report(precision, found, weights, light)


def _inferred(model: ModelProto) -> ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:  # then by what the schemas say
        return model


def _kinds(model: ModelProto) -> Counter[int]:
    """Return how many nodes give each narrow type, by computing or by a Cast."""
    found: Counter[int] = Counter()
    for node, types in typed_nodes(model.graph, Schemas(model)):
        found.update({types.get(name, 0) for name in node.output} & NAMES.keys())
    return found


def _new_enough(model: ModelProto, kind: int) -> ModelProto:
    """Return a model in an operator set that lets its operators be of a type, where one does."""
    schemas = Schemas(model)
    own = schemas.opsets.get("", 1)
    positions = [
        (node, at, output)
        for node, types in typed_nodes(model.graph, schemas)
        for at, output in float_positions(node, types)
    ]
    needed = schemas.opset_for(positions, kind)
    inner = any(True for node in model.graph.node for _ in subgraphs(node))
    if needed == own or (inner and own < SEMANTICS):
        return model
    return _inferred(upgraded(model, needed))


def upgraded(model: ModelProto, opset: int) -> ModelProto:
    """Return a model in a newer operator set; itself where it cannot be brought to it."""
    try:
        return onnx.version_converter.convert_version(model, opset)
    except Exception:  # it raises what its C++ raises
        return model


def _nothing_to_do(precision: str, held: int) -> dict[str, Any]:
    if held:
        return {"unchanged": True, "notes": [f"the model is {precision} already"]}
    reason = f"the model has no float32 arithmetic that could be {precision}"
    raise UsageError(reason, AS_IT_IS.format(precision))


def _report(precision: str, found: Narrowed, weights: Weights, light: Draft) -> dict[str, Any]:
    kept = Counter(operator for operator, _ in found.kept)
    notes = []
    if weights.beyond:
        names = ", ".join(repr(name) for name in sorted(weights.beyond)[:SHOWN])
        more = f" and {len(weights.beyond) - SHOWN} more" if len(weights.beyond) > SHOWN else ""
        largest = max(weights.beyond.values())
        notes.append(
            f"weights beyond {precision}'s range were brought to its end"
            f" (up to {largest:.3g}): {names}{more}"
        )
    if kept:
        stay = ", ".join(f"{count} {operator}" for operator, count in kept.most_common(SHOWN))
        notes.append(
            f"{sum(kept.values())} of {found.narrow + len(found.kept)} nodes stay float32: {stay}"
        )
    return {
        "unchanged": False,
        "precision": precision,
        "narrow_nodes": found.narrow,
        "kept_float32": dict(kept.most_common()),
        "beyond_range": weights.beyond,
        "opset": Schemas(light.model).opsets.get(""),
        "notes": notes,
    }


def _answer(job: Mapping[str, Any]) -> dict[str, Any]:
    calibration = Path(job["calibration"]) if job["calibration"] else None
    given = Given(
        Path(job["model"]),
        Path(job["folder"]),
        Path(job["work"]),
        calibration,
        saturates=job["saturates"],
    )
    return convert(given, job["precision"])


if __name__ == "__main__":
    answer(_answer)
