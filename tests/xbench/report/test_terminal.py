"""The table: honest, readable without colour, and within its width."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.xbench.report.runs import (
    HOSTILE,
    NO_RAPL,
    cell,
    interval,
    memory,
    run_of,
    runs,
    typical,
    versus,
)
from xbench.report.terminal import render
from xbench.report.text import clean
from xbench.report.view import groups
from xbench.result import Caution, Parity, Run, Status


def line_with(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


def test_a_row_reads_from_rank_to_agreement() -> None:
    row = line_with(render(typical()), "openvino")
    assert re.match(r"1 +openvino +4.120 ms +needs 662 +243 +1.19 \[1.17, 1.21\] +agree$", row)


def test_rows_stand_by_rank_and_ties_share_one() -> None:
    lines = [line.split()[:2] for line in render(typical()).splitlines() if re.match(r"\d", line)]
    assert [rank for rank, _ in lines] == ["1", "2=", "2=", "2=", "4"]
    assert [name for _, name in lines][::4] == ["openvino", "pytorch"]


def test_every_verdict_is_a_word() -> None:
    text = render(typical())
    for word in ("baseline", "faster", "tie", "slower", "undetermined"):
        assert word in text


def test_rows_that_may_not_be_compared_stand_below_with_reason_and_fix() -> None:
    text = render(typical())
    below = text[text.index("Not ranked") :]
    assert "tensorflow  unavailable" in below
    assert "tensorflow is not installed." in below
    assert "pip install 'xbench[tensorflow]'." in below
    assert "acme  parity failed  (measured p50 3.000 ms, not to be compared)" in below
    assert "output 'logits' differs by 0.031 of its largest value." in below


def test_conditions_name_the_machine_and_the_effort() -> None:
    text = " ".join(render(typical()).split())
    for fact in (
        "cpu A CPU, virtual machine, 2 threads",
        "fp32 asked for and held by every row",
        "600 to 700 timed",
    ):
        assert fact in text
    assert "60 in 5 launches a row, 92% quiet, seed 7, 1 min 58 s in all" in text


@pytest.mark.parametrize(
    ("parameters", "flops", "said"),
    [
        (3_504_872, 601_000_000, "3.5 M parameters, 601 MFLOP an inference"),
        (262_144, None, "262 k parameters"),
        (12, 0, "12 parameters, 0 FLOP an inference"),
        (None, None, "model toy\n"),
    ],
)
def test_a_model_is_sized_with_a_fitting_prefix(
    parameters: int | None, flops: int | None, said: str
) -> None:
    model = {"name": "toy", "parameters": parameters, "flops": flops}
    text = render(run_of((), model=model, host={}, spec={}, timing={}))
    assert said in re.sub(r" +", " ", text)


def test_rounds_that_the_verdict_leaves_out_are_reported() -> None:
    a, b = cell(0, "a", 1e6, 1), cell(1, "b", 1e6, 2)
    pair = versus(a, b, interval(1.05), "faster", quiet_share=0.8, disturbed_ratio=0.91)
    text = " ".join(render(run_of((a, b), (pair,))).split())
    assert "80% quiet" in text
    assert "ratio in the rounds that were not quiet: b 0.91" in text


def test_a_precision_that_was_not_held_names_its_row() -> None:
    other = cell(0, "a", 1e6, 1, precision={"requested": "fp32", "effective": "bf16"})
    silent = cell(1, "b", 1e6, 1, precision={"requested": "fp32", "effective": None})
    text = " ".join(render(run_of((other, silent))).split())
    assert "fp32 asked for; effective: bf16 (a); not told by the runtime (b)" in text


def test_rows_of_two_precisions_stand_in_one_table_by_their_names() -> None:
    wide = cell(0, "litert", 2e6, 2)
    narrow = cell(1, "litert:int8", 1e6, 1, precision={"requested": "int8", "effective": "int8"})
    pair = versus(wide, narrow, interval(2.0), "faster")
    text = " ".join(render(run_of((wide, narrow), (pair,))).split())
    assert "held by every row: fp32 (litert); int8 (litert:int8)" in text
    assert "litert:int8 is 1.98 to 2.02 times as fast as litert" in text


def test_a_row_of_less_precision_tells_its_loss_and_one_of_fp32_none() -> None:
    """How far the outputs lie from the fp32 reference stands under whether they agree."""
    parity = Parity("agrees", "onnxruntime:reference", 0.1, 0.00412, 0.9999, "logits")
    fine = cell(0, "a", 4e6, 2, label="a fp32", parity=parity)
    held = {"requested": "fp16", "effective": "fp16"}
    half = cell(1, "a", 2e6, 1, label="a fp16", precision=held, parity=parity)
    text = render(run_of((fine, half), (versus(fine, half, interval(2.0), "faster"),)))
    assert re.search(r"a fp16 .* agree\n .*off 0.41%", text)
    assert text.count("off ") == 1


def test_devices_are_compared_in_one_table_by_their_names() -> None:
    """To choose a device, its rows stand beside each other."""
    cpu = cell(0, "a", 4e6, 2, label="a cpu")
    gpu = cell(1, "a", 1e6, 1, label="a cuda:0", device="cuda:0")
    (group,) = groups(run_of((cpu, gpu), (versus(cpu, gpu, interval(4.0), "faster"),)))
    assert [row.backend for row in group.rows] == ["a cuda:0", "a cpu"]
    assert group.comparisons[0].candidate == "a cuda:0"


def test_a_gpus_rows_tell_its_memory_and_where_the_time_goes() -> None:
    """Three figures of memory and three of time, none of which is another."""
    figures = {"process_peak": {"median": 700 << 20}}
    told = {"device": 600 << 20, "allocator": 99 << 20, "device_figures": figures}
    split = {"host": 1.0e6, "device": 0.8e6, "compute": None}
    gpu = cell(0, "a", 1e6, 1, memory_bytes={"host": None} | told, boundaries_ns=split)
    text = render(run_of((gpu, cell(1, "b", 2e6, 2))))
    assert re.search(
        r"GPU memory +used +by process +allocator\na +600 MiB +700 MiB +99.0 MiB\n\n", text
    )
    assert re.search(r"boundary +host +device +compute\na +1.00 ms +800 µs +-\n\n", text)


def test_it_says_who_ran_the_model_in_its_own_form() -> None:
    own = cell(0, "keras", 1e6, 1, importer="as it is: model.keras")
    other = cell(1, "tensorflow", 1e6, 1, importer="xbench 1 (tf.function, 3 nodes)")
    reader = cell(2, "onnxruntime", 1e6, 1)
    text = " ".join(render(run_of((own, other, reader))).split())
    assert "keras ran it as it was given; tensorflow, onnxruntime its ONNX export" in text
    assert "as it was given" not in render(run_of((other, reader)))


def test_memory_stands_in_a_table_of_its_own_for_the_rows_that_told_it() -> None:
    lines = [line.split() for line in render(typical()).splitlines()]
    at = lines.index(["memory", "peak", "steady", "import", "model"])
    assert " ".join(lines[at + 1]) == "onnxruntime 220 MiB 181 MiB 45.0 MiB 130 MiB"
    assert lines[at + 2] == []


def test_memory_of_another_batch_is_named_by_it_and_what_is_unknown_a_dash() -> None:
    held = memory(None, 50 << 20, 10 << 20, None)
    rows = tuple(cell(i, "a", 1e6, 1, batch=i + 1, memory_bytes=held) for i in range(2))
    text = render(run_of(rows))
    assert re.search(r"a \(batch 2\) +- +50.0 MiB +10.0 MiB +-\n", text)
    assert "memory" not in render(run_of((cell(0, "a", 1e6, 1),)))


def test_energy_stands_in_a_table_of_its_own_for_the_rows_that_were_metered() -> None:
    """The others say why they were not."""
    lines = [" ".join(line.split()) for line in render(typical()).splitlines()]
    at = lines.index("energy per inference running idle label scope")
    figures = "41.2 mJ [40.8, 41.6] 61.44 W 9.100 W measured:counter package"
    assert lines[at + 1] == f"onnxruntime {figures}"
    why = "energy not measured: (openvino) there is no RAPL here. Measure on the bare machine."
    assert why in " ".join(lines)


def test_where_no_row_was_metered_one_line_says_why() -> None:
    rows = tuple(cell(i, "ab"[i], 1e6, 1, energy=NO_RAPL) for i in range(2))
    text = " ".join(render(run_of(rows)).split())
    assert "energy not measured: there is no RAPL here. Measure on the bare machine." in text
    assert text.count("energy") == 1
    assert "energy" not in render(run_of((cell(0, "a", 1e6, 1),)))


def test_a_caution_that_rows_share_is_written_once() -> None:
    doubt = Caution("few_samples", "too few samples", "Give it more --time-budget")
    rows = (cell(0, "a", 1e6, 1, cautions=(doubt,)), cell(1, "b", 1e6, 1, cautions=(doubt,)))
    text = " ".join(render(run_of(rows)).split())
    assert "few_samples a, b: too few samples. Give it more --time-budget." in text
    assert text.count("too few samples") == 1


def test_batches_are_ranked_apart() -> None:
    rows = tuple(cell(i, "ab"[i % 2], 1e6, 1 + i % 2, batch=(1, 8)[i // 2]) for i in range(4))
    text = render(run_of(rows))
    assert text.index("batch 1") < text.index("batch 8")
    assert "1=" not in text  # rank 1 of another batch is no tie


def test_an_interrupted_run_says_how_to_finish_it() -> None:
    text = render(run_of((cell(0, "a", 1e6, 1),), folder="runs/my run", interrupted=True))
    assert "Finish it with: xbench compare --resume 'runs/my run'" in text


@pytest.mark.parametrize("colour", [False, True])
def test_hostile_names_stay_text(colour: bool) -> None:
    plain = render(run_of((cell(0, HOSTILE, status=Status.CRASHED, reason=HOSTILE),)))
    assert "[red]evil[/red]" in plain
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", plain)


def test_colour_adds_nothing_to_read() -> None:
    plain, coloured = render(typical()), render(typical(), colour=True)
    assert "\x1b[" in coloured
    without = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in without.splitlines()] == plain.splitlines()


@given(runs(), st.sampled_from([72, 80, 100]))
def test_no_line_is_wider_than_the_terminal(run: Run, width: int) -> None:
    text = render(run, width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "\x1b" not in text


@given(runs())
def test_every_row_is_shown_once(run: Run) -> None:
    """A row stands in its group's table, or below it with its status."""
    shown = [row.backend for group in groups(run) for row in group.rows]
    below = [row.backend for group in groups(run) for row in group.unranked]
    assert sorted(shown + below) == sorted(clean(row.backend) for row in run.results)
    text = " ".join(render(run).split())
    for row in (row for group in groups(run) for row in group.unranked):
        assert row.status in text


def test_a_ratio_is_never_broken_over_lines() -> None:
    a, b = cell(0, "a" * 60, 480.2e9, 1), cell(1, "b" * 60, 480.3e9, 2)
    text = render(run_of((a, b), (versus(a, b, interval(1.0037, 0.0021), "tie"),)))
    assert "1.004 [1.002, 1.006]" in text
