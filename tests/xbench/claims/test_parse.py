"""Files of claims: what they mean, and that every error names its line and field."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.claims.made import HEAD, RATIO, claim_of, file_of, line_of, text_of
from xbench.claims.claim import Kind, Side
from xbench.claims.parse import parse
from xbench.errors import UsageError


def error_of(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(text.encode(), "made.yaml", Path("made.yaml"))
    return caught.value


def test_a_claim_takes_what_the_defaults_say() -> None:
    claim = claim_of(RATIO)
    assert (claim.kind, claim.value, claim.tolerance) == (Kind.RATIO, 2.0, 0.25)
    assert claim.sides == (Side("onnxruntime", "fp32"), Side("openvino", "fp32"))
    assert (claim.source.name, claim.subject.name, claim.batch) == ("blog", "small", 1)


def test_what_is_written_stays_as_it_is() -> None:
    """A version 1.10 is not the number 1.1, and a year no count."""
    source = file_of(RATIO).sources[0]
    assert source.software["onnxruntime"] == "1.10"
    assert (source.date, source.retrieved) == ("2024-08", "2026-11-26")


def test_a_path_is_meant_from_the_files_own_folder() -> None:
    """A name from `xbench models` and a factory stay as they are."""
    for run, meant in (
        ("tiny.onnx", "/some/where/tiny.onnx"),
        ("./models/a", "/some/where/models/a"),
        ("/else/tiny.onnx", "/else/tiny.onnx"),
        ("resnet50", "resnet50"),
        ("package.module:make", "package.module:make"),
    ):
        text = text_of(RATIO).replace("tiny.onnx", run)
        found = parse(text.encode(), "made.yaml", Path("/some/where/made.yaml"))
        assert found.subjects[0].run == meant


@pytest.mark.parametrize(
    ("figures", "ratio"),
    [
        ("{baseline: 30 ms, candidate: 15 ms}", 2.0),
        ("{baseline: 0.03 s, candidate: 15000us}", 2.0),
        ("{baseline: 10 /s, candidate: 25 fps}", 2.5),
    ],
)
def test_a_ratio_comes_from_the_figures(figures: str, ratio: float) -> None:
    """Latencies are divided by the candidate's, rates by the baseline's: above 1 is faster."""
    claim = claim_of(RATIO.replace("ratio: 2", f"figures: {figures}"))
    assert claim.value == pytest.approx(ratio)


def test_a_row_may_have_a_precision_of_its_own() -> None:
    text = RATIO.replace(
        "candidate: openvino", "candidate: {backend: litert:int8, precision: int8}"
    )
    assert claim_of(text).sides[1] == Side("litert:int8", "int8")
    assert claim_of(text).precisions == ("fp32", "int8")


def test_a_tie_is_not_what_other_claims_may_miss() -> None:
    """An order that says nothing of a tie calls 2 % one, whatever the defaults tolerate."""
    text = """
    - {id: b, kind: faster, baseline: onnxruntime, candidate: openvino}
    - {id: c, kind: faster, baseline: onnxruntime, candidate: openvino, tolerance: 5%}
    """
    assert [claim.tolerance for claim in file_of(text).claims] == [0.02, 0.05]


@pytest.mark.parametrize(
    ("old", "new", "at", "said"),
    [
        ("kind: ratio", "kind: ration", "kind:", "Did you mean 'ratio'?"),
        ("ratio: 2", "ratio: two", "ratio: two", "claims[0].ratio is 'two', not a number above"),
        ("ratio: 2", "ratio: 0", "ratio: 0", "not a number above zero"),
        ("ratio: 2", "ratios: 2", "ratios: 2", "'ratios' is not known. Did you mean 'ratio'?"),
        ("ratio: 2", "note: x", "- id: a", "has neither figures nor a ratio"),
        ("ratio: 2", "ratio: [2]", "ratio: [2]", "is a list, not a text"),
        ("ratio: 2", "ratio: 2\n  ratio: 3", "ratio: 3", "'ratio' is there twice, first in line"),
        ("ratio: 2", "ratio: !!python/name:os.system 2", "ratio:", "has the tag"),
        ("ratio: 2", "ratio: ~", "ratio: ~", "claims[0].ratio is empty"),
        ("openvino\n", "onnxruntime\n", "- id: a", "compares a row with itself"),
        ("candidate: openvino\n", "candidate: all\n", "candidate: all", "not a backend"),
        ("  candidate: openvino\n", "", "- id: a", "has no 'candidate'"),
        ("id: a", "id: a b", "id: a b", "is 'a b', not an id"),
        ("tolerance: 25%", "tolerance: 0%", "tolerance: 0%", "not a share above zero"),
        ("tolerance: 25%", "tolerance: -3", "tolerance: -3", "not a share above zero"),
        ("batch: 1", "batch: 1.5", "batch: 1.5", "not a whole number above zero"),
        ("source: blog", "source: bog", "source: bog", "Did you mean 'blog'?"),
        ("model: small", "model: tall", "model: tall", "There are small, other"),
        ("date: 2024-08", "date: last year", "date: last", "sources.blog.date is 'last year'"),
        ("date: 2024-08", "date: 2024-13", "date: 2024-13", "not in the calendar"),
        ("    date: 2024-08\n", "", "title: \"Fast", "sources.blog has no 'date'"),
        ("retrieved: 2026-11-26", "retrieved: 2026", "retrieved: 2026\n", "not a day"),
        ("https://example.org/fast", "example.org", "url: example", "not a web address"),
        ("architecture: x86_64", "architecture: x87", "x87", "There are x86_64"),
        ("device: cpu, model", "device: tpu, model", "tpu", "There are cpu, cuda"),
        ("rebuilt: []", "rebuilt: [colour]", "[colour]", "models.small.rebuilt[0] is 'colour'"),
        ("    rebuilt: []\n", "", "published: a small", "models.small has no 'rebuilt'"),
        ("rebuilt: []", "rebuilt: []\n    shapes: {x: 1xN}", "1xN", "not a shape"),
        ("schema: 1", "schema: 2", "schema: 2", "is '2', not 1"),
        ("schema: 1\n", "", "title: Two", "has no 'schema'"),
        ("title: Two runtimes on a small network\n", "", "schema: 1", "has no 'title'"),
    ],
)  # fmt: skip
def test_an_error_names_the_line_and_the_field(old: str, new: str, at: str, said: str) -> None:
    text = text_of(RATIO).replace(old, new, 1)
    assert text != text_of(RATIO)
    told = str(error_of(text))
    line = line_of(text + "\n", at.rstrip("\n"))
    assert told.startswith(f"made.yaml, line {line}: "), told
    assert said in told


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ("{baseline: 30, candidate: 15}", "is '30', not a figure with its unit"),
        ("{baseline: 30 ms, candidate: 15 /s}", "not of the unit of the baseline"),
        ("{baseline: 30 ms}", "has no 'candidate'"),
        ("{baseline: 0 ms, candidate: 15 ms}", "not a figure with its unit"),
        ("{baseline: 30 ms, candidate: 15 ms}\n  ratio: 3", "is '3', not the 2 of its figures"),
    ],
)
def test_figures_that_do_not_fit_are_refused(figures: str, said: str) -> None:
    assert said in str(error_of(text_of(RATIO.replace("ratio: 2", f"figures: {figures}"))))


def test_the_same_id_twice_is_refused_with_both_lines() -> None:
    text = text_of(RATIO, RATIO)
    first = line_of(text, "- id: a")
    told = str(error_of(text))
    assert f"line {first + 5}:" in told
    assert f"the claim in line {first}" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("schema: 1\ntitle: [", "line 2: this is no YAML"),
        ("a: 1\n---\nb: 2\n", "this is no YAML"),
        ("- 1\n", "not a mapping"),
        ("[" * 2000, "nested too deeply"),
        ("a: &a [*a]\n", "'a' is not known"),
        ("#" * (1 << 20) + "\n", "too large"),
        (HEAD, "claims is '', not a list"),
        (HEAD.replace("claims:", "claims: []"), "claims has no entry"),
    ],
)
def test_what_is_no_file_of_claims_is_said(text: str, said: str) -> None:
    assert said in str(error_of(text))


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        parse(b"title: \xff\xfe", "made.yaml", Path("made.yaml"))


@given(st.integers(0, len(text_of(RATIO)) - 1), st.text(max_size=4))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(at: int, put: str) -> None:
    """Whatever is typed into a file, it is either a file of claims or an error for its user."""
    text = text_of(RATIO)
    damaged = text[:at] + put + text[at + 1 :]
    told = ""
    try:
        claims = parse(damaged.encode("utf-8", "surrogatepass"), "made.yaml", Path("m")).claims
    except UsageError as error:
        claims, told = (), str(error)
    assert claims or told.startswith("made.yaml")
