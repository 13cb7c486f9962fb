"""What PyTorch has itself is what runs: modules and functions of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper

from tests.adapters.graphs import model, normal
from tests.adapters.importers.microsoft import agrees as matches
from tests.adapters.importers.microsoft import node as fused
from tests.adapters.importers.test_attention import agrees
from tests.adapters.importers.test_flow import CAPTURING, parsed
from tests.adapters.importers.test_recurrent import network, split, tensors
from tests.adapters.pytorch.importer import agree
from xbench_adapters.pytorch import import_onnx

node = helper.make_node


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("known", [False, True])
def test_native_layers_run_where_they_do_what_is_asked_for(operator: str, known: bool) -> None:
    arrays = tensors(operator, "forward", ["b"])
    attributes = {"linear_before_reset": 1} if operator == "GRU" else {}
    one, outputs = network(operator, arrays, **attributes)
    module = agree([one], *split(arrays, known)[:1], outputs, split(arrays, known)[1])
    if known:
        assert any(part.op == "call_module" for part in module.graph.nodes)
    assert not any("stepped" in str(part.target) for part in module.graph.nodes)


def test_weights_that_branches_share_are_in_memory_once() -> None:
    module = import_onnx(parsed(CAPTURING))
    assert len(list(module.parameters())) == 2  # w and the sum that is folded
    places = {one.data_ptr() for one in module.parameters()}
    assert len(places) == 2


def test_whole_factors_are_native() -> None:
    """They are what models have most: none may be worked out by places."""
    scales = {"s": np.array([1, 1, 2, 2], np.float32)}
    for attributes in ({"mode": "nearest"}, {"mode": "linear"}, {"mode": "cubic"}):
        resize = node("Resize", ["x", "", "s"], ["y"], **attributes)
        module = import_onnx(model([resize], {"x": normal(1, 2, 4, 4)}, ["y"], scales))
        calls = [one.target for one in module.graph.nodes if one.op == "call_function"]
        assert calls == [torch.nn.functional.interpolate]


def functions(module: torch.fx.GraphModule) -> list[str]:
    """Return the names of the functions that a module calls."""
    return [one.target.__name__ for one in module.graph.nodes if one.op == "call_function"]


def test_plain_attention_is_one_native_call() -> None:
    """No mask that PyTorch knows itself is written out, and nothing is copied."""
    feeds = {"q": normal(1, 2, 5, 4), "k": normal(1, 2, 5, 4), "v": normal(1, 2, 5, 4)}
    kinds: tuple[dict[str, Any], ...] = ({}, {"is_causal": 1}, {"scale": 0.3})
    for attributes in kinds:
        attention = node("Attention", list(feeds), ["y"], **attributes)
        module = agrees(model([attention], feeds, ["y"], opset=23), feeds)
        assert functions(module) == ["scaled_dot_product_attention"]


def kinds(module: torch.nn.Module) -> set[type]:
    """Return the kinds of the modules within a module."""
    return {type(one) for one in module.modules()}


def test_a_fused_convolution_is_a_native_one() -> None:
    conv = fused("FusedConv", ["x", "w", "b"], ["y"], activation="Relu", kernel_shape=[3, 3])
    module = matches(conv, {"x": normal(2, 3, 6, 6)}, {"w": normal(4, 3, 3, 3), "b": normal(4)})
    assert torch.nn.Conv2d in kinds(module)


@pytest.mark.parametrize("turns", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_product_with_a_known_matrix_is_a_native_layer(turns: tuple[int, int]) -> None:
    product = fused("FusedMatMul", ["a", "b"], ["y"], transA=turns[0], transB=turns[1])
    feeds = {"a": normal(*((5, 4) if turns[0] else (4, 5)))}
    module = matches(product, feeds, {"b": normal(*((3, 5) if turns[1] else (5, 3)))})
    assert (torch.nn.Linear in kinds(module)) == (not turns[0])


def test_a_projection_that_is_known_is_one_native_layer() -> None:
    weights = {"w": normal(8, 24), "b": normal(24)}
    attention = fused("Attention", ["x", "w", "b"], ["y"], num_heads=2)
    module = matches(attention, {"x": normal(2, 5, 8)}, weights)
    assert torch.nn.Linear in kinds(module)
    assert "scaled_dot_product_attention" in functions(module)


def test_an_embedding_that_is_the_last_layer_too_is_held_once() -> None:
    nodes = [
        node("Gather", ["w", "i"], ["x"]),
        node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        node("MatMul", ["x", "turned"], ["y"]),
    ]
    module = agree(nodes, {"i": np.array([[2, 0, 3]])}, ["y"], {"w": normal(4, 3)})
    assert [tuple(one.shape) for one in module.parameters()] == [(4, 3)]
