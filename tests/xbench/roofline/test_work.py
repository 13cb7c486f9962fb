"""What a model cannot do without, counted by hand: each weight, input and output once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from tests.xbench.graphs import FLOAT, INT64, linear, node, save
from xbench.model import bind, read_model
from xbench.roofline.work import Work, parts, work_of
from xbench.testing.models import Example, convolution, integers, open_axes, perceptron


def work(path: Path, **shapes: tuple[int, ...]) -> Work:
    return work_of(bind(read_model(path), shapes=shapes))


def ones(*shape: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.ones(shape, dtype)


def test_a_product_needs_its_input_weights_and_output_once(tmp_path: Path) -> None:
    found = work(linear(tmp_path), x=(2, 4))
    assert found.flops == 2 * 2 * 4 * 8
    assert found.compulsory_bytes == 4 * (2 * 4 + 4 * 8 + 2 * 8)
    assert found.float32_bytes == 4 * 4 * 8
    assert found.moved_bytes == found.compulsory_bytes  # of one node there is nothing to fuse
    assert found.unknown is None


def test_what_is_handed_on_within_is_moved_and_not_compulsory(tmp_path: Path) -> None:
    """A weight that two nodes read is one weight."""
    path = save(
        tmp_path,
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Relu", ["h"], ["r"]),
            node("MatMul", ["r", "w"], ["y"]),
        ],
        {"x": (FLOAT, [3, 4])},
        {"y": (FLOAT, [3, 4])},
        {"w": ones(4, 4)},
    )
    found = work(path)
    assert found.compulsory_bytes == 4 * (12 + 16 + 12)
    assert found.moved_bytes == 4 * ((12 + 16 + 12) + (12 + 12) + (12 + 16 + 12))


def test_of_a_table_only_the_rows_taken_are_compulsory(tmp_path: Path) -> None:
    """Unless the table is multiplied with as well: then it is read whole."""
    taken = [node("Gather", ["table", "ids"], ["rows"])]
    given_ids = {"ids": (INT64, [5])}
    rows, table = {"rows": (FLOAT, [5, 8])}, {"table": ones(1000, 8)}
    found = work(save(tmp_path, taken, given_ids, rows, table))
    assert found.compulsory_bytes == 5 * 8 + 4 * 40 + 4 * 40
    tied = [*taken, node("Gemm", ["rows", "table"], ["y"], transB=1)]
    found = work(save(tmp_path, tied, given_ids, {"y": (FLOAT, [5, 1000])}, table))
    assert found.compulsory_bytes == 5 * 8 + 4 * 8000 + 4 * 5000


def test_what_no_output_depends_on_is_not_compulsory(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [
            node("MatMul", ["x", "unused"], ["lost"]),
            node("Shape", ["x"], ["lengths"]),
            node("Expand", ["small", "lengths"], ["y"]),
        ],
        {"x": (FLOAT, [3, 4])},
        {"y": (FLOAT, [3, 4])},
        {"unused": ones(4, 4), "small": ones(1)},
    )
    assert work(path).compulsory_bytes == 4 * (1 + 12)  # neither x nor what multiplies it


def test_constants_are_weights_too(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [
            node("Constant", [], ["w"], value=numpy_helper.from_array(ones(4, 8))),
            node("MatMul", ["x", "w"], ["y"]),
        ],
        {"x": (FLOAT, [2, 4])},
        {"y": (FLOAT, [2, 8])},
    )
    found = work(path)
    assert found.compulsory_bytes == 4 * (8 + 32 + 16)
    assert found.float32_bytes == 4 * 32


def test_a_size_that_data_decides_is_unknown_and_never_zero(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("NonZero", ["x"], ["y"])],
        {"x": (FLOAT, [2, 4])},
        {"y": (INT64, [2, None])},
    )
    found = work(path)
    assert found.compulsory_bytes is None
    assert found.compulsory_at("fp32") is None
    assert "'y'" in (found.unknown or "")


def test_float32_weights_may_be_held_narrower_and_the_rest_not(tmp_path: Path) -> None:
    """The floor of a runtime that narrows by itself counts its weights at that width."""
    found = work(linear(tmp_path), x=(2, 4))
    assert found.compulsory_at("fp32") == found.compulsory_at(None) == 4 * (8 + 32 + 16)
    assert found.compulsory_at("bf16") == 4 * (8 + 16) + 2 * 32
    assert found.compulsory_at("int8+fp32") == 4 * (8 + 16) + 32
    assert found.compulsory_at("fp64") == found.compulsory_at("fp32")


def test_a_file_that_is_narrow_already_is_not_narrowed_again(tmp_path: Path) -> None:
    half = TensorProto.FLOAT16
    path = save(
        tmp_path,
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (half, [2, 4])},
        {"y": (half, [2, 8])},
        {"w": ones(4, 8, dtype=np.float16)},
    )
    found = work(path)
    assert found.compulsory_at("fp16") == found.compulsory_at("fp32") == 2 * (8 + 32 + 16)


@pytest.mark.parametrize("example", [convolution(), perceptron(), integers(), open_axes()])
def test_compulsory_is_never_above_what_the_nodes_move(example: Example, tmp_path: Path) -> None:
    found = work_of(example.write(tmp_path))
    assert found.compulsory_bytes is not None
    assert found.moved_bytes is not None
    assert 0 < found.compulsory_bytes <= found.moved_bytes


def test_precisions_named_together_are_taken_apart() -> None:
    assert parts("int8+fp32") == ("int8", "fp32")
    assert parts("fp32") == ("fp32",)
    assert parts(None) == ()
