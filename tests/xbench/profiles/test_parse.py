"""A profile's file is read strictly: an error names the file and the key."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench import plan
from xbench.errors import UsageError
from xbench.profiles.model import PRECISIONS, Profile
from xbench.profiles.parse import parse
from xbench.profiles.parts import designs

from .conftest import MINIMAL

FULL = """\
schema = 1
name = "board"
title = "A board"
kind = "device"
released = 2024-02-03
checked = 2026-11-26
threads = 3
max_batch = 8
variant = "4gb"

[cpu]
confidence = "datasheet"
[[cpu.clusters]]
count = 2
design = "Cortex-A76"
clock = "2.4 GHz"
[[cpu.clusters]]
count = 2
design = "own"
clock = "1500 MHz"
per_cycle = { fp32 = 4 }

[memory]
type = "LPDDR4"
bus_bits = 32
transfers = "3200 MT/s"
bandwidth = "12.8 GB/s"
confidence = "datasheet"

[variants.2gb]
size = "2 GiB"
[variants.4gb]
size = "4 GiB"
usable = "3.5 GiB"

[[accelerators]]
name = "NPU"
kind = "npu"
dense = { int8 = "2 TOPS", fp16 = "500 GFLOPS" }
sparse = { int8 = "4 TOPS" }

[power]
idle = "1.5 W"
typical = "3 W"
max = "7 W"
modes = ["5 W", "10 W"]

[[sources]]
of = ["cpu", "memory"]
title = "The board's data sheet"
url = "https://example.org/board.pdf"
read = 2026-11-26
"""


def read(text: str) -> tuple[Profile, ...]:
    return parse(text.encode(), "b.toml")


def test_every_figure_of_a_full_file_arrives_in_its_unit() -> None:
    small, large = read(FULL)
    assert (small.name, large.name) == ("board-2gb", "board-4gb")
    assert (small.default, large.default, large.family) == (False, True, "board")
    assert large.sizes == ("board-2gb", "board-4gb")
    assert (large.threads, large.max_batch, large.cpu.cores) == (3, 8, 4)
    assert (large.released, large.checked) == (date(2024, 2, 3), date(2026, 11, 26))
    assert (large.memory.size_bytes, large.memory.usable_bytes) == (2**32, 3584 * 2**20)
    assert (small.memory_cap_bytes, large.memory_cap_bytes) == (2**31, 3584 * 2**20)
    assert large.memory.bandwidth_bytes_per_s == 12.8e9
    assert large.accelerators[0].dense_per_s == {"int8": 2e12, "fp16": 5e11}
    assert large.accelerators[0].sparse_per_s == {"int8": 4e12}
    assert large.power is not None
    assert (large.power.idle_w, large.power.max_w, large.power.modes_w) == (1.5, 7, (5, 10))
    assert large.sources[0].groups == ("cpu", "memory")


def test_a_design_brings_its_operations_a_cycle_and_a_profile_can_bring_its_own() -> None:
    big, own = read(FULL)[0].cpu.clusters
    assert (big.per_cycle, big.per_cycle_confidence) == (
        designs()["Cortex-A76"].per_cycle,
        "measured-elsewhere",
    )
    assert (own.per_cycle, own.per_cycle_confidence) == ({"fp32": 4}, "datasheet")
    assert own.core_peak_per_s("fp32") == pytest.approx(6e9)
    assert own.core_peak_per_s("fp16") is None


def test_the_least_that_a_profile_can_say_is_caps_and_no_floor() -> None:
    (profile,) = read(MINIMAL)
    assert (profile.threads, profile.memory_cap_bytes, profile.max_batch) == (4, 2**32, None)
    assert profile.cpu.peak_per_s("fp32") is None
    assert profile.memory.bandwidth_bytes_per_s is None
    assert (profile.confidence, profile.power, profile.sources) == (None, None, ())


def test_the_confidence_is_the_least_of_what_a_floor_is_made_of() -> None:
    """A data sheet's clock times a measured rate is as sure as the measurement."""
    one = FULL.replace('design = "own"\n', 'design = "Cortex-A55"\n').replace(
        "per_cycle = { fp32 = 4 }\n", ""
    )
    assert read(one)[0].confidence == "measured-elsewhere"
    guess = one.replace('confidence = "datasheet"\n\n[variants', "\n[variants")
    assert read(guess)[0].confidence == "estimate"


def changed(old: str, new: str) -> str:
    assert old in FULL, old
    return FULL.replace(old, new, 1)


BROKEN = {
    "unknown at the top": (changed("max_batch", "maxbatch"), "maxbatch", "Did you mean"),
    "unknown in memory": (changed("bus_bits", "bus_bit"), "memory.bus_bit", "bus_bits"),
    "unknown in a cluster": (changed("count", "cuont"), "cpu.clusters[0].cuont", "count"),
    "unknown in a variant": (changed("usable = ", "usble = "), "variants.4gb.usble", "usable"),
    "unknown in a source": (changed("url", "link"), "sources[0].link", "There are"),
    "schema of the future": (changed("schema = 1", "schema = 2"), "schema", "update"),
    "no name": (changed('name = "board"\n', ""), "name", "is missing"),
    "no title": (changed('title = "A board"\n', ""), "title", "is missing"),
    "empty title": (changed('"A board"', '" "'), "title", "is empty"),
    "a name with a slash": (changed('"board"', '"a/b"'), "name", "letters"),
    "a name that options take": (changed('"board"', '"ALL"'), "name", "options"),
    "an unknown kind": (changed('"device"', '"devise"'), "kind", "Did you mean 'device'"),
    "a date in quotes": (changed("2024-02-03", '"2024-02-03"'), "released", "quotes"),
    "a moment for a date": (changed("2024-02-03", "2024-02-03T01:02:03"), "released", "date"),
    "threads beyond the cores": (changed("threads = 3", "threads = 5"), "threads", "4 cores"),
    "no threads": (changed("threads = 3", "threads = 0"), "threads", "above zero"),
    "a yes for a number": (changed("threads = 3", "threads = true"), "threads", "above zero"),
    "half a batch": (changed("max_batch = 8", "max_batch = 0.5"), "max_batch", "whole number"),
    "no variant": (changed('"4gb"', '"8gb"'), "variant", "There are 2gb, 4gb"),
    "cores without a count": (changed("count = 2\n", ""), "cpu.clusters[0].count", "missing"),
    "an unknown design": (changed("Cortex-A76", "Cortex-A67"), "clusters[0].design", "Cortex-A76"),
    "a clock without unit": (changed('"2.4 GHz"', "2.4"), "clusters[0].clock", '"4 MHz"'),
    "a clock in bytes": (changed('"2.4 GHz"', '"2.4 GB"'), "clusters[0].clock", "unit"),
    "no clock at all": (changed('"2.4 GHz"', '"0 GHz"'), "clusters[0].clock", "above zero"),
    "a rate of no precision": (changed("{ fp32 = 4 }", "{ fp23 = 4 }"), "per_cycle.fp23", "fp32"),
    "a negative rate": (changed("fp32 = 4", "fp32 = -4"), "per_cycle.fp32", "above zero"),
    "a size without unit": (changed('"2 GiB"', '"2"'), "variants.2gb.size", "GiB"),
    "a size in bits": (changed('"2 GiB"', '"2 Gib"'), "variants.2gb.size", "GiB"),
    "a variant without size": (changed('size = "2 GiB"\n', ""), "variants.2gb.size", "missing"),
    "more usable than there is": (changed('"3.5 GiB"', '"5 GiB"'), "variants.4gb.usable", "size"),
    "a size twice": (
        changed("[memory]\n", '[memory]\nsize = "1 GiB"\n'),
        "memory.size",
        "variants",
    ),
    "a bandwidth that the bus denies": (changed("12.8 GB/s", "25.6 GB/s"), "bandwidth", "12.8"),
    "an unknown confidence": (changed('"datasheet"', '"sure"'), "cpu.confidence", "estimate"),
    "an unknown accelerator": (changed('"npu"', '"apu"'), "accelerators[0].kind", "npu"),
    "int8 in FLOPS": (changed("2 TOPS", "2 TFLOPS"), "accelerators[0].dense.int8", "TOPS"),
    "fp16 in OPS": (changed("500 GFLOPS", "500 GOPS"), "accelerators[0].dense.fp16", "TFLOPS"),
    "sparse for dense": (changed("4 TOPS", "1 TOPS"), "accelerators[0].sparse.int8", "swapped"),
    "power in volts": (changed('"1.5 W"', '"1.5 V"'), "power.idle", "W"),
    "power that falls": (changed('"7 W"', '"2 W"'), "power", "rise"),
    "a mode that is no quantity": (changed('"10 W"', "10"), "power.modes", "W"),
    "a source of nothing": (changed('"cpu", "memory"]', '"gpu"]'), "sources[0].of", "cpu, memory"),
    "no address": (changed("https://", "file://"), "sources[0].url", "https://"),
    "a claim without a source": (
        changed('of = ["cpu", "memory"]', 'of = ["cpu"]'),
        "sources",
        'of = ["memory"]',
    ),
    "a table that is a text": (changed("[power]\n", "[[power]]\n"), "power", "is not a table"),
    "no TOML": ("name = \n", "b.toml", "no TOML"),
}


@pytest.mark.parametrize(("text", "key", "hint"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_said_by_file_and_key(text: str, key: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text)
    said = str(caught.value)
    assert said.startswith("b.toml")
    assert key in said
    assert hint in said


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("[[cpu.clusters]]\ncount = 4\n", "", "cpu.clusters"),
        ('[memory]\nsize = "4 GiB"\n', "", "memory.size"),
        ('name = "mine"', 'name = "mine"\nvariant = "4gb"', "variant"),
        ('[memory]\nsize = "4 GiB"\n', "[memory]\n[variants]\n", "variants"),
        ("count = 4", "count = 10000", "cpu.clusters[0].count"),
    ],
)
def test_what_a_small_file_lacks_is_said_too(old: str, new: str, key: str) -> None:
    assert old in MINIMAL
    with pytest.raises(UsageError, match=r"b\.toml") as caught:
        read(MINIMAL.replace(old, new))
    assert key in str(caught.value)


def test_bytes_that_are_no_text_are_no_traceback() -> None:
    for content in (b"\xff\xfe\x00", b"x" * (2 << 20), b"a=" + b"[" * 100_000):
        with pytest.raises(UsageError, match=r"b\.toml"):
            parse(content, "b.toml")


TOML_VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), st.sampled_from(['"x"', '"4 GiB"', '"1 W"'])),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else str(value)


@given(st.sampled_from([line for line in FULL.splitlines() if " = " in line]), TOML_VALUES)
def test_any_value_in_any_place_is_read_or_refused_but_never_a_defect(
    line: str, value: Any
) -> None:
    key = line.partition(" = ")[0]
    text = FULL.replace(line, f"{key} = {_toml(value)}")
    refused = ""
    found: tuple[Profile, ...] = ()
    try:
        found = read(text)
    except UsageError as error:
        refused = str(error)
    assert all(profile.threads <= profile.cpu.cores for profile in found)
    assert found or refused.startswith("b.toml")


def test_the_precisions_are_those_of_a_run() -> None:
    assert set(PRECISIONS) == set(plan.PRECISIONS)
