"""The probe with real workers at tiny sizes; how fast they are is nowhere asserted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xbench.adapter import Limits
from xbench.device import allowed_cpus
from xbench.errors import InterruptedRunError, UnknownNameError
from xbench.interrupts import Interrupts
from xbench.roofline import probe as module
from xbench.roofline.kernels import COUNTED, Kernels
from xbench.roofline.probe import Effort, installed, probe
from xbench.roofline.products import candidates, width_for

TINY = Effort(sizes=(16, 24), tries=2, loop_s=0.01, array_bytes=1 << 16, width=16)
ONE_CPU = Limits(threads=1, cpus=allowed_cpus()[:1])
WIDER = """
from dataclasses import replace
from xbench.testing.busy import BusyAdapter, BusySession
class Own(BusySession):
    told = "fp32"
    def facts(self):
        return replace(super().facts(), precision=self.told)
class Mine(BusyAdapter):
    name = "wider"
    variants = {"": "says fp32", "true": "says fp16"}
    def __init__(self, variant=""):
        super().__init__()
        self.told = "fp16" if variant else "fp32"
    def load(self, model, limits, precision):
        session = Own(model, 1000)
        session.told = self.told
        return session
"""
BANDWIDTH, NUMPY = {"read", "copy", "add"}, {"numpy 16x16", "numpy 24x24"}


@pytest.fixture
def stop() -> Iterator[Interrupts]:
    with Interrupts() as own:
        yield own


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> None:
    """Make a plug-in that exists in this process and in workers."""
    (folder / f"plugin_{name}.py").write_text(source)
    metadata = folder / f"plugin_{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: plugin_{name}\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(f"[xbench.adapters]\n{name} = plugin_{name}:Mine\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")


def test_on_one_cpu_there_are_limits_with_their_spread_and_what_reached_them(
    stop: Interrupts,
) -> None:
    found = probe(ONE_CPU, ("fp32",), (), stop, effort=TINY)
    assert (found.device, found.threads) == ("cpu", 1)
    for ceiling, ways in ((found.bandwidth, BANDWIDTH), (found.flops["fp32"], NUMPY)):
        assert set(ceiling.ways) == ways
        assert ceiling.how in ways
        assert ceiling.per_s == max(float(rate) for rate in ceiling.ways.values())
        assert ceiling.spread is not None
        assert 0 <= ceiling.spread < 1
        assert ceiling.reason is None
    assert found.seconds > 0


@pytest.mark.usefixtures("test_adapters")
def test_backends_are_asked_besides_and_each_refusal_is_told(
    stop: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that works, one that crashes, one without its framework: the limit is there."""
    monkeypatch.setitem(module.BUDGET_S, "fp32", 60.0)
    backends = ("busy:10", "faulty:segfault-load", "faulty:exit-prepare", "faulty:raise-round")
    ways = probe(ONE_CPU, ("fp32",), backends, stop, effort=TINY).flops["fp32"].ways
    assert set(ways) == NUMPY | set(backends)
    assert isinstance(ways["busy:10"], float)
    assert "SIGSEGV" in str(ways["faulty:segfault-load"])
    assert "exit status 3" in str(ways["faulty:exit-prepare"])
    assert "a fault was injected" in str(ways["faulty:raise-round"])


def test_a_rate_counts_for_the_precision_that_was_computed_in(
    stop: Interrupts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the same fp16 file, one backend says that it computed in fp32: it has no part in fp16.

    Without any that computed in it there is no limit, with the reason; 0 would be a lie.
    """
    monkeypatch.setenv("XBENCH_CACHE", str(tmp_path / "cache"))
    install(tmp_path, monkeypatch, "wider", WIDER)
    both = probe(ONE_CPU, ("fp16",), ("wider", "wider:true"), stop, effort=TINY).flops["fp16"]
    assert both.how == "wider:true"
    assert both.ways["wider"] == "it computed in fp32"
    alone = probe(ONE_CPU, ("fp16", "tf32"), ("wider",), stop, effort=TINY).flops
    assert alone["fp16"].per_s is None
    assert alone["fp16"].reason == "wider: it computed in fp32"
    assert alone["tf32"].per_s is None
    assert alone["tf32"].reason == module.NO_TF32


@pytest.mark.usefixtures("test_adapters")
def test_when_its_time_is_over_no_further_backend_is_asked(
    stop: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.BUDGET_S, "fp32", 0.0)
    ways = probe(ONE_CPU, ("fp32",), ("busy",), stop, effort=TINY).flops["fp32"].ways
    assert ways["busy"] == "not asked: the time for it was over"


def test_a_probe_that_crashes_leaves_limits_unknown_with_the_reason(
    stop: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KERNELS", "xbench.roofline.no_such_module")
    found = probe(ONE_CPU, ("fp32", "int8"), (), stop, effort=TINY)
    assert found.bandwidth.per_s is None
    assert "exit status 1" in (found.bandwidth.reason or "")
    assert found.flops["fp32"].per_s is None
    assert found.flops["fp32"].reason
    assert found.flops["int8"].reason == "nothing here can be asked"


def test_arrays_that_memory_cannot_hold_are_a_reason_and_not_an_end(stop: Interrupts) -> None:
    """The process lives on: its products are still measured."""
    found = probe(ONE_CPU, ("fp32",), (), stop, effort=replace(TINY, array_bytes=2**60))
    assert found.bandwidth.per_s is None
    assert found.bandwidth.reason
    assert found.flops["fp32"].per_s


def test_a_cap_on_memory_is_the_models_and_not_the_probes(stop: Interrupts) -> None:
    """32 MB would not hold NumPy."""
    capped = replace(ONE_CPU, memory_bytes=32 * 10**6)
    found = probe(capped, ("fp32",), (), stop, effort=TINY)
    assert found.flops["fp32"].per_s


@pytest.mark.usefixtures("test_adapters")
def test_a_gpu_has_no_limits_yet_and_nothing_is_started_for_it(stop: Interrupts) -> None:
    found = probe(replace(ONE_CPU, device="cuda:0"), ("fp32",), ("busy",), stop, effort=TINY)
    assert found.bandwidth.reason == found.flops["fp32"].reason == module.NO_GPU
    assert found.seconds < 1


def test_a_wrong_name_is_told(stop: Interrupts) -> None:
    with pytest.raises(UnknownNameError):
        probe(ONE_CPU, ("fp32",), ("onnxruntme",), stop, effort=TINY)


def test_stopping_ends_the_probe(stop: Interrupts) -> None:
    import signal

    stop._heard(signal.SIGINT, None)  # sent in earnest, it ends a process that holds openvino
    assert stop.requested
    with pytest.raises(InterruptedRunError):
        probe(ONE_CPU, ("fp32",), (), stop, effort=TINY)


@pytest.mark.parametrize("threads", [1, 2])
def test_loops_count_the_bytes_of_all_threads_as_stream_does(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every try at 1 ns: a rate is bytes read and written, and nothing for write-allocate."""
    from xbench.roofline import kernels

    shares: list[int] = []

    def timed(work: Any, parts: Any) -> int:
        shares.append(len(parts))
        for own in parts:
            work(own)
        return 1

    monkeypatch.setattr(kernels, "_together", timed)
    job = {"bytes": 8 * 1000, "threads": threads, "tries": 3, "seconds": 0.0}
    found = Kernels().stream(job)["rates"]
    assert set(shares) == {threads}
    assert COUNTED == {"read": 3, "copy": 2, "add": 3}
    for name, arrays in COUNTED.items():
        assert set(found[name]) == {8000 * arrays * 1e9}


def test_the_loops_do_what_they_are_counted_for() -> None:
    """Copy and add give their result in the third array; reading changes none."""
    import numpy as np

    from xbench.roofline.kernels import LOOPS

    own = [np.full(10, 1.5), np.full(10, 2.5), np.zeros(10)]
    LOOPS["read"](own)
    assert own[2].sum() == 0
    LOOPS["copy"](own)
    assert (own[2] == 1.5).all()
    LOOPS["add"](own)
    assert (own[2] == 4.0).all()


def test_a_product_that_would_take_too_long_is_left_out() -> None:
    """On a slow machine the largest sizes are not tried; the smallest always is."""
    job = {"sizes": (16, 5000), "tries": 2, "seconds": 1e-9}
    assert set(Kernels().multiply(job)["rates"]) == {"16"}


def test_a_variant_of_another_precision_is_no_candidate() -> None:
    backends = ("onnxruntime", "litert:int8", "onnxruntime")
    assert candidates(backends, "fp32") == ("onnxruntime",)
    assert candidates(backends, "int8") == ("onnxruntime", "litert:int8")


def test_products_are_as_large_as_the_rate_allows() -> None:
    widths = [width_for(10.0**power) for power in range(6, 15)]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1]) == (256, 4096)


def test_what_is_installed_can_be_asked(tmp_path: Path) -> None:
    """Only backends for the device, and only those whose framework is there."""
    found = installed("cpu")
    assert "tensorrt" not in found
    assert len(set(found)) == len(found)
