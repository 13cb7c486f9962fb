"""From launches to a row: the parts add up, and what is unknown stays so."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xbench.telemetry.footprint import doubts, of_row, relative_spread, width

PHASES = ("interpreter", "import", "inputs", "load", "first", "warm", "steady")
FIGURES = ("peak", "rss", "pss", "private", "anonymous", "file", "swap", "children")


def told(rss: list[int], above: list[int], **own: Any) -> dict[str, Any]:
    """Return what a launch told, with this resident in each phase and a peak so far above it."""
    phases = {}
    for phase, size, more in zip(PHASES, rss, above, strict=True):
        phases[phase] = {**dict.fromkeys(FIGURES, 0), "rss": size, "peak": size + more}
    fields: dict[str, Any] = {
        "not_reset": None,
        "child_at_most": None,
        "children_seen": True,
        "options": {},
    }
    return {"phases": phases, **fields, **own}


GROWN = [10, 60, 70, 170, 190, 200, 195]
SIZES = st.lists(st.integers(0, 10**12), min_size=7, max_size=7)
LAUNCH = st.builds(told, SIZES, SIZES)


def test_import_inputs_and_model_stand_apart() -> None:
    found = of_row([told(GROWN, [0, 500, 0, 90, 0, 0, 5])])
    assert found["host"] == 260  # while it loaded; the import's own peak is not the model's
    assert found["import"]["median"] == 50
    assert found["inputs"]["median"] == 10
    assert found["model"]["peak"]["median"] == 190
    assert found["model"]["resident"]["median"] == 125


@given(LAUNCH)
def test_the_parts_add_up_to_the_headline(launch: dict[str, Any]) -> None:
    found = of_row([launch])
    parts = (found["import"], found["inputs"], found["model"]["peak"])
    interpreter = found["phases"]["interpreter"]["rss"]
    assert interpreter + sum(part["median"] for part in parts) == found["host"]


@given(st.lists(LAUNCH, min_size=1, max_size=6))
def test_a_median_lies_between_the_least_and_the_most(launches: list[dict[str, Any]]) -> None:
    found = of_row(launches)
    for spread in (found["peak"], found["import"], found["inputs"], *found["model"].values()):
        assert spread["min"] <= spread["median"] <= spread["max"]
    assert found["host"] == found["peak"]["median"]
    assert relative_spread(launches) >= 0


def test_what_the_allocator_keeps_free_is_not_held() -> None:
    """Two launches that differ in free heap alone hold the same; an older run does not tell."""
    tight, loose = told(GROWN, [0] * 7), told([*GROWN[:-1], 245], [0] * 7)
    tight["phases"]["steady"]["free"], loose["phases"]["steady"]["free"] = 5, 55
    found = of_row([tight, loose])
    assert found["held"] == {"median": 190, "min": 190, "max": 190}
    assert width(found["held"]) == 0
    assert of_row([told(GROWN, [0] * 7)])["held"] is None


def test_a_row_of_an_older_run_has_no_memory() -> None:
    assert of_row([]) == {}
    assert relative_spread([]) == 0
    assert doubts([]) == ()


def test_what_a_kernel_did_not_tell_is_none_and_never_zero() -> None:
    silent = told(GROWN, [0] * 7)
    silent["phases"]["load"]["peak"] = None
    found = of_row([told(GROWN, [0] * 7), silent])
    assert found["host"] is None
    assert found["model"]["peak"] is None
    assert found["import"]["median"] == 50
    assert relative_spread([silent]) == 0


def test_every_doubt_is_said_once() -> None:
    doubtful = told(GROWN, [0] * 7, not_reset="Permission denied", children_seen=False)
    doubtful["phases"]["steady"]["swap"] = 5_000_000
    said = doubts([told(GROWN, [0] * 7), doubtful, doubtful])
    assert len(said) == 3
    assert "Permission denied" in said[0]
    assert "5 MB" in said[2]
