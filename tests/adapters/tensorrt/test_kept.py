"""Which engines are run again: those that were built here, of the same, and are whole."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.tensorrt import double
from tests.adapters.tensorrt.test_adapter import LIMITS, close, kept, load, options
from xbench.adapter import BoundModel
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench_adapters.tensorrt import TensorRtAdapter
from xbench_adapters.tensorrt.session import TensorRtSession

BUILD = "build_serialized_network"


def loaded(folder: Path, precision: str = "fp32") -> str:
    """Return how the engine of a small model came to be, once sure that its outputs are right."""
    example = models.perceptron()
    session = load(example.write(folder), precision=precision)
    close(infer(session, example.feeds[0])["y"], example.expected(0)["y"], rtol=1e-5)
    how = options(session)["engine"]
    session.close()
    return how


def built(record: Path) -> int:
    return double.calls(record, children=True).count(BUILD)


def test_an_engine_is_built_by_another_process_and_once(tmp_path: Path, record: Path) -> None:
    assert loaded(tmp_path) == "built now"
    example = models.perceptron()
    session = load(example.write(tmp_path))
    assert options(session)["engine"] == "kept from earlier"
    assert int(options(session)["engine_bytes"]) > 0
    session.close()
    assert built(record) == 1
    assert BUILD not in double.calls(record)


def test_only_its_user_can_read_what_is_kept(tmp_path: Path, record: Path) -> None:
    loaded(tmp_path)
    assert (tmp_path / "cache/tensorrt").stat().st_mode & 0o077 == 0
    assert all(place.stat().st_mode & 0o077 == 0 for place in kept(tmp_path) if place.is_dir())


@pytest.mark.parametrize("file", ["model.engine", "manifest.json"])
def test_a_corrupted_engine_is_built_again(tmp_path: Path, record: Path, file: str) -> None:
    loaded(tmp_path)
    (path,) = (tmp_path / "cache/tensorrt").glob(f"*/{file}")
    content = path.read_bytes()
    path.write_bytes(content[:-3])  # what a full disk leaves
    assert loaded(tmp_path) == "built now"
    assert loaded(tmp_path) == "kept from earlier"
    assert built(record) == 2


def test_an_engine_put_in_its_place_is_not_run(tmp_path: Path, record: Path) -> None:
    """Neither one of another model, nor a link to one, nor one that others could have written."""
    loaded(tmp_path)
    (engine,) = (tmp_path / "cache/tensorrt").glob("*/model.engine")
    content = engine.read_bytes()
    engine.write_bytes(content.replace(b"engine of the double: {", b"engine of the double: {  "))
    assert loaded(tmp_path) == "built now"

    engine.rename(tmp_path / "elsewhere")
    engine.symlink_to(tmp_path / "elsewhere")
    assert loaded(tmp_path) == "built now"

    engine.chmod(0o666)
    assert loaded(tmp_path) == "built now"
    assert built(record) == 4


def test_nothing_is_kept_in_a_folder_that_is_open_to_others(tmp_path: Path, record: Path) -> None:
    loaded(tmp_path)
    (tmp_path / "cache/tensorrt").chmod(0o777)
    assert loaded(tmp_path) == "built now, not kept"
    assert loaded(tmp_path) == "built now, not kept"


def test_nothing_is_kept_where_nothing_can_be_written(tmp_path: Path, record: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    assert loaded(tmp_path) == "built now, not kept"


@pytest.mark.parametrize("changed", ["driver", "uuid", "precision", "version", "model"])
def test_an_engine_of_something_else_is_not_run(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """It depends on the GPU, its driver, TensorRT and what was asked for."""
    loaded(tmp_path)
    if changed == "driver":
        monkeypatch.setattr("pynvml.nvmlSystemGetDriverVersion", lambda: "600")
    elif changed == "uuid":
        monkeypatch.setattr("pynvml.nvmlDeviceGetUUID", lambda _: "GPU-2")
    elif changed == "version":
        monkeypatch.setattr("tensorrt.__version__", "11.5.0")
    if changed == "model":
        session = load(models.convolution().write(tmp_path))
        assert options(session)["engine"] == "built now"
        session.close()
    else:
        precision = "tf32" if changed == "precision" else "fp32"
        assert loaded(tmp_path, precision) == "built now"
    assert built(record) == 2


def test_timings_of_kernels_are_kept_for_the_next_build(tmp_path: Path, record: Path) -> None:
    """Another model's build starts from them; those of another GPU or damaged ones are left."""
    loaded(tmp_path)
    (timings,) = (tmp_path / "cache/tensorrt").glob("timings-*.cache")
    size = timings.stat().st_size
    load(models.convolution().write(tmp_path)).close()
    assert f"create_timing_cache({size} bytes)" in double.calls(record, children=True)
    timings.write_bytes(b"damaged")
    load(models.elementwise().write(tmp_path)).close()
    assert double.calls(record, children=True).count("create_timing_cache(0 bytes)") == 2
    timings.chmod(0o666)
    load(models.integers().write(tmp_path)).close()
    assert double.calls(record, children=True).count("create_timing_cache(0 bytes)") == 3


def test_checking_parses_and_builds_nothing(tmp_path: Path, record: Path) -> None:
    adapter = TensorRtAdapter()
    adapter.check(models.perceptron().write(tmp_path), LIMITS, "fp32")
    called = double.calls(record, children=True)
    assert "parse_from_file" in called
    assert BUILD not in called
    assert json.dumps(kept(tmp_path)) == "[]"


def sizes(folder: Path) -> dict[int, BoundModel]:
    """Return one file at three batch sizes."""
    model = models.open_axes().write(folder)
    return {
        size: replace(
            model,
            inputs=tuple(replace(one, shape=(size, *one.shape[1:])) for one in model.inputs),
        )
        for size in (1, 2, 4)
    }


def runs_at(session: TensorRtSession, size: int) -> bool:
    """Return whether a session takes a batch of a size; the engine of another one refuses it."""
    whole = models.open_axes().feeds[0]
    feeds = {name: array[:1].repeat(size, 0) for name, array in whole.items()}
    return len(infer(session, feeds)["y"]) == size


@pytest.mark.parametrize("kept_on_disk", [True, False])
def test_each_batch_size_runs_its_own_engine_which_is_built_once(
    tmp_path: Path, record: Path, *, kept_on_disk: bool
) -> None:
    """All are converted before the first is loaded, and each stream loads all of them."""
    if not kept_on_disk:
        (tmp_path / "cache").write_text("a file, not a folder")
    adapter, asked = TensorRtAdapter(), sizes(tmp_path)
    for model in asked.values():
        adapter.convert(model, LIMITS, "fp32")
    streams = [
        {size: adapter.load(model, LIMITS, "fp32") for size, model in asked.items()}
        for _ in range(2)
    ]
    for stream in streams:
        assert all(runs_at(session, size) for size, session in stream.items())
        assert {options(one)["engine"].partition(",")[0] for one in stream.values()} == {
            "built now"
        }
    assert built(record) == len(asked)
    for stream in streams:
        for session in stream.values():
            session.close()


def test_an_engine_goes_with_the_last_session_that_runs_it(tmp_path: Path, record: Path) -> None:
    """What is loaded in its place is not measured beside the memory of the one before."""
    adapter, model = TensorRtAdapter(), models.perceptron().write(tmp_path)
    for how in ("built now", "kept from earlier"):
        session = adapter.load(model, LIMITS, "fp32")
        assert options(session)["engine"] == how
        session.close()
        del session
        gc.collect()


def test_converting_took_what_building_took_also_where_it_was_kept(
    tmp_path: Path, record: Path
) -> None:
    """A launch that found the engine adds no second figure to the row's mean."""
    took = []
    for _ in range(2):
        session = load(models.perceptron().write(tmp_path))
        took.append(session.facts().convert_s)
        session.close()
    (manifest,) = (tmp_path / "cache/tensorrt").glob("*/manifest.json")
    assert took == [json.loads(manifest.read_text())["report"]["seconds"]] * 2
