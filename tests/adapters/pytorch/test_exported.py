"""Imported modules pass `torch.export` and `torch.compile`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import built, ints, model, normal, opened
from tests.adapters.importers.test_flow import CAPTURING, HANDED_ON, counted, parsed
from tests.adapters.importers.test_recurrent import network, tensors
from tests.adapters.importers.test_regions import REGIONS
from tests.adapters.importers.test_scans import scan, scanned
from tests.adapters.importers.test_trees import ensemble
from tests.adapters.pytorch.importer import few
from xbench_adapters.pytorch import import_onnx

node = helper.make_node


def exports(module: torch.fx.GraphModule, *arrays: Any, strict: bool = True) -> Any:
    """Return a module as it is exported for some inputs, after it gave the same for them."""
    given = tuple(torch.from_numpy(np.asarray(one)) for one in arrays)
    exported = torch.export.export(module, given, strict=strict).module()
    torch.testing.assert_close(exported(*given), module(*given))
    return exported


@pytest.mark.parametrize("variant", [0, 1])
def test_networks_can_be_exported(variant: int) -> None:
    arrays = tensors("GRU", "bidirectional", ["b", "lens"] if variant == 0 else ["b"])
    one, outputs = network("GRU", arrays, direction="bidirectional", linear_before_reset=variant)
    module = import_onnx(model([one], arrays, outputs))
    exports(module, *arrays.values())


def test_branches_are_exported_with_both_sides() -> None:
    module = import_onnx(parsed(CAPTURING))
    x = torch.from_numpy(normal(2, 3))
    exported = torch.export.export(module, (torch.tensor(True), x)).module()
    for condition in (True, False):
        arguments = torch.tensor(condition), x
        torch.testing.assert_close(exported(*arguments), module(*arguments))


def test_branches_are_compiled_as_one_graph() -> None:
    module = import_onnx(parsed(CAPTURING))
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    x = torch.from_numpy(normal(2, 3))
    for condition in (True, False):
        arguments = torch.tensor(condition), x
        torch.testing.assert_close(compiled(*arguments), module(*arguments))


@pytest.mark.parametrize("condition", [True, False])
def test_branches_that_hand_on_a_value_or_a_weight_are_exported(condition: bool) -> None:
    exports(import_onnx(parsed(HANDED_ON)), condition, normal(3))


@pytest.mark.parametrize("count", [0, 1, 4])
def test_loops_of_a_known_count_are_unrolled_by_export(count: int) -> None:
    exports(import_onnx(counted(count)), normal(2))


@given(st.integers(0, 1), st.integers(0, 1), st.integers(-2, 1), st.integers(-3, 2))
@few
def test_scans_are_exported(back: int, out: int, axis: int, place: int) -> None:
    exports(import_onnx(scan(back, out, axis, place)), *scanned(axis).values())


def test_whole_graphs_are_exported_where_lengths_are_known() -> None:
    """Nothing but the choice among boxes, and counts that data tell, needs the data to trace."""
    nodes = [
        node("Resize", ["x", "", "", "n"], ["big"], mode="cubic", cubic_coeff_a=-0.5),
        node("GridSample", ["big", "g"], ["s"], mode="cubic", padding_mode="border"),
        node("RoiAlign", ["s", "r", "b"], ["p"], sampling_ratio=2, output_height=2, output_width=2),
        node("GatherND", ["p", "i"], ["y"]),
        node("ScatterElements", ["p", "j", "p"], ["z"], reduction="max"),
    ]
    feeds = {"x": normal(1, 2, 4, 4), "g": normal(1, 5, 5, 2), "r": REGIONS,
             "b": np.zeros(5, np.int64), "i": np.array([[0], [1]])}  # fmt: skip
    weights = {"n": np.array([1, 2, 6, 6]), "j": np.zeros((5, 2, 2, 2), np.int64)}
    whole = model(nodes, feeds, ["y", "z"], weights)
    module = import_onnx(whole)
    exports(module, *feeds.values(), strict=False)


def test_a_module_over_open_lengths_can_be_exported() -> None:
    """`torch.export` follows the lengths of a batch through automatic padding."""
    one = node("Conv", ["x", "w"], ["y"], strides=[2, 2], auto_pad="SAME_UPPER")
    module = import_onnx(
        opened(model([one], {"x": normal(2, 4, 7, 7)}, ["y"], {"w": normal(4, 4, 3, 3)}))
    )
    exports(module, normal(2, 4, 7, 7))


def test_lengths_at_run_time_are_exported_with_open_dimensions() -> None:
    nodes = [
        node("Shape", ["x"], ["batch"], end=1),
        node("Concat", ["batch", "rest"], ["aim"], axis=0),
        node("Reshape", ["x", "aim"], ["z"]),
        node("Pad", ["z", "p"], ["y"], mode="edge"),
    ]
    x = normal(4, 6)
    whole = model(nodes, {"x": x}, ["y"], {"rest": ints(2, 3), "p": ints(0, 0, 1, 0, 0, 2)})
    whole.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(
        import_onnx(whole), (torch.from_numpy(x),), dynamic_shapes=({0: batch},), strict=False
    ).module()
    y = normal(7, 6)
    (found,) = exported(torch.from_numpy(y))
    wanted = np.pad(y.reshape(7, 2, 3), ((0, 0), (0, 0), (1, 2)), mode="edge")
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_trees_are_exported() -> None:
    x = np.array([[2], [3], [7], [6], [4]], np.float32)
    exports(import_onnx(ensemble(1, np.float32)), x)


EXPORTED = [
    (node("ReduceMax", ["x"], ["y"]), 20),
    (node("Softmax", ["x"], ["y"], axis=1), 11),
    (node("LRN", ["x"], ["y"], size=2), 20),
    (node("ArgMax", ["x"], ["y"], select_last_index=1), 20),
    (node("DFT", ["x"], ["y"], axis=0), 17),
]


@pytest.mark.parametrize(("one", "opset"), EXPORTED)
def test_what_reads_lengths_at_run_time_can_be_exported(one: Any, opset: int) -> None:
    feeds = {"x": normal(2, 3, 4)[..., :1]}
    module = import_onnx(built(one, feeds, opset, ranks=False))
    exports(module, *feeds.values())
