"""A graph in int8: QuantizeLinear and DequantizeLinear around the products, by ONNX Runtime's tool.

All is symmetric with zero point 0, weights have a scale for each channel and activations one for
the tensor, as TensorRT asks; biases stay float32, since TensorRT takes no int32 ones.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, inliner, numpy_helper

from xbench.errors import BackendUnavailableError, ModelError, UsageError
from xbench.graph.precision.convert import AS_IT_IS, MODEL, check, is_quantised, upgraded
from xbench.graph.precision.draft import draft
from xbench.graph.precision.schemas import PRODUCTS as ALL_PRODUCTS
from xbench.graph.precision.tidy import tidy
from xbench.graph.precision.weights import ONE_FILE_BYTES
from xbench.graph.read import tensor_array
from xbench.inputs import Feeds, load_feeds
from xbench.modelfile import elements, external_files, graphs, parse

FULL_BITS = 8
OPSET = 13  # the first whose scales can be one for each channel
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
FLOATING = ("Gemm", "MatMul")  # their outputs stay: what follows, such as a norm, needs the digits
INSTALL = "Install it with: pip install 'xbench[onnxruntime]'"
OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "OpTypesToExcludeOutputQuantization": list(FLOATING),
}


def quantize(
    path: Path, folder: Path, work: Path, calibration: Path | None, *, saturates: bool
) -> dict[str, Any]:
    """Return the report of a quantisation; see `xbench.graph.precision.convert.convert`.

    Args:
        path: The model file.
        folder: Where the new one goes.
        work: A folder for files in between.
        calibration: Input sets to choose scales by.
        saturates: Whether sums of two products of 8 bits are too large for the CPU: then weights
            take 7. See `xbench.narrowing.saturates`.

    Raises:
        UsageError: If the model has no product to be quantised, or no scale can be found.
        ModelError: If the model cannot be read, run, or brought to an operator set that has QDQ.
        BackendUnavailableError: If ONNX Runtime is not installed.
    """
    if calibration is None:
        raise UsageError("int8 needs inputs to choose its scales by", "Give --calibration FILE.npz")
    light = draft(path)
    if is_quantised(light.model):
        return {"unchanged": True, "notes": ["the model is quantised already"]}
    sets = load_feeds(calibration)
    prepared, large = _prepared(_plain(path, light.model, work), work)
    nodes = _named(prepared)
    if not nodes:
        reason = "the model has no product of float32 values with constant weights to be int8"
        raise UsageError(reason, AS_IT_IS.format("int8"))
    _quantize(prepared, folder / MODEL, nodes, sets, large=large, saturates=saturates)
    made = onnx.load(folder / MODEL, load_external_data=False)
    tidy(made)
    onnx.save(made, folder / MODEL)
    check(folder / MODEL, path)
    return _report(folder / MODEL, len(nodes), len(sets), 7 if saturates else 8)


class _Sets:
    """Input sets as ONNX Runtime's calibration reads them: one at a time, then None."""

    def __init__(self, sets: tuple[Feeds, ...]) -> None:
        self._left: Iterator[Feeds] = iter(sets)

    def get_next(self) -> Feeds | None:
        return next(self._left, None)


def _plain(path: Path, light: ModelProto, work: Path) -> Path:
    """Return a file that the tool can work on: no functions, an operator set with QDQ."""
    original = parse(path)
    opset = next((one.version for one in original.opset_import if not one.domain), OPSET)
    if not original.functions and opset >= OPSET:
        return path
    model = onnx.load(path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    if opset < OPSET:
        model = upgraded(model, OPSET)
    if max((one.version for one in model.opset_import if not one.domain), default=OPSET) < OPSET:
        reason = f"int8 needs operator set {OPSET}, and the model, which is in {opset}, cannot be"
        raise ModelError(f"{reason} brought to it", "Export it again in a newer operator set")
    plain = work / "plain.onnx"
    onnx.save(model, plain, save_as_external_data=_weighs(light) > ONE_FILE_BYTES)
    return plain


def _weighs(model: ModelProto) -> int:
    """Return the bytes of a model's float32 weights."""
    tensors = (one for graph in graphs(model.graph) for one in graph.initializer)
    return sum(4 * elements(one) for one in tensors if one.data_type == TensorProto.FLOAT)


def _prepared(path: Path, work: Path) -> tuple[Path, bool]:
    """Return a file with norms folded into the weights before them, and whether it is large."""
    shape_inference = _tools("shape_inference")
    large = _weighs(parse(path)) > ONE_FILE_BYTES
    out = work / "prepared.onnx"
    given = parse(path)
    whole = path
    if not large and external_files(given, path.parent):
        whole = work / "whole.onnx"  # the tool loses weights that lie beside the file
        onnx.save(onnx.load(path), whole)
    try:
        shape_inference.quant_pre_process(
            str(whole),
            str(out),
            skip_symbolic_shape=True,  # it needs a package more, and adds nothing that we use
            save_as_external_data=large,
            all_tensors_to_one_file=True,
            external_data_location="prepared.bin" if large else None,
        )
    except Exception as error:  # it raises whatever it meets
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"ONNX Runtime cannot prepare the model for int8: {said}") from error
    known = {one.domain for one in given.opset_import}
    if {node.domain for node in parse(out).graph.node} - known - {""}:
        raise ModelError("ONNX Runtime put operators of its own into the model")
    return out, large


def _named(path: Path) -> list[str]:
    """Return the names of the nodes to quantise, once every node of a file has one of its own."""
    model = onnx.load(path, load_external_data=False)
    weights = {one.name: one for one in model.graph.initializer}
    taken: Counter[str] = Counter()
    for node in model.graph.node:
        node.name = node.name or f"{node.op_type}/{next(iter(node.output), '')}"
        taken[node.name] += 1
        if taken[node.name] > 1:
            node.name = f"{node.name}/{taken[node.name]}"
    onnx.save(model, path)
    return [node.name for node in model.graph.node if _is_product(node, weights)]


def _is_product(node: NodeProto, weights: dict[str, TensorProto]) -> bool:
    if node.op_type not in PRODUCTS or node.domain not in ("", "ai.onnx"):
        return False
    weight = weights.get(node.input[1])
    if weight is None or weight.data_type != TensorProto.FLOAT:
        return False
    return node.op_type not in FLOATING or len(weight.dims) == 2


def _quantize(
    path: Path,
    out: Path,
    nodes: list[str],
    sets: tuple[Feeds, ...],
    *,
    large: bool,
    saturates: bool,
) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    quantization = _tools("")
    try:
        quantization.quantize_static(
            str(path),
            str(out),
            _Sets(sets),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(PRODUCTS),
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=saturates,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            use_external_data_format=large,
            extra_options=OPTIONS,
        )
    except Exception as error:  # it raises whatever it meets
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"ONNX Runtime cannot quantise the model: {said}") from error


def _report(path: Path, products: int, sets: int, bits: int) -> dict[str, Any]:
    """Return what is said of a quantised file, once sure that its scales are numbers.

    Raises:
        UsageError: If one is not.
    """
    model = parse(path)
    weights = {one.name: one for one in model.graph.initializer}
    quantised = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in quantised:
        scale = np.asarray(tensor_array(weights[node.input[1]], path.parent), np.float32)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            reason = f"no scale can be found for {node.input[0]!r}: its values overflow or are NaN"
            raise UsageError(reason, "Calibrate on inputs that the model is made for")
        if len(node.input) > 2 and numpy_helper.to_array(weights[node.input[2]]).any():
            raise ModelError(f"ONNX Runtime gave {node.input[0]!r} a zero point that is not 0")
    pairs = sum(node.op_type == "QuantizeLinear" for node in quantised)
    int8 = {name for n in quantised if n.op_type == "DequantizeLinear" for name in n.output}
    every = [n for one in graphs(model.graph) for n in one.node if n.op_type in ALL_PRODUCTS]
    kept = Counter(n.op_type for n in every if not int8.issuperset(n.input[:2]))
    stay = ", ".join(f"{count} {operator}" for operator, count in kept.most_common())
    notes = [f"{products} products are int8, and {stay} stay float32"] if stay else []
    if bits < FULL_BITS:
        notes.append("weights have 7 bits: this CPU saturates where products of 8 are added")
    return {
        "unchanged": False,
        "precision": "int8",
        "narrow_nodes": products,
        "kept_float32": dict(kept.most_common()),
        "quantised_activations": pairs,
        "weight_bits": bits,
        "calibration_sets": sets,
        "opset": next((one.version for one in model.opset_import if not one.domain), None),
        "notes": notes,
    }


def _tools(module: str) -> Any:
    """Return ONNX Runtime's quantization package, or a module of it."""
    try:
        import onnxruntime.quantization
        import onnxruntime.quantization.shape_inference

        found: Any = onnxruntime.quantization
        return found.shape_inference if module else found
    except ImportError as error:
        raise BackendUnavailableError("onnxruntime", str(error), INSTALL) from error
