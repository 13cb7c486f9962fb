"""Small models whose arithmetic is narrower than float32: inputs and outputs stay float32."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.adapters.graphs import model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.adapters.graphs import Arrays

TYPES = {
    "fp16": (TensorProto.FLOAT16, np.float16),
    "bf16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
}


def halved(
    nodes: Sequence[onnx.NodeProto],
    feeds: Arrays,
    outputs: Sequence[str],
    weights: Arrays,
    precision: str,
) -> onnx.ModelProto:
    """Return a model that computes ``nodes`` in ``fp16`` or ``bf16``, with casts at its ends."""
    number, dtype = TYPES[precision]
    inner = {name: f"{name}_inner" for name in (*feeds, *outputs)}
    into = [helper.make_node("Cast", [name], [inner[name]], to=number) for name in feeds]
    out = [
        helper.make_node("Cast", [inner[name]], [name], to=TensorProto.FLOAT) for name in outputs
    ]
    within = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [inner.get(name, name) for name in node.input]
        copy.output[:] = [inner.get(name, name) for name in node.output]
        within.append(copy)
    narrow = {
        name: one.astype(dtype) if one.dtype == np.float32 else one for name, one in weights.items()
    }
    return model(
        [*into, *within, *out], feeds, outputs, narrow, 22
    )  # the first whose Conv takes bfloat16


def quantised(whole: onnx.ModelProto, sets: Sequence[Arrays]) -> onnx.ModelProto:
    """Return a model between QuantizeLinear and DequantizeLinear: symmetric int8, by channel.

    Args:
        whole: The model in float32.
        sets: Inputs that tell the scales.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
    from onnxruntime.quantization.quantize import quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime ships no types
        def __init__(self) -> None:
            self.left = iter(sets)

        def get_next(self) -> Any:
            return next(self.left, None)

    with TemporaryDirectory() as folder:
        onnx.save(whole, Path(folder) / "whole.onnx")
        quantize_static(
            Path(folder) / "whole.onnx",
            Path(folder) / "int8.onnx",
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )
        return onnx.load(Path(folder) / "int8.onnx")
