"""Caches and ceilings: each cache once, the best of all tries, and why there is none."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from xbench.roofline.caches import cache_bytes
from xbench.roofline.ceilings import Ceilings, best_of, ceilings_from_json, none_of
from xbench.roofline.probe import array_bytes, better

MIB = 2**20
RATES = st.lists(st.floats(1, 1e15), max_size=6)


def cache(folder: Path, cpu: int, index: int, level: str, kind: str, size: str, of: str) -> None:
    own = folder / f"cpu{cpu}/cache/index{index}"
    own.mkdir(parents=True)
    for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", of)):
        (own / name).write_text(f"{text}\n")


def test_each_cache_counts_once_and_code_has_none_for_data(tmp_path: Path) -> None:
    for cpu in (0, 1):
        cache(tmp_path, cpu, 0, "1", "Data", "32K", f"{cpu}")
        cache(tmp_path, cpu, 1, "1", "Instruction", "32K", f"{cpu}")
        cache(tmp_path, cpu, 2, "2", "Unified", "1M", f"{cpu}")
        cache(tmp_path, cpu, 3, "3", "Unified", "8192K", "0-1")
    assert cache_bytes((0,), tmp_path) == 32 * 1024 + MIB + 8 * MIB
    assert cache_bytes((0, 1), tmp_path) == 2 * (32 * 1024 + MIB) + 8 * MIB


def test_caches_that_nobody_tells_of_are_unknown_and_not_zero(tmp_path: Path) -> None:
    assert cache_bytes((0, 1), tmp_path) is None


@given(st.dictionaries(st.text(min_size=1, max_size=3), RATES, max_size=4))
def test_a_ceiling_is_the_best_try_of_any_way(tries: dict[str, list[float]]) -> None:
    found = best_of(tries)
    every = [rate for rates in tries.values() for rate in rates]
    if not every:
        assert found.per_s is None
        assert found.reason
        return
    assert found.per_s == max(every)
    assert found.how is not None
    assert max(tries[found.how]) == found.per_s
    assert found.spread is not None
    assert 0 <= found.spread < 1


def test_ways_that_were_refused_say_why() -> None:
    refused = {"one": "it computed in fp32", "two": "it is not installed"}
    found = best_of({}, refused)
    assert found.per_s is None
    assert found.reason == "one: it computed in fp32; two: it is not installed"
    found = best_of({"three": [2.0, 4.0, 3.0]}, refused)
    assert (found.per_s, found.spread, found.how, found.reason) == (4.0, 0.25, "three", None)
    assert found.ways == {"three": 4.0, **refused}


def test_the_better_of_two_keeps_the_ways_of_both() -> None:
    low, high = best_of({"low": [1.0]}), best_of({"high": [2.0]}, {"no": "why"})
    for pair in ((low, high), (high, low)):
        found = better(*pair)
        assert (found.per_s, found.how) == (2.0, "high")
        assert found.ways == {"low": 1.0, "high": 2.0, "no": "why"}
    assert better(low, none_of("lost")).per_s == 1.0
    assert better(none_of("lost"), none_of("gone")).reason == "lost; gone"


@given(RATES, RATES)
def test_tried_twice_a_way_keeps_its_better(first: list[float], second: list[float]) -> None:
    """A slow moment of the machine lowers no limit."""
    found = better(best_of({"read": first}), best_of({"read": second}))
    assert found.per_s == max([*first, *second], default=None)
    assert found.ways == ({"read": found.per_s} if found.per_s else {})


@given(st.none() | st.integers(1, 2**36), st.integers(0, 2**42))
def test_arrays_are_larger_than_the_caches_or_there_is_no_bandwidth(
    caches: int | None, memory: int
) -> None:
    """Four times the caches where memory allows, and a quarter of it at the most."""
    size, why = array_bytes(caches, memory)
    assert 3 * size <= memory / 4
    if why is None and caches is not None:
        assert caches <= size <= 4 * caches


def test_ceilings_come_back_from_json_as_they_were() -> None:
    found = Ceilings(
        device="cpu",
        threads=2,
        caches_bytes=None,
        bandwidth=best_of({"read": [3.0, 2.0]}),
        flops={"fp32": best_of({"numpy": [1.0]}, {"other": "no"}), "int8": none_of("why")},
        seconds=1.5,
    )
    assert ceilings_from_json(json.loads(json.dumps(found.to_json()))) == found
