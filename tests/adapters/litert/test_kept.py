"""Flatbuffers are made once, and kept by what they were made from."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.adapters.graphs import model, normal
from tests.adapters.litert.graphs import LIMITS, bound
from xbench.adapter import BoundModel, Converts
from xbench.testing.conformance import infer
from xbench_adapters.litert import LiteRtAdapter, kept

FEEDS = {"x": normal(2, 8)}
NAME = "00" * 16


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own; return where its flatbuffers lie."""
    monkeypatch.setenv("XBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "litert"


def dense(folder: Path, seed: int = 0) -> BoundModel:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    whole = model(nodes, FEEDS, ["y"], {"w": normal(8, 3, seed=seed)})
    return bound(whole, FEEDS, folder / "m.onnx")


def load(given: BoundModel, variant: str = "") -> Any:
    adapter = LiteRtAdapter(variant)
    adapter.prepare(LIMITS)
    return adapter.load(given, LIMITS, adapter.precisions.get(variant, "fp32"))


def test_a_model_is_converted_once_wherever_it_lies(tmp_path: Path, folder: Path) -> None:
    """And the seconds are those that it took, then."""
    first = load(dense(tmp_path)).facts()
    moved = dense(tmp_path)
    elsewhere = tmp_path / "elsewhere.onnx"
    moved.path.rename(elsewhere)
    session = load(BoundModel(elsewhere, moved.inputs, moved.outputs, {}))
    again = session.facts()
    assert (first.options["converted"], again.options["converted"]) == ("now", "earlier")
    assert first.convert_s == again.convert_s
    assert first.importer == again.importer
    found = infer(session, FEEDS)["y"].astype(np.float64)
    np.testing.assert_allclose(found, FEEDS["x"] @ normal(8, 3), rtol=1e-4, atol=1e-5)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_other_weights_or_another_variant_are_another_flatbuffer(tmp_path: Path) -> None:
    assert load(dense(tmp_path)).facts().options["converted"] == "now"
    assert load(dense(tmp_path), "fp16").facts().options["converted"] == "now"
    session = load(dense(tmp_path, seed=5))
    assert session.facts().options["converted"] == "now"
    found = infer(session, FEEDS)["y"].astype(np.float64)
    np.testing.assert_allclose(found, FEEDS["x"] @ normal(8, 3, seed=5), rtol=1e-4, atol=1e-5)


def test_converting_beforehand_is_what_loading_would_do(tmp_path: Path) -> None:
    """The worker asks for it in a phase of its own; what was made then was made now."""
    adapter, given = LiteRtAdapter(), dense(tmp_path)
    assert isinstance(adapter, Converts)
    adapter.prepare(LIMITS)
    adapter.convert(given, LIMITS, "fp32")
    for when in ("now", "earlier"):
        options = adapter.load(given, LIMITS, "fp32").facts().options
        assert options is not None
        assert options["converted"] == when


LOAD = """
import sys
from pathlib import Path
from xbench.adapter import BoundModel, Converts, Limits, TensorSpec
from xbench_adapters.litert import LiteRtAdapter
given = BoundModel(Path(sys.argv[1]), (TensorSpec("x", "float32", (2, 8)),), ("y",), {})
print(LiteRtAdapter().load(given, Limits(1), "fp32").facts().options["converted"])
"""


def test_two_processes_at_once_make_it_once(tmp_path: Path) -> None:
    path = dense(tmp_path).path
    found = os.pathsep.join(one for one in sys.path if one)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD, str(path)],
            env={**os.environ, "PYTHONPATH": found},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    assert sorted(one.communicate()[0].strip() for one in both) == ["earlier", "now"]


def test_a_cache_that_cannot_be_written_costs_a_conversion_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XBENCH_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        session = load(dense(tmp_path))
        assert session.facts().options["converted"] == "now"
        assert infer(session, FEEDS)["y"].shape == (2, 3)


def test_what_is_cut_short_is_not_taken() -> None:
    with kept.alone(NAME):
        made = kept.keep(NAME, b"flatbuffer", {"seconds": 1.0})
    assert made is not None
    found = kept.find(NAME)
    assert found == made
    assert found.report["seconds"] == 1.0
    found.path.write_bytes(b"flat")
    assert kept.find(NAME) is None
    assert kept.keep(NAME, b"flatbuffer", {}) is not None
    assert kept.find(NAME) is not None


def test_what_nobody_has_used_for_long_makes_room(folder: Path) -> None:
    for name, age_s in (("old", kept.UNUSED_S + 60), ("new", 60.0)):
        with kept.alone(name):
            kept.keep(name, b"flatbuffer", {})
        used_s = time.time() - age_s
        os.utime(folder / name, (used_s, used_s))
    with kept.alone(NAME):
        kept.keep(NAME, b"flatbuffer", {})
    assert (kept.find("old"), kept.find("new") is None) == (None, False)


def test_what_is_too_much_goes_oldest_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what another run may be about to open."""
    ages_s = {"oldest": 3 * kept.IN_USE_S, "older": 2 * kept.IN_USE_S, "used": 60.0}
    for name, age_s in ages_s.items():
        with kept.alone(name):
            kept.keep(name, bytes(1000), {})
        used_s = time.time() - age_s
        os.utime(folder / name, (used_s, used_s))
    monkeypatch.setattr(kept, "MOST_BYTES", 3500)
    with kept.alone(NAME):
        kept.keep(NAME, bytes(1000), {})
    left = {name for name in ages_s if kept.find(name)}
    assert left == {"older", "used"}
    monkeypatch.setattr(kept, "MOST_BYTES", 10)
    os.utime(folder / "older", (0, 0))
    with kept.alone(NAME):
        kept.keep(NAME, bytes(1000), {})
    assert kept.find("used") is not None


def test_only_what_decides_the_content_is_in_the_key() -> None:
    what = {"model": "a", "shapes": {"x": [1, 2], "y": [3]}, "variant": ""}
    assert kept.key(what) == kept.key({**what, "shapes": {"y": [3], "x": [1, 2]}})
    assert kept.key(what) != kept.key({**what, "variant": "fp16"})
