"""The answer as a buyer reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from tests.xbench.report.html.test_reproduce import asked_by
from tests.xbench.report.runs import HOSTILE
from tests.xbench.sizing.made import (
    GIB,
    MIB,
    NPU,
    bare,
    demand,
    device,
    failed,
    least,
    measured,
)
from xbench.profiles import Profile, profiles
from xbench.report.document import to_text
from xbench.report.sizing import markdown, render
from xbench.report.sizing_figures import range_text
from xbench.report.sizing_notes import commands
from xbench.result import Status
from xbench.sizing.answer import TEMPLATE, Caps, Sizing
from xbench.sizing.document import to_json
from xbench.sizing.judge import judge
from xbench.sizing.rows import Measured

FAST = device("quick", gflops=400.0, gbytes=40.0)
SLOW = device("slow", gflops=10.0, gbytes=4.0, accelerators=(NPU,))
ROWS = (measured(), measured("other", 50.0), failed("odd", Status.UNSUPPORTED, "no Foo here"))


def sizing(
    *asked: Profile, rows: tuple[Measured, ...] = ROWS, slo: str = "p99=50ms", rate: float = 30.0
) -> Sizing:
    load = demand(rate, slo)
    answers = tuple(judge(one, rows, least(), load, "fp32") for one in asked)
    return Sizing(
        model="model.onnx",
        demand=load,
        host="A CPU",
        cpus=2,
        spec=TEMPLATE,
        least=least(),
        caps=(Caps(2, tuple(one.name for one in asked), rows, None),),
        answers=answers,
        folder="xbench-runs/made",
        stopped=False,
    )


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_first_sentence_is_the_answer() -> None:
    text = flat(render(sizing(FAST, SLOW, bare())))
    assert (
        "30 a second at p99 within 50 ms: of 3 profiles 1 fits by the model, 1 fits as bare caps"
        " on this host and 1 does not fit." in text
    )
    assert "No device was at hand" in text


def test_nothing_modelled_is_said_to_be_measured() -> None:
    """Every line of the table says what it rests on, and what is measured names this host."""
    text = render(sizing(FAST, bare()))
    table = text.partition("profile ")[2].partition("Below each")[0]
    assert table.count("modelled") == 1
    assert table.count("capped") == 1
    assert "measured" not in table
    assert "Measured here, on the host, capped to 2 threads" in flat(text)


def test_what_does_not_fit_has_its_reason_and_its_other_processors() -> None:
    text = flat(render(sizing(SLOW)))
    assert "slow on its cores one inference takes 100 ms at the least, computed." in text
    assert "Not sized, and computed at the least: NPU 1 ms." in text


def test_a_backend_that_did_not_run_is_there_with_its_reason() -> None:
    assert "odd unsupported: no Foo here. Do something." in flat(render(sizing(FAST)))


def test_a_doubt_about_the_row_that_an_answer_rests_on_is_told_once() -> None:
    noisy = (("noisy", "the machine was disturbed"), ("budget_spent", "as it was asked to"))
    rows = (measured(doubts=noisy), measured("other", 50.0, doubts=(("slow", "nobody asks"),)))
    text = flat(render(sizing(FAST, bare(), rows=rows)))
    assert text.count("noisy fast (2 threads)") == 1
    assert "slow other" not in text
    assert "budget_spent" not in text
    assert "noisy: fast" in markdown(sizing(FAST, rows=rows))


def test_a_host_that_was_at_work_for_others_is_told_before_the_table() -> None:
    disturbed = (("disturbed", "the machine was never quiet for long"),)
    text = flat(render(sizing(FAST, rows=(measured(doubts=disturbed),))))
    assert "at work for others meanwhile (disturbed)" in text.partition("profile ")[0]
    assert "at work for others" not in flat(render(sizing(FAST)))


def test_the_way_to_know_it_is_a_command() -> None:
    assert "xbench compare model.onnx --backends fast --scenario server --slo p99=50ms" in flat(
        render(sizing(FAST))
    )


def test_the_command_for_the_device_asks_for_the_model_that_was_sized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same file, weights, shapes and precision; nothing of how long it was measured here."""
    own: dict[str, Any] = {
        "shapes": {"ids": (1, 128)},
        "precision": "int8",
        "seed": 9,
        "inputs": "my feeds.npz",
        "trust": True,
    }
    found = sizing(FAST)
    (text,) = commands(replace(found, spec=replace(found.spec, **own)))
    asked = asked_by(text, monkeypatch)
    assert (asked.scenario, asked.slo, asked.backends) == ("server", "p99=50ms", ("fast",))
    assert {name: getattr(asked, name) for name in own} == own
    assert asked.time_budget_s > TEMPLATE.time_budget_s


def test_sizes_of_one_device_share_a_line() -> None:
    sizes = [
        replace(FAST, name=f"quick-{size}gb", family="quick", memory=memory)
        for size in (2, 4)
        for memory in (replace(FAST.memory, size_bytes=size * GIB),)
    ]
    text = render(sizing(*sizes))
    assert "quick-2gb, -4gb" in text
    assert "of ≥2,048 MiB" in text


@pytest.mark.parametrize("slo", ["p99=50ms", "p99=5ms", "p50=1s", "p99=100us"])
@pytest.mark.parametrize("rate", [0.5, 3000.0])
def test_every_answer_fits_80_columns_and_is_strict_json(slo: str, rate: float) -> None:
    found = sizing(*profiles(), FAST, SLOW, bare(), slo=slo, rate=rate)
    assert max(map(cell_len, render(found).splitlines())) <= 80
    told = json.loads(to_text(to_json(found)))
    assert told["kind"] == "sizing"
    assert [one["profile"] for one in told["profiles"]][-3:] == ["quick", "slow", "caps"]
    for one in told["profiles"]:
        if one["devices"] is not None:
            assert 1 <= one["devices_at_least"] <= one["devices"]
            assert one["best"]["latency_s"]["high"] <= told["demand"]["slo"]["limit_s"]
        if one["verdict"] in ("unknown", "does not fit"):
            assert one["reason"]
    assert markdown(found).startswith("## xbench size: model.onnx at")


def test_hostile_names_do_no_harm() -> None:
    rows = (measured(HOSTILE), failed(HOSTILE, why=HOSTILE))
    found = replace(
        sizing(replace(FAST, name=HOSTILE, family=HOSTILE), rows=rows),
        model=HOSTILE,
        folder=HOSTILE,
    )
    text = render(found)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "\x1b" not in markdown(found)


def test_a_near_memory_says_how_to_find_out() -> None:
    tight = device("tight", memory=110 * MIB, gflops=400.0, gbytes=40.0)
    text = flat(render(sizing(tight, rows=(measured(peak=100 * MIB),))))
    assert "whether fast fits into 110 MiB: under a larger cap it peaked at 100 MiB" in text


def test_ranges_have_one_unit_and_no_powers_of_ten() -> None:
    assert range_text(0.0161, 0.0654, 2) == "16 to 65 ms"
    assert range_text(0.000_95, 1.5, 2) == "0.00095 to 1.5 s"
    assert range_text(0.00881, 0.00882, 2) == "8.8 ms"
    assert range_text(12.3, 4560.0, 2) == "12 to 4600 s"


def test_an_interrupted_sizing_says_so() -> None:
    found = replace(sizing(FAST), stopped=True)
    assert "Interrupted" in render(found)
    assert found.exit_status == 130
