"""Quantised networks in TensorFlow: how often their images are turned."""

from __future__ import annotations

from tests.adapters.graphs import model
from tests.adapters.importers.test_quantized_networks import quantised_network
from tests.adapters.tensorflow.importer import kinds_of
from xbench_adapters.tensorflow import import_onnx


def test_quantised_networks_keep_their_channels_last() -> None:
    """Between quantised convolutions nothing is turned: twice, at both ends of the network."""
    nodes, feeds, weights = quantised_network()
    module = import_onnx(model(nodes, feeds, ["y"], weights, 21))
    assert kinds_of(module).count("Transpose") <= 2
