"""An inspection in a terminal: whole, within its width, readable without colour."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.xbench.report.runs import HOSTILE
from xbench.acceptance import Answer, RefusedNode
from xbench.adapter import TensorSpec
from xbench.costs import NodeCost
from xbench.inspection import Inspection, Stored, Tensor
from xbench.model import Model
from xbench.report.inspection import count_text, render
from xbench.result import Status

COUNTS = st.none() | st.integers(0, 10**16)
NAMES = st.text(max_size=60) | st.just(HOSTILE)


def cost(name: str, operator: str = "MatMul", **own: object) -> NodeCost:
    fields: dict[str, object] = {
        "domain": "",
        "version": 13,
        "within": None,
        "flops": 0,
        "bytes": 8,
        "unknown": None,
    }
    return NodeCost(name=name, operator=operator, **{**fields, **own})  # type: ignore[arg-type] # by name


def inspection(
    nodes: tuple[NodeCost, ...] = (), backends: tuple[Answer, ...] = (), **own: object
) -> Inspection:
    model = Model(
        path=Path("toy.onnx"),
        name="toy",
        sha256="0123456789abcdef" * 4,
        opset=18,
        opsets={"": 18, "com.microsoft": 1},
        inputs=(TensorSpec("x", "float32", ("batch", 4)),),
        outputs=(TensorSpec("y", "float32", ("batch", 8)),),
        producer="pytorch 2.13",
    )
    found = Inspection(
        model=model,
        lengths={"batch": 2},
        inputs=(Tensor("x", "float32", (2, 4)),),
        outputs=(Tensor("y", "float32", (None, 8)), Tensor("z", "bool", None)),
        parameters=(Stored("float32", 3_504_872, 14_019_488), Stored("object", 3, None)),
        nodes=nodes,
        backends=backends,
    )
    return replace(found, **own)  # type: ignore[arg-type] # fields by name


KNOWN = (
    cost("a", flops=602_000_000, bytes=30_000_000),
    cost("b", "Relu", version=14, bytes=2048),
    cost("c", "Gelu", domain="com.microsoft", version=1, flops=None, bytes=None, unknown="why so"),
)
ANSWERS = (
    Answer(backend="onnxruntime", status=Status.OK, backend_version="1.32.0", how="loaded"),
    Answer(backend="pytorch", status=Status.OK, backend_version="2.13.0", how="checked"),
    Answer(
        backend="openvino",
        status=Status.UNSUPPORTED,
        backend_version="2026.4",
        reason="a node is not supported",
        fix="Another backend may run it",
        node=RefusedNode(name="c", operator="com.microsoft::Gelu", version=1, detail="no rule"),
    ),
    Answer(
        backend="acme",
        status=Status.UNAVAILABLE,
        reason="acme is not installed",
        fix="pip install acme",
    ),
)


def words(text: str) -> str:
    return " ".join(text.split())


def test_it_says_what_the_file_holds() -> None:
    text = words(render(inspection(KNOWN)))
    for fact in (
        "model toy, sha256 0123456789ab, made by pytorch 2.13",
        "operator sets ai.onnx 18, com.microsoft 1",
        "lengths batch = 2",
        "parameters 3.50 M float32 (13.4 MiB), 3 object (?)",
        "nodes 3, of 3 operators",
        "input x float32 2x4",
        "output y float32 ?x8",
        "output z bool ?",
    ):
        assert fact in text, fact


def test_each_operator_is_a_row_and_what_is_unknown_a_question_mark() -> None:
    lines = [words(line) for line in render(inspection(KNOWN)).splitlines()]
    assert "operator version nodes FLOP bytes moved FLOP/byte" in lines
    assert "MatMul 13 1 602 M 28.6 MiB 20.1" in lines
    assert "Relu 14 1 0 2.00 KiB 0" in lines
    assert "com.microsoft::Gelu 1 1 ? ? ?" in lines
    assert "in all 3 ? ? ?" in lines


def test_an_unknown_sum_is_explained_with_what_is_known() -> None:
    text = words(render(inspection(KNOWN)))
    assert "of 1 node a cost cannot be told before a run, c (Gelu). First: why so." in text
    assert "What is known makes 602 MFLOP and 28.6 MiB." in text
    assert "? means" not in words(render(inspection(KNOWN[:2])))


def test_what_is_counted_is_said() -> None:
    text = words(render(inspection(KNOWN[:2])))
    assert "one inference 602 MFLOP, 28.6 MiB moved, 20.1 FLOP a byte" in text
    assert "FLOP: Two for each multiply-add" in text
    assert "Bytes: The inputs, weights and outputs of each node" in text


def test_each_backend_answers_in_words() -> None:
    text = words(render(inspection(KNOWN, ANSWERS)))
    assert "onnxruntime 1.32.0 loads it" in text
    assert "pytorch 2.13.0 has every operator that it needs" in text
    assert "openvino 2026.4 unsupported" in text
    assert "node 'c' (com.microsoft::Gelu, version 1): no rule." in text
    assert "acme unavailable acme is not installed. pip install acme." in text
    assert "Nothing was run" in text
    assert "Backends" not in render(inspection(KNOWN))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "?"),
        (0, "0"),
        (64, "64"),
        (999, "999"),
        (1000, "1.00 k"),
        (999_499, "999 k"),
        (999_700, "1.00 M"),
        (3_504_872, "3.50 M"),
        (10**18, "1,000 P"),
    ],
)
def test_a_count_has_three_digits_and_a_prefix(count: int | None, text: str) -> None:
    assert count_text(count) == text


@given(st.integers(0, 10**20))
def test_a_count_reads_as_what_it_is(count: int) -> None:
    number, _, prefix = count_text(count).partition(" ")
    size = 1000.0 ** ["", "k", "M", "G", "T", "P"].index(prefix)
    assert float(number.replace(",", "")) * size == pytest.approx(count, rel=0.0051)


def test_many_inputs_do_not_fill_the_screen() -> None:
    cache = tuple(Tensor(f"past_{i}", "float32", (1, 2)) for i in range(60))
    text = render(inspection(KNOWN, inputs=cache))
    assert "past_23" in text
    assert "past_24" not in text
    assert "and 36 more" in text


def test_colour_adds_nothing_to_read() -> None:
    found = inspection(KNOWN, ANSWERS)
    plain, coloured = render(found), render(found, colour=True)
    assert "\x1b[" in coloured
    without = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in without.splitlines()] == plain.splitlines()


@st.composite
def inspections(draw: st.DrawFn) -> Inspection:
    nodes = st.builds(
        NodeCost,
        name=NAMES,
        domain=st.sampled_from(["", "com.microsoft"]) | NAMES,
        operator=NAMES,
        version=st.integers(1, 30),
        within=st.none(),
        flops=COUNTS,
        bytes=COUNTS,
        unknown=st.none() | NAMES,
    )
    refused = st.builds(
        RefusedNode,
        name=NAMES,
        operator=NAMES,
        version=st.none() | st.integers(1, 30),
        detail=NAMES,
    )
    answers = st.builds(
        Answer,
        backend=NAMES,
        status=st.sampled_from(Status),
        backend_version=st.none() | NAMES,
        how=st.sampled_from([None, "loaded", "checked"]),
        reason=st.none() | NAMES,
        fix=st.none() | NAMES,
        node=st.none() | refused,
    )
    shapes = st.none() | st.lists(st.none() | st.integers(0, 10**6), max_size=6).map(tuple)
    tensors = st.builds(Tensor, NAMES, st.sampled_from(["float32", "float8_e4m3fnuz"]), shapes)
    return inspection(
        tuple(draw(st.lists(nodes, max_size=5))),
        tuple(draw(st.lists(answers, max_size=3))),
        inputs=tuple(draw(st.lists(tensors, max_size=4))),
        lengths=draw(st.dictionaries(NAMES, st.integers(1, 10**6), max_size=3)),
    )


@given(inspections(), st.sampled_from([72, 80, 100]))
def test_no_line_is_wider_than_the_terminal(found: Inspection, width: int) -> None:
    text = render(found, width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
