"""What people read: the table, the reasons and the doubts, whatever names a file carries."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.xbench.claims.made import HEAD, HERE, RATIO, document, file_of, row
from xbench.claims.bars import before
from xbench.claims.document import to_json
from xbench.claims.judge import barred, judge
from xbench.claims.parse import parse
from xbench.claims.verify import Comparison, Verification
from xbench.report.claims import markdown, render, render_file
from xbench.report.claims_words import lines
from xbench.report.document import to_text

CLAIMS = (
    RATIO,
    RATIO.replace("id: a", "id: b").replace("ratio: 2", "ratio: 3\n  model: other"),
    RATIO.replace("id: a", "id: c").replace("ratio: 2", "ratio: 2\n  source: pi"),
    "- {id: d, kind: at-least, baseline: onnxruntime, candidate: openvino, ratio: 2.05}",
    "- {id: e, kind: at-most, baseline: onnxruntime, candidate: openvino, ratio: 12.5}",
    "- {id: f, kind: faster, baseline: onnxruntime, candidate: openvino}",
    "- {id: g, kind: agree, rows: [onnxruntime, openvino], most_relative: 1e-5}",
    "- {id: h, kind: agree, rows: [openvino]}",
)


def verification(text: str | None = None) -> Verification:
    """Return what is said of these claims, or of a file, by a run in which OpenVINO is twice
    as fast."""
    file = parse(text.encode(), "made.yaml", Path("made.yaml")) if text else file_of(*CLAIMS)
    found = document(row(0, "onnxruntime"), row(1, "openvino"), ratios={(0, 1): (2.0, 1.9, 2.1)})
    bars = {claim.id: before(claim, HERE) for claim in file.claims}
    return Verification(
        file=file,
        judgements=tuple(
            barred(claim, bar) if (bar := bars[claim.id]) else judge(claim, found, HERE)
            for claim in file.claims
        ),
        comparisons=(Comparison(found, reused=False),),
        machine=HERE,
        out=Path("out"),
    )


def test_the_table_shows_what_was_published_accepted_and_found() -> None:
    told = {line.id: (*line.figures, line.verdict) for line in lines(verification())}
    here = "2.00 [1.90, 2.10]"
    assert told == {
        "a": ("2.00", "1.60 to 2.50", here, "held"),
        "b": ("3.00", "2.40 to 3.75", here, "failed"),
        "c": ("2.00", "1.60 to 2.50", "-", "not comparable"),
        "d": ("at least 2.05", "from 1.64", here, "held"),
        "e": ("at most 12.5", "up to 15.6", here, "held"),
        "f": ("faster", "above 1, no tie (2.0%)", here, "held"),
        "g": ("within 1e-05", "-", "off 1e-06", "held"),
        "h": ("agree", "-", "off 1e-06", "held"),
    }


def test_a_verdict_on_a_rebuilt_model_says_so_at_once() -> None:
    text = " ".join(render(verification()).split())
    assert "Of 8 claims, 6 held, 1 failed and 1 is not comparable (95% intervals)." in text
    assert "1 of these verdicts is of a rebuilt model, not of the one that was published" in text
    assert "published for a large network: another architecture, seeded weights" in text


def test_the_document_is_strict_json() -> None:
    """What has no bound or was not measured is null."""
    told = json.loads(to_text(to_json(verification())))
    by_id = {one["id"]: one for one in told["claims"]}
    assert by_id["d"]["accepted"] == {"low": 2.05 / 1.25, "high": None}
    assert by_id["e"]["accepted"] == {"low": None, "high": 12.5 * 1.25}
    assert by_id["c"]["measured"] is None
    assert by_id["a"]["measured"] == {"value": 2.0, "low": 1.9, "high": 2.1}
    assert by_id["g"]["max_rel"] == 1e-6
    assert told["sources"]["blog"]["software"] == {"onnxruntime": "1.10", "openvino": "2026.4.1"}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x85"), min_size=1, max_size=200))
def test_names_of_any_kind_do_no_harm(name: str) -> None:
    """Nothing of a name reaches the terminal or the Markdown as anything but a name."""
    nasty = json.dumps(f"x{name}\x1b[31m<script>|")  # JSON's quotes are YAML's
    text = HEAD.replace("Two runtimes on a small network", nasty)
    text = text.replace('"Fast inference on CPUs"', nasty).replace("a small network", nasty)
    found = verification(text + RATIO)
    for shown in (render(found), render_file(found.file)):
        assert "\x1b" not in shown
        assert max(map(cell_len, shown.splitlines())) <= 80
    assert "\x1b" not in markdown(found)
    assert "<script>" not in markdown(found)
