"""ONNX Runtime's own operators in TensorFlow: what layout images have."""

from __future__ import annotations

from tests.adapters.graphs import close, model, normal, onnxruntime_says
from tests.adapters.importers.microsoft import agrees, node
from tests.adapters.tensorflow.importer import kinds_of, run
from xbench_adapters.tensorflow import import_onnx


def test_a_fused_convolution_is_a_native_one() -> None:
    conv = node("FusedConv", ["x", "w"], ["y"], activation="Relu", pads=[1, 1, 1, 1])
    module = agrees(conv, {"x": normal(2, 3, 6, 6)}, {"w": normal(4, 3, 3, 3)}, open_too=False)
    assert "Conv2D" in kinds_of(module)


def test_images_stay_as_fused_convolutions_have_them() -> None:
    """Two convolutions in a row and what lies between them turn their images once each way."""
    convs = [
        node("FusedConv", ["x", "w"], ["a"], activation="Relu", pads=[1, 1, 1, 1]),
        node("Gelu", ["a"], ["b"]),
        node("FusedConv", ["b", "w", "", "a"], ["y"], pads=[1, 1, 1, 1]),
    ]
    feeds, weights = {"x": normal(1, 3, 6, 6)}, {"w": normal(3, 3, 3, 3)}
    made = model(convs, feeds, ["y"], weights)
    module = import_onnx(made)
    close(run(module, feeds), onnxruntime_says(made, feeds))
    assert kinds_of(module).count("Transpose") == 2
