"""Small ONNX models through LiteRT, converted in this process, beside what ONNX Runtime says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.adapters.graphs import model, onnxruntime_says
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.testing.conformance import infer
from xbench_adapters.litert.convert import Converted
from xbench_adapters.litert.flatbuffer import flatbuffer, read
from xbench_adapters.litert.session import LiteRtSession

LIMITS = Limits(threads=1)
Arrays = Mapping[str, Any]


def bound(whole: onnx.ModelProto, feeds: Arrays, path: Path) -> BoundModel:
    """Return a model, written to a file and bound to the shapes of its feeds."""
    onnx.save(whole, path)
    specs = tuple(TensorSpec(name, one.dtype.name, one.shape) for name, one in feeds.items())
    return BoundModel(path, specs, tuple(one.name for one in whole.graph.output), {})


def session(whole: onnx.ModelProto, feeds: Arrays, folder: Path) -> LiteRtSession:
    """Return a session of what is converted here and now, and not in a process of its own."""
    given = bound(whole, feeds, folder / "m.onnx")
    graph = read(given.path, given.shapes)
    path = folder / "m.tflite"
    path.write_bytes(flatbuffer(graph))
    dtypes = [graph.value(name).dtype for name in graph.results]
    made = Converted(path, "", tuple(one and one.name for one in dtypes), 0.0, "now")
    return LiteRtSession.of_converted(given, made, LIMITS)


def close(found: Any, wanted: Any, *, rtol: float, atol: float = 0.0) -> None:
    """Check that elements are those wanted; it is the same function, of any type."""
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol)


def agree(
    nodes: Sequence[onnx.NodeProto],
    feeds: Arrays,
    outputs: Sequence[str],
    folder: Path,
    weights: Arrays | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> LiteRtSession:
    """Return the session, after LiteRT and ONNX Runtime gave the same outputs."""
    whole = model(nodes, feeds, outputs, weights)
    made = session(whole, feeds, folder)
    found = infer(made, feeds)
    for name, want in zip(outputs, onnxruntime_says(whole, feeds), strict=True):
        assert (found[name].dtype, found[name].shape) == (want.dtype, want.shape)
        close(found[name], want, rtol=rtol, atol=atol)
    return made
