"""A file that is no model, or whose data is not beside it, is refused with one line."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.xbench.graphs import (
    FLOAT,
    linear,
    linear_external,
    node,
    point_elsewhere,
    refused,
    save,
)
from xbench.model import read_model


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
