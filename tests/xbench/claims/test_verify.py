"""The whole way with real runtimes and real workers: measured, judged, kept, taken up again."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from tests.xbench.claims.made import file_of, small_network, text_of
from xbench.claims.decide import Decision
from xbench.claims.document import to_json
from xbench.claims.shelf import find_claims
from xbench.claims.verify import verify
from xbench.cli.main import app
from xbench.errors import UnknownNameError
from xbench.progress import Silent, Standing
from xbench.report.claims import markdown, render

CLAIMS = (
    "- {id: agree, kind: agree, rows: [onnxruntime, openvino], most_relative: 1e-3}",
    "- {id: slower, kind: faster, baseline: 'busy:5000', candidate: 'busy:100'}",
    "- {id: below-1000, kind: at-most, baseline: onnxruntime, candidate: openvino, ratio: 1000}",
    "- {id: thousand, kind: ratio, baseline: openvino, candidate: onnxruntime, ratio: 1000}",
    "- {id: above-1000, kind: at-least, baseline: onnxruntime, candidate: openvino, ratio: 1000}",
    "- {id: upside-down, kind: faster, baseline: 'busy:100', candidate: 'busy:5000'}",
    "- {id: pi, kind: ratio, source: pi, baseline: openvino, candidate: onnxruntime, ratio: 1}",
    "- {id: gone, kind: ratio, baseline: onnxruntime, candidate: 'onnxruntime:gone', ratio: 1}",
    "- {id: alone, kind: latency, row: openvino, figures: {row: 1 ms}}",
)
EXPECTED = {
    "agree": "held",
    "slower": "held",
    "below-1000": "held",
    "thousand": "failed",
    "above-1000": "failed",
    "upside-down": "failed",
    "pi": "not_comparable",
    "gone": "not_comparable",
    "alone": "not_comparable",
}
OPTIONS = ["--launches", "2", "--time-budget", "60s", "--precision-target", "0.9", "--quiet"]
pytestmark = pytest.mark.usefixtures("test_adapters")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small network and claims about it."""
    folder = tmp_path_factory.mktemp("claims")
    onnx.save(small_network(), folder / "tiny.onnx")
    (folder / "made.yaml").write_text(of_one_thread(*CLAIMS))
    return folder


@pytest.fixture(scope="module")
def run_once(place: Path) -> Result:
    """Return how `xbench verify` ended, which measured for real."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XBENCH_TEST_ADAPTERS", "1")
        return xbench_verify(place)


def of_one_thread(*claims: str) -> str:
    """Return a file of claims, with one thread."""
    return text_of(*claims).replace("batch: 1", "batch: 1, threads: 1")


def xbench_verify(place: Path, *more: str, name: str = "made.yaml") -> Result:
    arguments = ["verify", str(place / name), "--out", str(place / "out"), *OPTIONS, *more]
    return CliRunner().invoke(app, [*arguments, "--json", str(place / f"{name}.json")])


def told(place: Path, name: str = "made.yaml") -> dict[str, Any]:
    return dict(json.loads((place / f"{name}.json").read_text()))


def test_each_claim_is_judged_by_what_was_measured(place: Path, run_once: Result) -> None:
    """Fabricated claims fail, true ones hold, and what cannot be compared says why."""
    assert run_once.exit_code == 1, run_once.output  # some failed
    found = told(place)
    assert {one["id"]: one["verdict"] for one in found["claims"]} == EXPECTED
    by_id = {one["id"]: one for one in found["claims"]}
    assert by_id["agree"]["max_rel"] < 1e-3
    for name in ("slower", "below-1000", "thousand"):
        measured = by_id[name]["measured"]
        assert 0 < measured["low"] <= measured["value"] <= measured["high"]
    assert by_id["slower"]["measured"]["low"] > 1
    assert "aarch64" in by_id["pi"]["reason"]
    assert "no backend" in by_id["gone"]["reason"]
    assert "other hardware" in by_id["alone"]["reason"]
    assert found["counts"] == {"held": 3, "failed": 3, "undetermined": 0, "not_comparable": 3}


def test_one_comparison_decides_all_that_it_can(place: Path, run_once: Result) -> None:
    """Claims on one model share a run, which is an ordinary run folder."""
    (one,) = told(place)["comparisons"]
    document = json.loads((Path(one["folder"]) / "result.json").read_text())
    backends = {row["backend"] for row in document["results"]}
    assert backends == {"onnxruntime", "openvino", "busy:100", "busy:5000"}
    assert not one["reused"]


def test_the_report_fits_and_says_everything(run_once: Result) -> None:
    text = run_once.output
    assert max(map(cell_len, text.splitlines())) <= 80
    for part in (*EXPECTED, "held", "failed", "not comparable", "Left open", "example.org/fast"):
        assert part in text
    assert "Of 9 claims, 3 held, 3 failed and 3 are not comparable" in text


def test_what_was_measured_is_used_again(place: Path, run_once: Result) -> None:
    """A second file asks of the same rows: an exact ratio that no interval can confirm."""
    before = told(place)
    ratio = next(c for c in before["claims"] if c["id"] == "thousand")["measured"]["value"]
    exact = (
        f"- {{id: exact, kind: ratio, baseline: openvino, candidate: onnxruntime, "
        f"ratio: {ratio:.9f}, tolerance: 0.0001%}}"
    )
    (place / "again.yaml").write_text(of_one_thread(*CLAIMS, exact))
    done = xbench_verify(place, name="again.yaml")
    found = told(place, "again.yaml")
    assert [one["reused"] for one in found["comparisons"]] == [True]
    assert found["comparisons"][0]["folder"] == before["comparisons"][0]["folder"]
    by_id = {one["id"]: one for one in found["claims"]}
    assert {name: by_id[name]["verdict"] for name in EXPECTED} == EXPECTED
    assert by_id["exact"]["verdict"] == "undetermined"
    assert "interval" in by_id["exact"]["reason"]
    assert "measured before" in " ".join(done.output.split())


class StopsAt(Silent):
    """Presses Ctrl-C when a condition holds for the first time."""

    def __init__(self, reached: Callable[[Standing], bool]) -> None:
        self._reached, self._done = reached, False

    def standing(self, standing: Standing) -> None:
        """Press it, once."""
        if not self._done and self._reached(standing):
            self._done = True
            heard: Any = signal.getsignal(signal.SIGINT)
            heard(signal.SIGINT, None)  # sent in earnest, it ends a process that holds openvino


TWO = (
    "- {id: one, kind: faster, baseline: 'busy:1000', candidate: 'busy:500'}",
    "- {id: two, kind: faster, baseline: 'busy:1000', candidate: 'busy:500', batch: 2}",
)
SHORT: dict[str, Any] = {"launches": 1, "time_budget_s": 2.0}


def test_a_verification_that_was_stopped_goes_on(tmp_path: Path) -> None:
    """Ctrl-C ends it with what is known; the same call finishes that run and makes the rest."""
    onnx.save(small_network(), tmp_path / "tiny.onnx")
    (tmp_path / "made.yaml").write_text(of_one_thread(*TWO))
    claims = find_claims(str(tmp_path / "made.yaml"))
    stops = StopsAt(lambda standing: standing.launch == 1 and standing.round >= 1)
    first = verify(claims, SHORT, tmp_path / "out", progress=stops)
    assert first.exit_status == 130
    assert first.judgements[1].decision is Decision.NOT_COMPARABLE
    assert "stopped" in first.judgements[1].reason
    assert "Interrupted" in render(first)

    second = verify(claims, SHORT, tmp_path / "out")
    assert Decision.NOT_COMPARABLE not in {one.decision for one in second.judgements}
    assert second.judgements[0].folder == first.judgements[0].folder
    assert not second.interrupted

    third = verify(claims, SHORT, tmp_path / "out")
    assert [one.reused for one in third.comparisons] == [True] * len(second.comparisons)
    assert third.exit_status == second.exit_status


def test_a_model_that_is_not_there_costs_its_own_claims_only(tmp_path: Path) -> None:
    """The others are verified; the file's own mistakes are another matter."""
    claims = file_of(*TWO, path=tmp_path / "made.yaml")
    found = verify(claims, SHORT, tmp_path / "out")
    assert [one.decision for one in found.judgements] == [Decision.NOT_COMPARABLE] * 2
    assert all("tiny.onnx" in one.reason for one in found.judgements)
    assert found.exit_status == 1
    assert to_json(found)["comparisons"] == []
    assert "tiny.onnx" in markdown(found)


def test_a_claim_that_is_not_in_the_file_is_refused(tmp_path: Path) -> None:
    claims = file_of(*TWO, path=tmp_path / "made.yaml")
    with pytest.raises(UnknownNameError, match=r"no claim 'on'\. Did you mean 'one'"):
        verify(claims, SHORT, tmp_path / "out", only=["on"])
