"""The page: what it says, what it must not contain, and that names do no harm."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.report.html.made import generated, with_names
from tests.xbench.report.runs import runs, typical
from xbench.report import document
from xbench.report.html import page
from xbench.report.recall import run_of
from xbench.report.text import clean
from xbench.report.verdict import verdicts
from xbench.report.view import groups
from xbench.result import Run

_ELEMENTS = """
a bdi body code dd details div dl dt fieldset figcaption figure footer h1 h2 h3 h4 head header
html input label legend li main meta nav ol p section span strong style summary table tbody td th
thead title tr ul svg g path text rect line clippath defs
"""
ELEMENTS = frozenset(_ELEMENTS.split())
MEGABYTE = "x" * 2**20
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</style></svg></title><script src=//evil.example></script>",
    "{{ 7 * 7 }} {% raw %} ${x} javascript:alert(1)",
    "\u202eevil\u2066 \u05d0\u05d1\u05d2 \u0645\u0631\u062d",
    "datum.x'] + signal",
    "\x00\x1b]0;owned\x07\ud7ff",
    MEGABYTE,
)


class Reader(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, name: str) -> list[str]:
        """Return all values of an attribute."""
        return [value for _, own, value in self.attributes if own == name]


def told(run: Run) -> dict[str, Any]:
    return dict(json.loads(document.render(run)))


def check_harmless(text: str) -> Reader:
    """Assert that a page can neither run, load nor restyle anything."""
    read = Reader(text)
    assert read.elements <= ELEMENTS, read.elements - ELEMENTS
    names = {name for _, name, _ in read.attributes}
    assert not {name for name in names if name.startswith("on")}
    assert not names & {"style", "src", "srcset", "action", "formaction", "background", "data"}
    assert all(value.startswith("#") for value in read.of("href") + read.of("xlink:href"))
    identifiers = read.of("id")
    assert len(set(identifiers)) == len(identifiers)
    referred = {
        word for name in ("aria-labelledby", "for") for v in read.of(name) for word in v.split()
    }
    assert referred <= set(identifiers)
    assert {one[1:] for one in read.of("href")} <= set(identifiers)
    assert set(read.of("clip-path")) <= {f"url(#{one})" for one in identifiers}
    return read


def test_the_page_says_what_the_terminal_says() -> None:
    read = Reader(page([told(typical())]))
    words = clean("".join(read.text))
    for verdict in verdicts(typical()):
        assert verdict in words
    for group in groups(typical()):
        for row in group.rows:
            assert all(part in words for part in (row.backend, row.p50, row.ratio))
        for one in group.unranked:
            assert all(clean(part) in words for part in (one.backend, one.status, one.fix))
    for caution in typical().cautions:
        assert caution.code in words


def test_the_policy_allows_the_one_style_sheet_and_nothing_else() -> None:
    text = page([told(typical())])
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [v for v in Reader(text).of("content") if v.startswith("default-src")]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_every_chart_of_a_full_run_is_drawn_with_its_table() -> None:
    """Rows in two groups have all eight kinds of charts, and nothing is left out."""
    made, samples = generated(6, 2)
    text = page([made], [samples])
    read = check_harmless(text)
    figures = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    assert len(figures) == 2 + 2 + 1 + 1 + 1 + 2 + 1 + 1
    for figure in figures:
        assert figure.count("<svg") in (1, 2)  # for any screen, or for a wide and a narrow one
        assert figure.count("<path") > 5
        assert re.search(r"<details>.*<tbody>\s*<tr>", figure, re.DOTALL)
    assert "Not drawn" not in "".join(read.text)


def test_a_chart_without_data_is_left_out_with_a_sentence() -> None:
    """A document has no samples; one batch size has no trade-off; nobody measured the roofline."""
    words = clean("".join(Reader(page([told(typical())])).text))
    assert "Distribution of latency: The samples of this run are not at hand" in words
    assert "Throughput against latency: All rows have one batch size" in words
    assert "Roofline: The roofline was not asked for" in words


def test_several_runs_are_told_apart_by_what_differs() -> None:
    first, second = told(typical()), told(typical())
    second["host"]["kernel"] = "Linux 9"
    second["host"]["load_average"] = [9, 9, 9]
    second["run_id"] = "other"
    text = page([first, second])
    read = check_harmless(text)
    words = clean("".join(read.text))
    assert "host kernel" in words
    assert "load average" not in words.split("Machine and settings")[0]
    assert {"run1", "run2"} <= set(read.of("id"))


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_does_no_harm_wherever_it_stands(name: str) -> None:
    """In a model, a host, a version, a caution, a reason: escaped, isolated and kept short."""
    made, samples = generated(2, 1, rounds=8)
    run = with_names(run_of(made), name)
    text = page([told(run)], [samples])
    check_harmless(text)
    assert len(text.encode()) < 2_000_000
    hidden = set(text) & set("\u202e\u2066\u2069\u200f\x00\x1b\x07")
    assert not hidden


def test_a_name_of_another_direction_is_isolated() -> None:
    """What follows a Hebrew name stands where it would after a Latin one."""
    name = "\u05d0\u05d1\u05d2"
    text = page([told(with_names(run_of(generated(2, 1)[0]), name))])
    body = text.partition("<body>")[2].partition("<svg")[0]
    assert name in body
    assert name not in re.sub(r"<bdi[^>]*>.*?</bdi>", "", body)
    assert f'<bdi dir="ltr">{name} (again) takes' in body  # a sentence runs on in its own direction


@settings(max_examples=10)
@given(runs())
def test_any_run_has_a_page(run: Run) -> None:
    check_harmless(page([told(run)]))


@settings(max_examples=5)
@given(st.text(max_size=200))
def test_any_name_has_a_page(name: str) -> None:
    made, samples = generated(2, 1, rounds=8)
    check_harmless(page([told(with_names(run_of(made), name))], [samples]))


@pytest.mark.slow
def test_two_hundred_rows_fit_in_two_megabytes() -> None:
    made, samples = generated(200, 14, rounds=16)
    text = page([made], [samples])
    assert len(text.encode()) < 2_000_000
    assert len(re.findall(r'<tr[^>]*><td>\d+=?</td><th scope="row">', text)) == 200
    figures = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    for kind in ("Roofline", "Agreement", "Memory by", "Energy per"):
        # Each kind is drawn once before another is drawn twice.
        assert any(kind in figure and "<svg" in figure for figure in figures)
    assert any("<svg" not in figure for figure in figures)


def test_the_same_runs_make_the_same_page() -> None:
    """Nothing of the moment is in it: a page may be compared, and cached by its hash."""
    made, samples = generated(2, 1, rounds=8)
    assert page([made], [samples]) == page([made], [samples])
