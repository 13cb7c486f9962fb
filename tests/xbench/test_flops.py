"""Operations are counted as PyTorch counts them, or said to be unknown; never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper
from torch.utils.flop_counter import FlopCounterMode

from tests.xbench.graphs import BOOL, FLOAT, INT64, linear, linear_external, node, save
from xbench.adapter import TensorSpec
from xbench.flops import count_flops, output_specs
from xbench.inputs import seeded_feeds
from xbench.model import bind, read_model

RNG = np.random.default_rng(0)


def weight(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape, np.float32)


def counted(path: Path, **shapes: tuple[int, ...]) -> int | None:
    return count_flops(bind(read_model(path), shapes=shapes))


def by_torch(function: Any, *tensors: Any) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*(torch.as_tensor(tensor) for tensor in tensors))
    return int(counter.get_total_flops())


@pytest.mark.parametrize(("groups", "stride", "dilation"), [(1, 1, 1), (2, 2, 1), (4, 1, 2)])
def test_convolutions_count_as_in_pytorch(
    tmp_path: Path, groups: int, stride: int, dilation: int
) -> None:
    w, x = weight(8, 4 // groups, 3, 5), weight(2, 4, 17, 19)
    attributes: dict[str, Any] = {
        "group": groups,
        "strides": [stride] * 2,
        "dilations": [dilation] * 2,
    }
    path = save(
        tmp_path,
        [node("Conv", ["x", "w"], ["y"], **attributes)],
        {"x": (FLOAT, ["b", 4, "h", "w_"])},
        {"y": (FLOAT, ["b", 8, "p", "q"])},
        {"w": w},
    )
    own = by_torch(
        lambda x, w: torch.conv2d(x, w, stride=stride, dilation=dilation, groups=groups), x, w
    )
    assert counted(path, x=x.shape) == own


def test_a_transposed_convolution_counts_as_in_pytorch(tmp_path: Path) -> None:
    w, x = weight(4, 3, 3, 3), weight(2, 4, 9, 9)
    path = save(
        tmp_path,
        [node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], group=2)],
        {"x": (FLOAT, [2, 4, 9, 9])},
        {"y": (FLOAT, [2, 6, "p", "q"])},
        {"w": w},
    )
    own = by_torch(lambda x, w: torch.conv_transpose2d(x, w, stride=2, groups=2), x, w)
    assert counted(path) == own


def test_products_count_as_in_pytorch(tmp_path: Path) -> None:
    """Of a matrix with a transposed one, of batches of matrices, and by Einsum."""
    a, b = weight(6, 5), weight(6, 7)
    path = save(
        tmp_path,
        [
            node("Gemm", ["a", "b"], ["g"], transA=1),
            node("MatMul", ["c", "d"], ["m"]),
            node("Einsum", ["c", "d"], ["e"], equation="bij,bjk->bik"),
        ],
        {"a": (FLOAT, [6, 5]), "c": (FLOAT, ["b", 3, 4]), "d": (FLOAT, ["b", 4, 2])},
        {"g": (FLOAT, [5, 7]), "m": (FLOAT, ["b", 3, 2]), "e": (FLOAT, ["b", 3, 2])},
        {"b": b},
    )
    gemm = by_torch(lambda a, b: a.T @ b, a, b)
    bmm = by_torch(torch.bmm, weight(9, 3, 4), weight(9, 4, 2))
    assert counted(path, c=(9, 3, 4)) == gemm + 2 * bmm


@pytest.mark.parametrize(("kind", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_cells_count_both_products_of_every_step(
    tmp_path: Path, kind: str, gates: int
) -> None:
    path = save(
        tmp_path,
        [node(kind, ["x", "w", "r"], ["y"], hidden_size=5, direction="bidirectional")],
        {"x": (FLOAT, ["seq", "batch", 3])},
        {"y": (FLOAT, ["seq", 2, "batch", 5])},
        {"w": weight(2, gates * 5, 3), "r": weight(2, gates * 5, 5)},
    )
    of_input = by_torch(torch.mm, weight(11 * 2, 3), weight(3, gates * 5))
    of_state = by_torch(torch.mm, weight(11 * 2, 5), weight(5, gates * 5))
    assert counted(path, x=(11, 2, 3)) == 2 * (of_input + of_state)  # two directions


def test_attention_counts_queries_with_keys_and_weights_with_values(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Attention", ["q", "k", "v"], ["y"])],
        {name: (FLOAT, ["b", 4, name, 8]) for name in "qkv"},
        {"y": (FLOAT, ["b", 4, "q", 8])},
        opset=23,
        ir_version=11,
    )
    q, k = weight(2, 4, 6, 8), weight(2, 4, 10, 8)
    own = by_torch(lambda q, k: torch.softmax(q @ k.mT, -1) @ k, q, k)
    assert counted(path, q=q.shape, k=k.shape, v=k.shape) == own


def test_operators_that_do_not_contract_cost_nothing(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Relu", ["x"], ["r"]), node("Add", ["r", "r"], ["y"])],
        {"x": (FLOAT, [2, 3])},
        {"y": (FLOAT, [2, 3])},
    )
    assert counted(path) == 0


def branch(operator: str) -> onnx.GraphProto:
    return helper.make_graph(
        [node(operator, ["x", "x"], [f"{operator}_out"])],
        "branch",
        [],
        [helper.make_tensor_value_info(f"{operator}_out", FLOAT, [3, 3])],
    )


@pytest.mark.parametrize(("operator", "flops"), [("Add", 0), ("MatMul", None)])
def test_a_branch_that_may_compute_makes_the_count_unknown(
    tmp_path: Path, operator: str, flops: int | None
) -> None:
    path = save(
        tmp_path,
        [node("If", ["c"], ["y"], then_branch=branch(operator), else_branch=branch(operator))],
        {"c": (BOOL, []), "x": (FLOAT, [3, 3])},
        {"y": (FLOAT, [3, 3])},
    )
    assert counted(path) == flops


def test_a_shape_that_depends_on_data_makes_the_count_unknown(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Compress", ["x", "c"], ["some"], axis=0), node("MatMul", ["some", "w"], ["y"])],
        {"x": (FLOAT, [8, 4]), "c": (BOOL, [8])},
        {"y": (FLOAT, ["some", 2])},
        {"w": weight(4, 2)},
    )
    assert counted(path) is None
    assert output_specs(bind(read_model(path))) == (TensorSpec("y", "float32", ("some", 2)),)


def test_an_operator_of_another_domain_makes_the_count_unknown(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("FusedThing", ["x"], ["y"], domain="com.example")],
        {"x": (FLOAT, [2, 2])},
        {"y": (FLOAT, [2, 2])},
    )
    model = onnx.load(path)
    model.opset_import.add(domain="com.example", version=1)
    onnx.save(model, path)
    assert counted(path) is None


def test_functions_of_the_model_itself_are_counted(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Twice", ["x"], ["y"], domain="local")],
        {"x": (FLOAT, ["b", 4, 4])},
        {"y": (FLOAT, ["b", 4, 4])},
    )
    model = onnx.load(path)
    model.opset_import.add(domain="local", version=1)
    body = [node("MatMul", ["x", "x"], ["m"]), node("MatMul", ["m", "x"], ["y"])]
    opsets = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("local", "Twice", ["x"], ["y"], body, opsets))
    onnx.save(model, path)
    assert counted(path, x=(5, 4, 4)) == 2 * by_torch(torch.bmm, weight(5, 4, 4), weight(5, 4, 4))


def test_the_count_of_a_file_is_at_batch_one_and_unknown_where_open(tmp_path: Path) -> None:
    model = read_model(linear(tmp_path))
    assert model.flops == 64
    assert count_flops(bind(model, 8)) == 8 * 64
    path = save(
        tmp_path,
        [node("MatMul", ["x", "x"], ["y"])],
        {"x": (FLOAT, ["batch", "n", "n"])},
        {"y": (FLOAT, ["batch", "n", "n"])},
    )
    assert read_model(path).flops is None


def test_shapes_kept_in_external_data_are_read(tmp_path: Path) -> None:
    """The reshape's target lies in the other file, and the product's shape follows from it."""
    path = save(
        tmp_path,
        [node("Reshape", ["x", "to"], ["r"]), node("MatMul", ["r", "w"], ["y"])],
        {"x": (FLOAT, ["batch", 6])},
        {"y": (FLOAT, ["rows", 5])},
        {"to": np.array([-1, 3]), "w": weight(3, 5)},
    )
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="all.bin", size_threshold=0)
    bound = bind(read_model(path), 4)
    assert count_flops(bound) == by_torch(torch.mm, weight(8, 3), weight(3, 5))
    assert output_specs(bound) == (TensorSpec("y", "float32", (8, 5)),)


def test_outputs_have_the_shapes_that_a_runtime_gives(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [
            node("Gather", ["table", "ids"], ["e"]),
            node("Shape", ["e"], ["s"]),
            node("ReduceMean", ["e"], ["mean"], keepdims=0),
            node("Transpose", ["e"], ["t"], perm=[1, 0, 2]),
        ],
        {"ids": (INT64, ["batch", "n"])},
        {"t": (FLOAT, ["n", "batch", 4]), "s": (INT64, [3]), "mean": (FLOAT, [])},
        {"table": weight(9, 4)},
    )
    model = read_model(path)
    bound = bind(model, 3, defaults={"n": 5})
    feeds, _ = seeded_feeds(model, bound, 0, 1)
    outputs = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds[0])
    assert [(s.shape, s.dtype) for s in output_specs(bound)] == [
        (array.shape, array.dtype.name) for array in outputs
    ]


def test_counting_needs_none_of_the_weights(tmp_path: Path) -> None:
    assert counted(linear_external(tmp_path), x=(3, 4)) == 3 * 64


def test_lengths_that_the_file_declares_wrongly_do_not_count(tmp_path: Path) -> None:
    """A traced example's length stands in the output, though the input's is open."""
    path = save(
        tmp_path,
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ["batch", "n", 4])},
        {"y": (FLOAT, ["batch", 64, 5])},
        {"w": weight(4, 5)},
    )
    bound = bind(read_model(path), 2, {"x": (2, 32, 4)})
    assert output_specs(bound) == (TensorSpec("y", "float32", (2, 32, 5)),)
    assert count_flops(bound) == by_torch(torch.mm, weight(2 * 32, 4), weight(4, 5))
