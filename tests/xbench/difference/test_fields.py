"""What refuses a comparison, what only labels it, and how rows find their partners."""

from __future__ import annotations

from typing import Any

import pytest

from tests.xbench.difference.simulated import document, side
from xbench.difference.answer import Difference, Terms, diff
from xbench.errors import UsageError


def pair() -> tuple[dict[str, Any], dict[str, Any]]:
    return document([1e6, 2e6, 3e6], "a"), document([1e6, 2e6, 3e6], "b")


def between(first: dict[str, Any], second: dict[str, Any], *allowed: str, **own: Any) -> Difference:
    return diff(side(first), side(second), Terms(allowed=frozenset(allowed), **own))


REFUSING = {
    "model": lambda told: told["model"].update(sha256="cd" * 32),
    "shapes": lambda told: told["spec"].update(shapes={"x": [1, 9]}),
    "host": lambda told: told["host"].update(host_id="feedbeef"),
    "hardware": lambda told: told["host"]["devices"][0].update(model="Another CPU"),
    "power": lambda told: told["host"].update(governor="powersave"),
    "cpus": lambda told: told["host"].update(affinity=[0]),
}


@pytest.mark.parametrize("word", REFUSING)
def test_what_makes_it_another_measurement_refuses(word: str) -> None:
    first, second = pair()
    REFUSING[word](second)
    found = between(first, second)
    assert found.exit_status == 2
    assert [one.allow for one in found.forbidding] == [word]
    assert not found.rows
    allowed = between(first, second, word)
    assert len(allowed.rows) == 3
    assert [one.allow for one in allowed.differing] == [word]  # and is still shown
    assert between(first, second, "all").rows


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel", "Linux 7.0"),
        ("microcode", "0x1"),
        ("python", "CPython 3.12"),
        ("versions", {"xbench": "9"}),
        ("environment", {"OMP_NUM_THREADS": "1"}),
    ],
)
def test_what_one_may_want_to_compare_only_labels(name: str, value: object) -> None:
    first, second = pair()
    second["host"][name] = value
    found = between(first, second)
    assert len(found.rows) == 3
    assert len(found.differing) == 1


def test_another_host_brings_its_hardware_with_it() -> None:
    first, second = pair()
    for word in ("host", "hardware", "power", "cpus"):
        REFUSING[word](second)
    assert between(first, second, "host").rows
    assert not between(first, second, "power").rows


def test_what_a_side_does_not_tell_refuses_nothing() -> None:
    first, second = pair()
    second["host"]["governor"] = None
    found = between(first, second)
    assert found.rows
    assert str(found.differing[0]) == "governor: performance → not told"


def test_a_version_of_a_row_is_shown_beside_it() -> None:
    first, second = pair()
    second["results"][1]["backend_version"] = "2.0"
    found = between(first, second)
    assert [str(one) for one in found.rows[1].pair.differing] == ["version: 1.0 → 2.0"]
    assert not found.rows[0].pair.differing


def test_silent_bfloat16_is_not_compared_with_float32() -> None:
    first, second = pair()
    second["results"][1]["precision"]["effective"] = "bf16"
    found = between(first, second)
    assert len(found.rows) == 2
    assert "--allow precision" in found.refused[0].reason
    assert len(between(first, second, "precision").rows) == 3


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("threads", lambda row: row["threads"].update(requested=4)),
        ("batch", lambda row: row.update(batch=8)),
        ("boundary", lambda row: row.update(boundary="device")),
        ("scenario", lambda row: row.update(scenario="multi-stream:8")),
        ("profile", lambda row: row.update(caps={"profile": "rpi4b", "broken": []})),
    ],
)
def test_another_cell_stands_alone_and_is_named(word: str, change: Any) -> None:
    """It is listed on both sides, with the one field in which it differs; `--allow` pairs it."""
    first, second = pair()
    change(second["results"][2])
    found = between(first, second)
    assert len(found.rows) == 2
    (alone,), (other,) = found.only_first, found.only_second
    assert alone.row.name == other.row.name == "backend2"
    assert [one.allow for one in alone.nearest] == [word] == [one.allow for one in other.nearest]
    assert len(between(first, second, word).rows) == 3


def test_rows_that_could_be_paired_in_two_ways_are_not() -> None:
    first, second = pair()
    for number, threads in ((1, 4), (2, 8)):
        second["results"][number]["backend"] = "backend1"
        second["results"][number]["threads"]["requested"] = threads
    found = between(first, second, "threads")
    assert [row.pair.first.name for row in found.rows] == ["backend0"]
    assert len(found.only_second) == 2


def test_a_row_that_did_not_run_is_not_compared_and_is_an_alarm() -> None:
    """It ran in the first run: that it does not any more is worse than slow."""
    first, second = pair()
    second["results"][1].update(status="crashed", reason="signal 11", latency_ns=None)
    found = between(first, second, fail_slower=True)
    assert len(found.rows) == 2
    assert found.exit_status == 1
    assert "signal 11" in found.alarms[0].reason
    assert between(second, first, fail_slower=True).exit_status == 0  # it runs again
    assert between(first, second).exit_status == 0  # nobody asked to fail


SATURATED = {"load": {"saturated": "its queue grew"}, "reason": "it cannot keep up"}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (SATURATED | {"latency_ns": None}, "it cannot keep up"),
        (
            {"latency_ns": None, "throughput_per_s": None, "reason": "no rate was found"}
            | {"load": {"search": {"stopped": "none holds"}}},
            "no rate was found",
        ),
        ({"caps": {"broken": ["3 threads worked"]}}, "its caps did not hold"),
    ],
)
def test_a_row_that_fails_what_it_did_before_is_an_alarm(told: dict[str, Any], said: str) -> None:
    first, second = pair()
    second["results"][1].update(**told)
    found = between(first, second, fail_slower=True)
    assert [one.row for one in found.alarms] == ["backend1"]
    assert said in found.alarms[0].reason


def test_too_few_inferences_are_no_failure() -> None:
    first, second = pair()
    second["results"][1]["latency_ns"] = {"p50": None, "n": 4, "needed": {"p50": 11}}
    found = between(first, second, fail_slower=True)
    assert (found.exit_status, len(found.rows)) == (0, 2)
    assert "4 inferences, and p50 needs 11" in found.refused[0].reason


@pytest.mark.parametrize("scenario", ["server", "server,streams=2", "server,max_batch=8,wait=5ms"])
def test_the_largest_rates_are_compared_where_they_were_searched_for(scenario: str) -> None:
    """Twice the rate at half as long again is twice as good."""
    first, second = pair()
    for told, per_s, p50_ns in ((first, 100.0, 1e6), (second, 200.0, 1.5e6)):
        told["results"][0].update(scenario=scenario)
        told["results"][0]["throughput_per_s"] = {"value": per_s, "low": per_s, "high": per_s}
        told["results"][0]["latency_ns"]["p50"] = {"value": p50_ns, "low": p50_ns, "high": p50_ns}
        told["comparisons"] = []
    (row,) = [row for row in between(first, second).rows if row.pair.second.name == "backend0"]
    assert row.pair.second.figure == "throughput"
    assert row.ratio.value == pytest.approx(2.0)


def test_missing_rows_fail_only_where_that_is_asked() -> None:
    first, second = pair()
    del second["results"][2]
    second["comparisons"] = second["comparisons"][:1]
    assert between(first, second, fail_slower=True).exit_status == 0
    found = between(first, second, fail_missing=True)
    assert [(one.row, one.reason) for one in found.alarms] == [
        ("backend2", "missing in the second run")
    ]


def test_nothing_in_common_is_no_success() -> None:
    first, second = pair()
    for row in second["results"]:
        row["boundary"] = "device"
    assert between(first, second).exit_status == 2


@pytest.mark.parametrize("word", ["hosts", "", "kernel"])
def test_a_wrong_word_is_named(word: str) -> None:
    with pytest.raises(UsageError, match="--allow knows no"):
        between(*pair(), word)


def test_a_row_of_another_form_names_the_file() -> None:
    first, second = pair()
    del second["results"][0]["boundary"]
    with pytest.raises(UsageError, match="b is no result of xbench: KeyError 'boundary'"):
        between(first, second)


def test_a_doubt_that_may_be_the_reason_stands_beside_the_row() -> None:
    first, second = pair()
    second["results"][1]["cautions"] = [
        {"code": code, "text": "", "fix": ""} for code in ("throttled", "memory_varies")
    ]
    second["interrupted"] = True
    found = between(first, second)
    assert [str(one) for one in found.rows[1].pair.differing] == ["cautions: none → throttled"]
    assert found.second.cautions == ("interrupted",)


def test_rows_of_one_name_are_told_apart() -> None:
    first, second = pair()
    first["results"][1] |= {"backend": "backend0", "label": "backend0", "device": "cuda:0"}
    second["results"][1] |= {"backend": "backend0", "label": "backend0", "device": "cuda:0"}
    found = between(first, second)
    assert sorted(found.names.values()) == [
        "backend0, device cpu",
        "backend0, device cuda:0",
        "backend2, device cpu",
    ]
