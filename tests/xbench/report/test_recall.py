"""A kept run reads as it did when it ended."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from tests.xbench.report.runs import runs, typical
from xbench.errors import UsageError
from xbench.report import document, markdown
from xbench.report.recall import run_of
from xbench.result import Run


@given(runs())
def test_the_document_of_a_recalled_run_is_the_same(run: Run) -> None:
    told = json.loads(document.render(run))
    assert json.loads(document.render(run_of(told))) == told


def test_a_recalled_run_is_reported_in_the_same_words() -> None:
    told = json.loads(document.render(typical()))
    assert markdown.render(run_of(told)) == markdown.render(typical())


def test_fields_of_a_later_version_are_left_out() -> None:
    """A row of tomorrow has more to tell; what is known today is still read."""
    told = json.loads(document.render(typical()))
    told["results"][0]["colour"] = "blue"
    told["comparisons"][0]["mood"] = {}
    assert run_of(told) == run_of(json.loads(document.render(typical())))


@pytest.mark.parametrize("broken", [{}, {"results": [None]}, {"model": 7}, {"host": None}])
def test_what_has_not_the_form_of_a_result_is_refused(broken: dict[str, object]) -> None:
    told = json.loads(document.render(typical())) | broken if broken else {}
    with pytest.raises(UsageError, match="no result of xbench"):
        run_of(told)
