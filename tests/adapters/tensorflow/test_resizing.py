"""Resizing in TensorFlow: where it is native."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.adapters.graphs import normal
from tests.adapters.tensorflow.importer import agree, kinds_of

node = helper.make_node


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_between_convolutions_resizing_is_native(mode: str) -> None:
    """Whole factors are what models have most: no layout is turned, no place is gathered."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Resize", ["a", "", "s"], ["b"], mode=mode),
        node("Conv", ["b", "v"], ["y"]),
    ]
    weights = {
        "w": normal(3, 2, 3, 3),
        "v": normal(4, 3, 3, 3),
        "s": np.array([1, 1, 2, 2], np.float32),
    }
    feeds = {"x": normal(1, 2, 5, 4)}
    found = kinds_of(agree(nodes, feeds, ["y"], weights))
    assert f"Resize{'NearestNeighbor' if mode == 'nearest' else 'Bilinear'}" in found
    assert "GatherV2" not in found
