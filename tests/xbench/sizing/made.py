"""Devices, models and measured rows, made so that every figure can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.xbench.procurement.market import row
from xbench.load.slo import parse_slo
from xbench.procurement.fleet import Demand
from xbench.profiles.model import Accelerator, Cluster, Cpu, Memory, Profile
from xbench.result import Status
from xbench.roofline.work import Work
from xbench.sizing.groups import Wanted
from xbench.sizing.least import Least
from xbench.sizing.rows import Measured

GIB, MIB = 2**30, 2**20
FLOPS, MOVED = 1_000_000_000, 50_000_000


def device(
    name: str = "board",
    *,
    gflops: float = 100.0,
    gbytes: float | None = 10.0,
    memory: int = 4 * GIB,
    threads: int = 4,
    **own: Any,
) -> Profile:
    """Return a device of so many GFLOP/s and GB/s in all."""
    cluster = Cluster(
        count=threads, clock_ghz=1.0, per_cycle={"fp32": gflops / threads}, design="made up"
    )
    fields: dict[str, Any] = {
        "title": f"A {name}",
        "kind": "device",
        "family": name,
        "cpu": Cpu(clusters=(cluster,)),
        "memory": Memory(
            size_bytes=memory,
            bandwidth_bytes_per_s=None if gbytes is None else gbytes * 1e9,
        ),
    }
    return Profile(name=name, threads=threads, **fields | own)


def bare(name: str = "caps", *, threads: int = 2, memory: int = GIB) -> Profile:
    """Return caps without a device's figures."""
    return Profile(
        name=name,
        title=name,
        kind="generic",
        family=name,
        cpu=Cpu(clusters=(Cluster(count=threads),)),
        memory=Memory(size_bytes=memory),
        threads=threads,
    )


NPU = Accelerator(name="NPU", kind="npu", dense_per_s={"int8": 1e12})


def wanted(*profiles: Profile) -> tuple[Wanted, ...]:
    return tuple(Wanted(one, one.name) for one in profiles)


def measured(
    name: str = "fast",
    per_s: float = 100.0,
    *,
    peak: int | None = 100 * MIB,
    cap: int = 64 * GIB,
    share: float = 0.5,
    threads: int = 2,
    problem: tuple[str, str] | None = None,
    status: Status = Status.OK,
    doubts: tuple[tuple[str, str], ...] = (),
    thin: bool = False,
    effective: str | None = None,
    **own: Any,
) -> Measured:
    """Return a backend of so many inferences a second, at a share of this host's limits."""
    told = row(per_s, name=name, threads=threads, problem=problem, **own)
    median = told.latency_s["p50"]
    floor_ns = median.value * share * 1e9 if median else None
    return Measured(
        row=told,
        status=status,
        thin=thin,
        effective=effective,
        threads=threads,
        cap_bytes=cap,
        peak_bytes=peak,
        charged_bytes=peak,
        words=f"host, capped to {threads} threads and {cap // GIB} GiB",
        roofline={"floor_ns": floor_ns, "share": share, "bound": "compute", "reason": None},
        load=None,
        doubts=doubts,
        folder="xbench-runs/made",
    )


def failed(name: str = "broken", status: Status = Status.UNSUPPORTED, why: str = "no") -> Measured:
    told = measured(name, problem=(f"{status.value}: {why}", "Do something"), status=status)
    empty = replace(told.row, latency_s=dict.fromkeys(told.row.latency_s), throughput_per_s=None)
    return replace(told, row=empty, peak_bytes=None, charged_bytes=None)


def least(flops: float = FLOPS, moved: int | None = MOVED) -> Least:
    work = Work(flops=int(flops), compulsory_bytes=MIB, moved_bytes=moved, unknown="a loop")
    return Least(work, flops)


def demand(rate_per_s: float = 30.0, slo: str = "p99=50ms", most_load: float = 0.8) -> Demand:
    return Demand(rate_per_s, parse_slo(slo), most_load)
