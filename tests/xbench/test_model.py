"""A model file is read whole and right, or refused with one line that says what to do."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.xbench.graphs import (
    FLOAT,
    INT64,
    linear,
    linear_external,
    make,
    node,
    point_elsewhere,
    save,
)
from xbench.adapter import TensorSpec
from xbench.errors import ModelError
from xbench.model import read_model


def refused(path: Path) -> str:
    """Return the line with which a file is refused."""
    with pytest.raises(ModelError) as caught:
        read_model(path)
    error = caught.value
    assert error.fix
    assert "\n" not in str(error)
    assert len(error.reason) < 500 + len(str(path))
    return error.reason


def test_a_model_is_read_as_its_file_says(tmp_path: Path) -> None:
    path = linear(tmp_path)

    model = read_model(path)

    assert model.name == "model"
    assert model.path == path
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (model.opset, model.opsets) == (18, {"": 18})
    assert model.inputs == (TensorSpec("x", "float32", ("batch", 4)),)
    assert model.outputs == (TensorSpec("y", "float32", ("batch", 8)),)
    assert (model.parameters, model.weights_bytes) == (32, 128)
    assert model.flops == 2 * 4 * 8
    assert model.producer is None
    assert read_model(path, "zoo name").name == "zoo name"


def test_the_document_has_what_the_contract_names(tmp_path: Path) -> None:
    document = read_model(linear(tmp_path)).to_json()

    contract = {"name", "sha256", "opset", "inputs", "outputs", "parameters", "flops"}
    assert contract <= document.keys()
    assert document["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]


def test_every_open_dimension_has_a_symbol(tmp_path: Path) -> None:
    """Also those without a name, with a name that means none, and of negative length."""
    shape = ["batch", None, "?", 3, "height"]
    path = save(
        tmp_path,
        [node("Identity", ["x"], ["y"])],
        {"x": (FLOAT, shape)},
        {"y": (FLOAT, shape)},
    )
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[4].dim_value = -1
    path.write_bytes(model.SerializeToString())

    assert read_model(path).inputs[0].shape == ("batch", "x.1", "x.2", 3, "x.4")


def test_initialisers_that_old_files_list_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("MatMul", ["x", "w"], ["y"])],
        {"w": (FLOAT, [4, 8]), "x": (FLOAT, [2, 4])},
        {"y": (FLOAT, [2, 8])},
        {"w": np.ones((4, 8), np.float32)},
        opset=8,
        ir_version=3,
    )
    assert [spec.name for spec in read_model(path).inputs] == ["x"]


def test_weights_are_counted_wherever_they_are_kept(tmp_path: Path) -> None:
    """In a branch, and in a constant of several elements, as some exporters write them."""
    value = onnx.numpy_helper.from_array(np.ones((5, 2), np.float16))
    branch = helper.make_graph(
        [node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", FLOAT, [3])],
        [onnx.numpy_helper.from_array(np.ones(3, np.float32), "inner")],
    )
    nodes = [
        node("Constant", [], ["c"], value=value),
        node("Constant", [], ["one"], value_int=1),
        node("If", ["x"], ["y"], then_branch=branch, else_branch=branch),
    ]
    path = save(
        tmp_path, nodes, {"x": (onnx.TensorProto.BOOL, [])}, {"y": (FLOAT, [3])}, {"w": [1.0]}
    )
    model = read_model(path)

    assert model.parameters == 1 + 5 * 2 + 3 + 3
    assert model.weights_bytes == 8 + 20 + 12 + 12


def test_the_hash_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    """A copy under another name is the same model; one changed weight is another."""
    path = linear_external(tmp_path)
    own = read_model(path).sha256
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(path, elsewhere / "copy.onnx")
    shutil.copy(tmp_path / "weights.bin", elsewhere)
    assert read_model(elsewhere / "copy.onnx").sha256 == own

    weights = bytearray((elsewhere / "weights.bin").read_bytes())
    weights[3] ^= 1
    (elsewhere / "weights.bin").write_bytes(weights)
    assert read_model(elsewhere / "copy.onnx").sha256 != own
    assert own != hashlib.sha256(path.read_bytes()).hexdigest()


def test_external_data_counts_and_may_lie_in_a_folder_below(tmp_path: Path) -> None:
    path = linear_external(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "data" / "w.bin")
    point_elsewhere(path, location="data/w.bin")

    model = read_model(path)

    assert (model.parameters, model.weights_bytes, model.flops) == (32, 128, 64)


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "there is no file" in refused(tmp_path / "none.onnx")
    assert "is a folder" in refused(tmp_path)
    assert "not a regular file" in refused(Path("/dev/null"))
    empty = tmp_path / "empty.onnx"
    empty.touch()
    assert "is empty" in refused(empty)
    large = tmp_path / "large.onnx"
    large.touch()
    os.truncate(large, 2**31)  # sparse: costs nothing
    assert "2 GiB at most" in refused(large)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_model_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = linear(tmp_path)
    path.chmod(0)
    assert "cannot be read" in refused(path)


@pytest.mark.parametrize(
    "content",
    [b"not a model", b"PK\x03\x04" + b"\0" * 50, b"\x08\x09", bytes(100), b"\x08\x09\x3a\x00"],
    ids=["text", "zip", "version only", "zeros", "empty graph"],
)
def test_what_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert "not an ONNX model" in refused(path)


def test_a_file_in_another_of_onnx_own_formats_is_not_taken_for_a_model(tmp_path: Path) -> None:
    """The suffix must not choose the parser."""
    path = tmp_path / "model.json"
    path.write_text('{"irVersion": "9"}')
    assert "not an ONNX model" in refused(path)


def test_a_model_is_refused_wherever_it_is_cut_short(tmp_path: Path) -> None:
    whole = linear(tmp_path).read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        assert refused(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_model_is_refused_or_read_and_nothing_worse(tmp_path: Path, data: Any) -> None:
    content = bytearray(linear(tmp_path).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    try:
        model = read_model(path)
    except ModelError as error:
        assert error.fix  # noqa: PT017 -- either outcome is right
    else:
        assert model.outputs


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([node("MatMul", ["x", "nowhere"], ["y"])], "nowhere"),
        ([node("NoSuchOperator", ["x"], ["y"])], "NoSuchOperator"),
        ([node("Relu", ["x", "x"], ["y"])], "Relu"),
        ([], "y"),
    ],
)
def test_what_the_checker_refuses_is_refused_with_its_reason(
    tmp_path: Path, nodes: list[onnx.NodeProto], found: str
) -> None:
    path = save(tmp_path, nodes, {"x": (FLOAT, [2, 2])}, {"y": (FLOAT, [2, 2])})
    reason = refused(path)
    assert "breaks the rules of ONNX" in reason
    assert found in reason


def test_a_model_from_the_future_is_refused(tmp_path: Path) -> None:
    path = linear(tmp_path)
    model = onnx.load(path)
    model.ir_version = 99
    path.write_bytes(model.SerializeToString())
    assert "ir_version" in refused(path)


def test_a_model_that_takes_or_gives_no_tensor_is_refused(tmp_path: Path) -> None:
    model = make(
        [node("SequenceConstruct", ["x"], ["y"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])}
    )
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, [2]))
    model.graph.output[0].type.CopyFrom(kind)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    assert "'y' is a sequence" in refused(path)


@pytest.mark.parametrize(
    "location", ["/etc/hostname", "../weights.bin", "a/../../weights.bin", "C:\\weights.bin"]
)
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = linear_external(folder)
    shutil.copy(folder / "weights.bin", tmp_path)
    point_elsewhere(path, location=location)
    assert "outside the model's folder" in refused(path)


def test_external_data_that_links_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = linear_external(folder)
    (folder / "weights.bin").rename(tmp_path / "secret")
    (folder / "weights.bin").symlink_to(tmp_path / "secret")
    assert "outside the model's folder" in refused(path)


def test_external_data_that_is_not_there_or_cut_short_is_refused(tmp_path: Path) -> None:
    path = linear_external(tmp_path)
    os.truncate(tmp_path / "weights.bin", 100)
    assert "cut short: it has 100 B of at least 128 B" in refused(path)
    (tmp_path / "weights.bin").unlink()
    assert "'weights.bin' is missing" in refused(path)
    (tmp_path / "weights.bin").mkdir()
    assert "'weights.bin' is missing" in refused(path)


@pytest.mark.parametrize(
    "entries",
    [{"offset": "-1"}, {"offset": "x"}, {"length": "4"}, {"offset": "4096"}, {"location": ""}],
    ids=["negative", "no number", "too short", "beyond", "unnamed"],
)
def test_external_data_in_an_impossible_place_is_refused(
    tmp_path: Path, entries: dict[str, str]
) -> None:
    path = linear_external(tmp_path)
    point_elsewhere(path, **entries)
    assert refused(path)


def test_ids_know_the_table_that_they_index(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Gather", ["table", "ids"], ["y"])],
        {"ids": (INT64, ["batch", "length"])},
        {"y": (FLOAT, ["batch", "length", 4])},
        {"table": np.ones((30, 4), np.float32)},
    )
    assert read_model(path).tables == {"ids": 30}


@pytest.mark.slow
def test_weights_over_2_gib_are_read_within_half_of_that(tmp_path: Path) -> None:
    """The reader may have 1.2 GiB of addresses: if it loaded the weights it would fail."""
    rows = 2**21 + 2**18
    path = save(
        tmp_path,
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ["batch", rows])},
        {"y": (FLOAT, ["batch", 256])},
    )
    model = onnx.load(path)
    tensor = model.graph.initializer.add(name="w", data_type=FLOAT, dims=[rows, 256])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    path.write_bytes(model.SerializeToString())
    weights = tmp_path / "w.bin"
    weights.touch()
    os.truncate(weights, rows * 256 * 4)  # sparse: costs nothing on disk

    code = "import sys, xbench.model as m; r = m.read_model(sys.argv[1]);"
    code += "print(r.parameters, r.weights_bytes, r.flops, len(r.sha256))"
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1200 * 2**20,) * 2),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(n) for n in (rows * 256, rows * 1024, rows * 512, 64)]
