"""Models of one operator that is told its shapes and axes in several ways, and element types."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.adapters.pytorch.graphs import agree, model, normal, onnxruntime_says
from xbench_adapters.pytorch import import_onnx
from xbench_adapters.pytorch.tensors import tensor_of

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,  # the same cases each time: a failure can be looked at
    suppress_health_check=[HealthCheck.filter_too_much],
)
node = helper.make_node
ways = st.sampled_from(["known", "fed", "open"])
"""Whether shapes, axes and the like are constants, inputs, or inputs beside open lengths."""


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def opened(whole: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model of whose inputs no length is known."""
    for one in whole.graph.input:
        for place, dim in enumerate(one.type.tensor_type.shape.dim):
            dim.Clear()
            dim.dim_param = f"{one.name}_{place}"
    return whole


def agree_as(
    way: str, nodes: list[onnx.NodeProto], x: Any, told: dict[str, Any], opset: int = 20
) -> None:
    """Check the outputs, named ``y...``, against ONNX Runtime's."""
    names = [name for one in nodes for name in one.output if name.startswith("y")]
    if way != "open":
        feeds = {"x": x} if way == "known" else {"x": x, **told}
        agree(nodes, feeds, names, told if way == "known" else None, opset=opset)
        return
    feeds = {"x": x, **told}
    whole = opened(model(nodes, feeds, names, opset=opset))
    wanted = onnxruntime_says(whole, feeds)
    for want, have in zip(wanted, ran(whole, *feeds.values()), strict=True):
        assert (have.numpy().dtype, have.shape) == (want.dtype, want.shape)
        np.testing.assert_array_equal(have.numpy(), want)


def ran(whole: onnx.ModelProto, *feeds: Any) -> Any:
    given = [one if one.dtype == object else tensor_of(one) for one in map(np.asarray, feeds)]
    with torch.inference_mode():
        return import_onnx(whole)(*given)


def said(nodes: list[onnx.NodeProto], feeds: dict[str, Any], opset: int = 20) -> Any:
    """Return the one output of a model that is given all of its feeds at run time."""
    (found,) = ran(model(nodes, feeds, [nodes[-1].output[0]], opset=opset), *feeds.values())
    return found


NAMES = {
    "FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16",
    "BOOL": "bool", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT4": "int4", "UINT4": "uint4", "INT2": "int2", "UINT2": "uint2",
    "FLOAT4E2M1": "float4_e2m1fn", "FLOAT8E8M0": "float8_e8m0fnu",
    "FLOAT8E4M3FN": "float8_e4m3fn", "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
    "FLOAT8E5M2": "float8_e5m2", "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip
"""ONNX's element types and NumPy's."""


def code_of(name: str) -> int:
    return int(TensorProto.DataType.Value(next(one for one, at in NAMES.items() if at == name)))


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(code_of(name)))


def bits(x: torch.Tensor) -> torch.Tensor:
    """Return something that `torch.equal` compares: NaN as one number."""
    wide = x.to(torch.float64) if x.dtype not in (torch.uint64, torch.int64) else x.to(torch.int64)
    return torch.nan_to_num(wide, nan=-12345.0, posinf=1e300, neginf=-1e300)


def numbers_of(name: str) -> Any:
    """Return numbers of a type, the odd ones among them."""
    dtype = dtype_of(name)
    if name.startswith(("float", "bfloat")):
        odd = [0.0, -0.0, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, -5.0, 6.5, 7.0, 1e-7, -1e-7]
        many = [240.0, 247.9, 448.0, 464.0, 465.0, 480.0, 5e4, 57344.0, 61440.0, 1.0 + 2.0**-11]
        plain = np.array([*odd, *many, *(normal(40) * 5)], np.float64)
        return plain.astype(np.float32).astype(dtype)
    if name == "bool":
        return np.array([True, False])
    low, high = (0, 16) if name.startswith("u") else (-8, 8)
    return np.arange(low, high).astype(dtype)


def fits(values: Any, source: str, name: str) -> Any:
    """Return the numbers whose cast ONNX defines: whole types take no floats out of range."""
    if not source.startswith(("float", "bfloat")) or name.startswith(("float", "bfloat", "bool")):
        return values[values >= 0] if name == "float8_e8m0fnu" else values
    low, high = (0, 4) if name.startswith("u") else (-2, 2)
    wide = values.astype(np.float64)
    return values[(wide >= low) & (wide < high)]
