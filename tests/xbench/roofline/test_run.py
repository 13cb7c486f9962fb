"""The rooflines of a run: probed once for each set of caps, kept with it, and read by its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.xbench.graphs import linear
from tests.xbench.report.runs import cell as row
from xbench.adapter import Limits
from xbench.comparison import compare
from xbench.device import allowed_cpus
from xbench.interrupts import Interrupts
from xbench.members import Job
from xbench.model import bind, read_model
from xbench.plan import Cell, Spec, Target, plan_cells
from xbench.progress import Silent
from xbench.roofline import run as module
from xbench.roofline.ceilings import Ceilings, best_of, none_of
from xbench.roofline.probe import Effort
from xbench.roofline.row import FIELDS
from xbench.roofline.run import Rooflines, rooflines
from xbench.store import RunFolder

TINY = Effort(sizes=(16,), tries=2, loop_s=0.01, array_bytes=1 << 16, width=16)
ONE_CPU = Limits(threads=1, cpus=allowed_cpus()[:1])
FOUND = Ceilings(
    device="cpu",
    threads=1,
    caches_bytes=2**20,
    bandwidth=best_of({"read": [2e10]}),
    flops={"fp32": best_of({"numpy": [1e11]}), "int8": none_of("nobody computes in it")},
)


class Probes:
    """Stands where the machine would be probed: hears what is asked, and answers at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[Limits, tuple[str, ...], tuple[str, ...]]] = []

    def probe(
        self,
        limits: Limits,
        precisions: tuple[str, ...],
        backends: tuple[str, ...],
        *_: Any,
        **__: Any,
    ) -> Ceilings:
        self.asked.append((limits, precisions, backends))
        return FOUND


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> Probes:
    own = Probes()
    monkeypatch.setattr(module, "probe", own.probe)
    return own


@pytest.fixture
def stop() -> Iterator[Interrupts]:
    with Interrupts() as own:
        yield own


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")


def jobs(path: Path, *limits: Limits, precision: str = "fp32") -> tuple[Job, ...]:
    """Return a job for each set of caps, on one file."""
    spec = Spec(model=str(path), precision=precision)
    targets = [Target(one, ("onnxruntime",)) for one in limits]
    model = bind(read_model(path), 2)
    return tuple(
        Job(cell=cell, model=model, feeds=path, feed_count=1) for cell in plan_cells(spec, targets)
    )


def test_each_set_of_caps_is_probed_once_and_memory_sets_none_apart(
    tmp_path: Path, folder: RunFolder, probes: Probes, stop: Interrupts
) -> None:
    two = replace(ONE_CPU, threads=2)
    capped = replace(ONE_CPU, memory_bytes=2**30, profile="small")
    own = jobs(linear(tmp_path), ONE_CPU, two, capped, precision="fp32,int8")
    found = rooflines(own, folder, stop, Silent(), backends=("onnxruntime",))
    assert [limits for limits, _, _ in probes.asked] == [ONE_CPU, two]
    assert {precisions for _, precisions, _ in probes.asked} == {("fp32", "int8")}
    of = {one.cell.limits: one.cell for one in own}
    plain, small = (found.of(of[limits], ran(of[limits])) for limits in (ONE_CPU, capped))
    assert plain["peak_flops_per_s"] == small["peak_flops_per_s"] == 1e11


def test_fp32_is_always_probed_for_it_is_what_runtimes_fall_back_to(
    tmp_path: Path, folder: RunFolder, probes: Probes, stop: Interrupts
) -> None:
    own = jobs(linear(tmp_path), ONE_CPU, precision="int8")
    found = rooflines(own, folder, stop, Silent(), backends=())
    assert probes.asked == [(ONE_CPU, ("fp32", "int8"), ())]
    fell_back = replace(ran(own[0].cell), precision={"requested": "int8", "effective": "fp32"})
    assert found.of(own[0].cell, fell_back)["share"] is not None
    held = replace(fell_back, precision={"requested": "int8", "effective": "int8"})
    told = found.of(own[0].cell, held)
    assert told["share"] is None
    assert "nobody computes in it" in told["reason"]


def test_a_run_that_is_resumed_finds_its_limits_again(
    tmp_path: Path, folder: RunFolder, probes: Probes, stop: Interrupts
) -> None:
    """Other caps or other backends are another probe; a damaged file is as good as none."""
    own = jobs(linear(tmp_path), ONE_CPU)
    first = rooflines(own, folder, stop, Silent(), backends=("onnxruntime",))
    assert rooflines(own, folder, stop, Silent(), backends=("onnxruntime",)) == first
    assert len(probes.asked) == 1
    rooflines(own, folder, stop, Silent(), backends=("openvino",))
    rooflines(
        jobs(linear(tmp_path), replace(ONE_CPU, quota_cpus=0.5)),
        folder,
        stop,
        Silent(),
        backends=(),
    )
    assert len(probes.asked) == 3
    assert len(json.loads((folder.path / module.FILE).read_text())["ceilings"]) == 3
    (folder.path / module.FILE).write_text('{"ceilings": [')
    assert rooflines(own, folder, stop, Silent(), backends=("onnxruntime",)) == first
    assert len(probes.asked) == 4


def test_a_row_is_put_beside_the_work_of_its_own_file(
    tmp_path: Path, folder: RunFolder, probes: Probes, stop: Interrupts
) -> None:
    (own,) = jobs(linear(tmp_path), ONE_CPU)
    told = rooflines((own,), folder, stop, Silent(), backends=()).of(own.cell, ran(own.cell))
    flops = 2 * 2 * 4 * 8
    assert tuple(told) == FIELDS
    assert told["flops_per_s"] == pytest.approx(flops / 1e-3)
    assert told["share"] == pytest.approx(flops / 1e11 / 1e-3)
    nothing = row(0, "onnxruntime")
    assert (
        rooflines((own,), folder, stop, Silent(), backends=()).of(own.cell, nothing)["share"]
        is None
    )


def test_without_rooflines_a_row_says_why(tmp_path: Path) -> None:
    (own,) = jobs(linear(tmp_path), ONE_CPU)
    told = Rooflines().of(own.cell, ran(own.cell))
    assert tuple(told) == FIELDS
    assert {value for name, value in told.items() if name != "reason"} == {None}
    assert told["reason"] == "the roofline was not asked for"


def test_a_real_probe_is_kept_and_read_back(
    tmp_path: Path, folder: RunFolder, stop: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started the second time."""
    own = jobs(linear(tmp_path), ONE_CPU)
    first = rooflines(own, folder, stop, Silent(), backends=(), effort=TINY)
    told = first.of(own[0].cell, ran(own[0].cell))
    assert told["bound"] == "compute"
    assert told["peak_flops_per_s"] > 0
    monkeypatch.setattr("xbench.roofline.probe.KERNELS", "xbench.roofline.no_such_module")
    assert rooflines(own, folder, stop, Silent(), backends=(), effort=TINY) == first


def ran(cell: Cell) -> Any:
    """Return the row of a cell that took a millisecond."""
    return row(cell.id, "onnxruntime", 1e6, precision={"requested": "fp32", "effective": "fp32"})


@pytest.mark.usefixtures("test_adapters")
def test_a_comparison_puts_its_rows_beside_the_machines_limits(
    tmp_path: Path, probes: Probes
) -> None:
    """Where that was asked for; a row that did not run says so, and a run without it why."""
    asked: dict[str, Any] = {"threads": 1, "launches": 1, "time_budget_s": 1.0}
    backends = ("busy", "faulty:raise-load")
    found = compare(
        linear(tmp_path), backends, out=tmp_path / "with", roofline=True, energy=False, **asked
    )
    ran_one, failed = (one.roofline for one in found.results)
    assert len(probes.asked) == 1
    assert ran_one is not None
    assert ran_one["bound"] == "compute"
    assert 0 < ran_one["share"] <= 1
    assert failed is not None
    assert (failed["share"], failed["reason"]) == (None, "no latency was measured")
    assert found.timing["roofline_s"] is not None
    without = compare(linear(tmp_path), ("busy",), out=tmp_path / "out", energy=False, **asked)
    assert [one.roofline for one in without.results] == [
        {**dict.fromkeys(FIELDS), "reason": "the roofline was not asked for"}
    ]
    assert len(probes.asked) == 1
