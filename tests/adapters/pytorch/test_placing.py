"""Modules make no tensor elsewhere than on their device.

Seen on fake tensors, which have a device and no elements.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import helper
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.adapters.graphs import Arrays, model, normal
from tests.adapters.onnx_suite import node_cases
from xbench_adapters.pytorch import import_onnx
from xbench_adapters.pytorch.placing import aim


def fakes(module: nn.Module, inputs: list[torch.Tensor]) -> set[str]:
    """Return the devices of what a module gives, once it is on a GPU that there is not."""
    gpu, mode = torch.device("cuda:0"), FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        aim(module, gpu)
    named = [*module.named_parameters(), *module.named_buffers()]
    held = {name: mode.from_tensor(one.detach()) for name, one in named}
    given = [mode.from_tensor(one) for one in inputs]
    with mode, torch.no_grad():
        there = {name: one.to(gpu) for name, one in held.items()}
        arguments = tuple(one.to(gpu) for one in given)
        found = torch.func.functional_call(module, there, arguments)
    return {str(one.device) for one in found}


def test_graphs_make_their_tensors_on_the_device() -> None:
    """A length decides how much is made: of zeros, and of a row of numbers."""
    nodes = [
        helper.make_node("Shape", ["x"], ["all"]),
        helper.make_node("Gather", ["all", "zero"], ["rows"]),
        helper.make_node("Range", ["zero", "rows", "one"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ConstantOfShape", ["all"], ["zeros"]),
        helper.make_node("Add", ["x", "zeros"], ["sum"]),
        helper.make_node("Mul", ["floats", "sum"], ["y"]),
    ]
    weights: Arrays = {"zero": np.int64(0), "one": np.int64(1)}
    whole = model(nodes, {"x": normal(4, 4)}, ["y"], weights)
    for one in whole.graph.input[0].type.tensor_type.shape.dim:
        one.dim_param = "n"
    module = import_onnx(whole)
    assert fakes(module, [torch.randn(4, 4)]) == {"cuda:0"}


def test_graphs_within_graphs_do_so_too() -> None:
    """The mask of an attention is a graph of its own."""
    case = next(one for one in node_cases() if one.name == "test_flexattention_causal_mask")
    inputs = [torch.from_numpy(np.array(one)) for one in case.data[0][0]]
    shapes = {
        one.name: tuple(array.shape)
        for one, array in zip(case.model.graph.input, inputs, strict=True)
    }
    assert fakes(import_onnx(case.model, shapes), inputs) == {"cuda:0"}


class Makes(nn.Module):
    """Makes numbers on the way, and holds some as no buffer."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (x + torch.arange(x.shape[1]) + torch.tensor([1.0, 2.0, 3.0, 4.0]),)


def test_a_program_traced_on_a_cpu_makes_its_tensors_on_the_device() -> None:
    x = torch.randn(2, 4)
    program = torch.export.export(Makes(), (x,)).module()
    torch.testing.assert_close(program(x), Makes()(x))
    assert fakes(program, [x]) == {"cuda:0"}
