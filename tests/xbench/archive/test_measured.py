"""A run that was really measured, from its folder to the list, a bundle and its resumption."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import xbench
from xbench.archive.bundle import bundle
from xbench.archive.index import Index
from xbench.archive.merge import merge
from xbench.archive.reading import read_document
from xbench.comparison import run
from xbench.plan import Spec
from xbench.store import read_samples


def test_a_measured_run_is_kept_whole_and_can_be_resumed_elsewhere(
    tmp_path: Path, tiny_model: Path, test_adapters: None
) -> None:
    """Its result says when it began and what it was made from; resumed, it is whole again."""
    store = tmp_path / "runs"
    asked: dict[str, Any] = {"launches": 1, "time_budget_s": 1.0, "energy": False}
    found = xbench.compare(tiny_model, ("busy",), out=store / "one", **asked)
    assert found.began
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.began)
    document = read_document(store / "one")
    assert document["kept"].keys() >= {"run.json", "samples.jsonl", "feeds-0.npz"}
    index = Index.open(store, rebuild=True, deep=True)
    (entry,) = index.cells()
    assert (entry.began, entry.backend, entry.status) == (found.began, "busy", "ok")
    assert entry.row() == document["results"][0]
    assert index.findings == ()
    merge([bundle([store], tmp_path / "one.zip").path], tmp_path / "other")
    before = len(read_samples(tmp_path / "other" / "one").epochs)
    again = run(Spec(model=""), resume=tmp_path / "other" / "one")
    assert again.began == found.began
    assert len(read_samples(tmp_path / "other" / "one").epochs) > before
    resumed = Index.open(tmp_path / "other", rebuild=True, deep=True)
    assert (resumed.findings, len(resumed.cells())) == ((), 1)
