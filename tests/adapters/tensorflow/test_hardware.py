"""TensorFlow on a GPU: run there only, each in a process of its own, which prepares for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.adapters.graphs import model, normal
from tests.adapters.narrow import halved

tf = pytest.importorskip("tensorflow")

from tests.adapters.tensorflow.test_adapter import python  # noqa: E402 -- it imports tensorflow

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not tf.test.is_built_with_cuda(), reason="TensorFlow was built without CUDA"
    ),
]

NODES = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]

ON_GPU = """
import sys
from pathlib import Path
import numpy as np
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench_adapters.tensorflow import TensorFlowAdapter
path, variant, precision, feeds = sys.argv[1:]
limits = Limits(threads=1, device="cuda:0")
adapter = TensorFlowAdapter(variant)
adapter.prepare(limits)
model = BoundModel(Path(path), (TensorSpec("x", "float32", (64, 256)),), ("y",), {})
given = np.load(feeds)
session = adapter.load(model, limits, precision)
for boundary in ("host", "device"):
    session.at(boundary)
    session.bind({"x": given["x"]})
    session.run()
    session.synchronize()
    off = np.abs(session.outputs()["y"] - given["y"]).max() / np.abs(given["y"]).max()
    assert off < {"fp32": 1e-5, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}[precision], off
facts = session.facts()
assert facts.precision == precision, facts
assert facts.fallback.nodes == 0, facts
assert facts.allocator_bytes > 0, facts
session.close()
"""


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("variant", ["", "xla"])
def test_each_precision_is_held_at_each_boundary(
    tmp_path: Path, variant: str, precision: str
) -> None:
    """Nothing runs elsewhere, and the allocator's peak is told."""
    feeds, weights = {"x": normal(64, 256)}, {"w": normal(256, 32, seed=1)}
    if precision in ("fp16", "bf16"):
        whole = halved(NODES, feeds, ["y"], weights, precision)
    else:
        whole = model(NODES, feeds, ["y"], weights)
    onnx.save(whole, tmp_path / "m.onnx")
    exact = np.maximum(feeds["x"].astype(np.float64) @ weights["w"], 0)
    np.savez(tmp_path / "feeds.npz", x=feeds["x"], y=exact)
    files = str(tmp_path / "m.onnx"), str(tmp_path / "feeds.npz")
    python(ON_GPU, arguments=[files[0], variant, precision, files[1]])
