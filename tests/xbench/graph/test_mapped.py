"""Weights in a model's own file are mapped, whatever the file is like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from xbench.errors import ModelError
from xbench.graph.mapped import LARGE, light_bytes
from xbench.graph.read import read_model

TYPES = ["float32", "float16", "float64", "int8", "uint8", "int64", "bool", "complex64"]
few = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def saved(path: Path, weights: dict[str, Any], **options: Any) -> Path:
    """Write a model that adds nothing to its weights."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "a graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(one, name) for name, one in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path, **options)
    return path


def floats(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


@given(st.lists(st.tuples(st.sampled_from(TYPES), st.integers(0, 3000)), max_size=4))
@few
def test_every_weight_is_read_as_it_was_written(
    tmp_path: Path, wanted: list[tuple[str, int]]
) -> None:
    weights = {
        f"w{place}": floats(count, place).astype(dtype)
        for place, (dtype, count) in enumerate(wanted)
    }
    path = saved(tmp_path / "model.onnx", weights)
    model, found = read_model(path)
    assert model.graph.name == "a graph"
    assert [node.op_type for node in model.graph.node] == ["Identity"]
    assert list(found) == list(weights)
    for name, array in weights.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert isinstance(found[name], np.memmap) == (array.nbytes >= LARGE)


def test_what_is_parsed_does_not_grow_with_the_weights(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.onnx", {"w": floats(500_000)})
    light = light_bytes(path)
    assert light is not None
    assert len(light) < 1000 < 2_000_000 < path.stat().st_size


def test_a_file_behind_a_link_has_its_weights(tmp_path: Path) -> None:
    """Caches of downloaded models keep files elsewhere, under names of their content."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "names").mkdir()
    target = saved(tmp_path / "blobs" / "1f2e", {"w": floats(5000)})
    link = tmp_path / "names" / "model.onnx"
    link.symlink_to(target)
    np.testing.assert_array_equal(read_model(link)[1]["w"], floats(5000))


@given(st.floats(0, 1, exclude_max=True))
@few
def test_a_file_that_ends_early_is_refused(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path / "model.onnx", {"w": floats(5000), "v": floats(3)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError):
        read_model(path)


def test_a_weight_with_too_little_data_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.onnx", {"w": floats(5000)})
    model = onnx.load(path)
    model.graph.initializer[0].dims[:] = [5001]
    onnx.save(model, path)
    with pytest.raises(ModelError, match="too little data"):
        read_model(path)


def test_weights_in_another_file_are_still_found_and_fenced(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "model.onnx", {"w": floats(5000)},
        save_as_external_data=True, location="w.bin", size_threshold=0,
    )  # fmt: skip
    np.testing.assert_array_equal(read_model(path)[1]["w"], floats(5000))
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../w.bin"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="leaves its folder"):
        read_model(path)


@pytest.mark.parametrize("apart", [None, False, True])
def test_many_weights_hold_few_files_open(tmp_path: Path, apart: bool | None) -> None:
    """Each map holds its file open, and a process may have but a thousand or so open."""
    weights = {f"w{place}": floats(LARGE, place) for place in range(400)}
    options: dict[str, Any] = {}
    if apart is not None:
        options = {"save_as_external_data": True, "size_threshold": 0}
        options["all_tensors_to_one_file"] = not apart
    path = saved(tmp_path / "model.onnx", weights, **options)
    before = len(list(Path("/proc/self/fd").iterdir()))
    found = read_model(path)[1]
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= (300 if apart else 2)
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array)
