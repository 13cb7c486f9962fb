"""What is run: each set of caps once, and more only where it decides something."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.graphs import linear
from tests.xbench.report.runs import cell, memory, run_of
from tests.xbench.sizing.made import GIB, MIB, bare, demand, device, wanted
from xbench.device import allowed_cpus
from xbench.errors import InterruptedRunError, UnknownNameError
from xbench.procurement.fleet import Fleet, devices_for
from xbench.progress import Silent
from xbench.report.document import to_text
from xbench.report.sizing import render
from xbench.result import CellResult, Parity, Run, Status
from xbench.sizing.answer import TEMPLATE, Sizing, size
from xbench.sizing.document import to_json
from xbench.sizing.groups import Wanted
from xbench.sizing.measure import rounded_up
from xbench.sizing.trial import Verdict


@dataclass
class Bench:
    """In place of `xbench.compare`: remembers what it was asked, and answers at once."""

    peaks: dict[str, int] = field(default_factory=lambda: {"lean": 100 * MIB})
    n: int = 5000
    fails: frozenset[str] = frozenset()
    interrupted_at: int | None = None
    thin: bool = False
    stays: bool = False
    drowns: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, model: str, backends: tuple[str, ...], **asked: Any) -> Run:
        self.asked.append({"backends": backends, **asked})
        names = list(self.peaks) if backends == ("all",) else list(backends)
        n = self.n if backends == ("all",) else 5000  # of one backend alone there is time for more
        rows = [self._row(number, name, n, asked) for number, name in enumerate(names)]
        return run_of(
            tuple(rows),
            folder=str(asked["out"]),
            interrupted=self.interrupted_at == len(self.asked),
            spec={"shapes": {}},
        )

    def _row(self, number: int, name: str, n: int, asked: dict[str, Any]) -> CellResult:
        profile = PROFILES[asked["profile"]]
        cap, peak = profile.memory_cap_bytes, self.peaks[name]
        caps = {
            "profile": profile.name,
            "memory_bytes": cap,
            "words": "host, capped",
            "held": {"resident_peak_bytes": peak, "memory_peak_bytes": peak},
            "broken": [],
        }
        threads = {"requested": asked["threads"], "effective": asked["threads"]}
        if name in self.fails:
            why: dict[str, Any] = {"reason": "node 'n' is not supported", "fix": "Use another"}
            return cell(number, name, status=Status.UNSUPPORTED, caps=caps, threads=threads, **why)
        if peak > cap:
            why = {"reason": f"it needs more than the {cap} that it was capped to", "fix": "Less"}
            return cell(number, name, status=Status.OOM_HOST, caps=caps, threads=threads, **why)
        if self.drowns and asked["scenario"].startswith("server:"):
            return cell(
                number,
                name,
                status=Status.OK,
                reason="it cannot keep up with that rate",
                parity=Parity("agrees"),
                load={"saturated": "the mean wait grew"},
                scenario=asked["scenario"],
                caps=caps,
                threads=threads,
            )
        p50_ns = (4e6 + 1e6 * number) * 2 / asked["threads"]
        first = len(self.asked) == 1
        own = {"throughput_per_s": None} if self.thin and (first or self.stays) else {}
        return cell(
            number,
            name,
            p50_ns,
            number + 1,
            n=n,
            **own,
            caps=caps,
            threads=threads,
            memory_bytes=memory(peak, peak, 1, 1),
            scenario=asked["scenario"],
            roofline={"floor_ns": p50_ns / 2, "share": 0.5, "bound": "compute", "reason": None},
        )


ONE, TWO = bare("one", threads=1, memory=8 * GIB), bare("two", threads=2, memory=8 * GIB)
TIGHT = device("tight", threads=2, memory=120 * MIB, gflops=200.0, gbytes=20.0)
BOARD = device("board", threads=2, memory=4 * GIB, gflops=200.0, gbytes=20.0)
SINGLE = replace(bare("single", threads=1, memory=16 * GIB), max_batch=1)
PROFILES = {one.name: one for one in (ONE, TWO, TIGHT, BOARD, SINGLE)}

needs_two = pytest.mark.skipif(len(allowed_cpus()) < 2, reason="it takes two CPUs")


def sized(tmp_path: Path, bench: Bench, *profiles: Any, **own: Any) -> Sizing:
    spec = replace(TEMPLATE, model=str(linear(tmp_path, own.pop("batch", 1))), **own)
    asked: tuple[Wanted, ...] = wanted(*profiles)
    return size(spec, demand(), asked, out=tmp_path / "out", comparer=bench)


@needs_two
def test_profiles_with_the_same_caps_are_measured_once(tmp_path: Path) -> None:
    bench = Bench()
    found = sized(tmp_path, bench, TWO, BOARD, ONE, quick=True)
    assert [(one["profile"], one["threads"]) for one in bench.asked] == [("two", 2), ("one", 1)]
    assert [one.threads for one in found.caps] == [2, 1]
    assert found.caps[0].profiles == ("two", "board")
    assert [one.profile.name for one in found.answers] == ["two", "board", "one"]
    assert found.answers[0].verdict is Verdict.FITS_CAPPED
    assert found.exit_status == 0


def test_a_profile_that_takes_smaller_batches_is_answered_and_leads_no_caps(
    tmp_path: Path,
) -> None:
    """The model's batch is 2. Nothing could be run under the largest memory: it takes one."""
    bench = Bench()
    found = sized(tmp_path, bench, SINGLE, ONE, batch=2, quick=True)
    assert [one["profile"] for one in bench.asked] == ["one"]
    single, one = found.answers
    assert single.verdict is Verdict.NO
    assert single.reason == "it takes batches up to 1, and the model's is 2"
    assert one.verdict is Verdict.FITS_CAPPED
    assert "single it takes batches up to 1, and" in " ".join(render(found).split())

    (tmp_path / "alone").mkdir()
    alone = sized(tmp_path / "alone", bench, SINGLE, batch=2, quick=True)
    assert len(bench.asked) == 1
    assert alone.exit_status == 1
    assert "1 does not fit" in " ".join(render(alone).split())
    assert json.loads(to_text(to_json(alone)))["measured"] == []


@needs_two
def test_a_peak_near_a_cap_is_run_under_that_cap_unless_quick(tmp_path: Path) -> None:
    bench = Bench({"fast": 110 * MIB, "lean": 60 * MIB})
    found = sized(tmp_path, bench, TWO, TIGHT)
    own = [one for one in bench.asked if one["profile"] == "tight"]
    assert [one["backends"] for one in own] == [("fast",)]
    assert own[0]["roofline"] is False
    trial = found.answers[1].trial
    assert trial
    assert trial.measured.name == "fast"
    assert trial.memory.evidence == "measured"
    assert trial.measured.roofline["share"] == 0.5  # of the run that found this host's limits

    quick = Bench({"fast": 110 * MIB, "lean": 60 * MIB})
    (tmp_path / "quick").mkdir()
    found = sized(tmp_path / "quick", quick, TWO, TIGHT, quick=True)
    assert len(quick.asked) == 1
    assert found.answers[1].trial
    assert found.answers[1].trial.measured.name == "lean"


@needs_two
def test_what_is_killed_under_its_own_cap_gives_way_to_the_next(tmp_path: Path) -> None:
    bench = Bench({"fast": 140 * MIB, "lean": 60 * MIB})
    found = sized(tmp_path, bench, TWO, TIGHT)
    assert [one["backends"] for one in bench.asked if one["profile"] == "tight"] == [("fast",)]
    assert found.answers[1].trial
    assert found.answers[1].trial.measured.name == "lean"


@needs_two
def test_a_slower_backend_near_a_cap_is_not_run_again(tmp_path: Path) -> None:
    bench = Bench({"lean": 60 * MIB, "slow": 110 * MIB})
    sized(tmp_path, bench, TWO, TIGHT)
    assert all(one["profile"] != "tight" for one in bench.asked)


def test_the_fastest_is_measured_longer_if_its_inferences_are_too_few(tmp_path: Path) -> None:
    bench = Bench(n=300)
    found = sized(tmp_path, bench, ONE)
    longer = [one for one in bench.asked if one["out"].name == "threads-1-longer"]
    assert [one["backends"] for one in longer] == [("lean", "lean")]  # one alone would stop early
    assert found.answers[0].verdict is Verdict.FITS_CAPPED


def test_only_those_that_may_be_chosen_are_measured_longer(tmp_path: Path) -> None:
    """The first takes 8 ms, each other 2 ms more: what is a quarter slower is left out."""
    bench = Bench(dict.fromkeys(("a", "b", "c", "d"), 60 * MIB), n=300)
    found = sized(tmp_path, bench, ONE)
    longer = [one for one in bench.asked if one["out"].name == "threads-1-longer"]
    assert [one["backends"] for one in longer] == [("a", "b")]
    assert longer[0]["launches"] > TEMPLATE.launches
    assert [one.row.timed for one in found.caps[0].rows] == [5000, 5000, 300, 300]


def test_a_row_that_lacks_nothing_but_launches_is_measured_longer(tmp_path: Path) -> None:
    """Two launches that differ bound no throughput; it is no failure of the backend."""
    bench = Bench(thin=True)
    found = sized(tmp_path, bench, ONE)
    assert any(one["out"].name == "threads-1-longer" for one in bench.asked)
    assert found.answers[0].verdict is Verdict.FITS_CAPPED


def test_a_row_that_stays_thin_is_unknown_and_rules_nothing_out(tmp_path: Path) -> None:
    found = sized(tmp_path, Bench(thin=True, stays=True), ONE)
    assert found.answers[0].verdict is Verdict.UNKNOWN
    assert "its throughput is not known" in (found.answers[0].reason or "")


def test_the_chosen_backend_is_measured_as_a_server_at_the_rate_of_a_device(
    tmp_path: Path,
) -> None:
    """Without a server's account in the row it was no server, whatever the row is called."""
    bench = Bench()
    found = sized(tmp_path, bench, ONE)
    served = [one for one in bench.asked if one["scenario"].startswith("server:")]
    assert [(one["scenario"], one["backends"]) for one in served] == [("server:30", ("lean",))]
    assert found.caps[0].served is None
    assert found.answers[0].trial
    assert isinstance(found.answers[0].trial.here, Fleet)
    assert found.answers[0].trial.here.evidence == "modelled"


def test_a_server_that_cannot_keep_up_is_kept_and_told(tmp_path: Path) -> None:
    """It is not ranked and has no latency: that is what it says."""
    found = sized(tmp_path, Bench(drowns=True), ONE)
    (answer,) = found.answers
    assert answer.verdict is Verdict.MISSES_CAPPED
    assert answer.reason == "as a server at 30 a second it could not keep up"
    assert found.exit_status == 1
    (caps,) = found.caps
    assert caps.served
    assert caps.served.saturated
    text = " ".join(render(found).split())
    assert "lean - - as a server at 30 a second, too much" in text
    assert "as a server at 30 a second it could not keep up. Measure it at less" in text
    assert json.loads(to_text(to_json(found)))["measured"][0]["server"]["reason"]


def test_a_backend_that_fails_leaves_its_reason(tmp_path: Path) -> None:
    bench = Bench({"lean": 60 * MIB, "odd": 60 * MIB}, fails=frozenset({"odd"}))
    found = sized(tmp_path, bench, ONE, quick=True)
    problems = {one.name: one.row.problem for one in found.caps[0].rows}
    assert problems["lean"] is None
    assert problems["odd"] == ("unsupported: node 'n' is not supported", "Use another")
    only = Bench({"odd": 60 * MIB}, fails=frozenset({"odd"}))
    (tmp_path / "only").mkdir()
    none = sized(tmp_path / "only", only, ONE, quick=True)
    assert none.answers[0].verdict is Verdict.NO
    assert "node 'n' is not supported" in (none.answers[0].reason or "")
    assert none.exit_status == 1


@needs_two
def test_an_interrupt_keeps_what_was_measured_and_asks_for_no_more(tmp_path: Path) -> None:
    bench = Bench(interrupted_at=1)
    found = sized(tmp_path, bench, TWO, ONE)
    assert len(bench.asked) == 1
    assert found.stopped
    assert found.exit_status == 130
    assert found.answers[0].verdict is Verdict.FITS_CAPPED
    assert found.answers[1].verdict is Verdict.UNKNOWN
    assert found.answers[1].reason == "nothing was measured"


@needs_two
def test_an_interrupt_while_it_waits_for_the_machine_keeps_what_was_measured(
    tmp_path: Path,
) -> None:
    class Waits(Bench):
        def __call__(self, model: str, backends: tuple[str, ...], **asked: Any) -> Run:
            if self.asked:
                raise InterruptedRunError("stopped while waiting for another comparison")
            return super().__call__(model, backends, **asked)

    found = sized(tmp_path, Waits(), TWO, ONE)
    assert found.stopped
    assert found.answers[0].verdict is Verdict.FITS_CAPPED
    assert found.answers[1].verdict is Verdict.UNKNOWN


def test_an_interrupt_before_anything_was_measured_ends_it(tmp_path: Path) -> None:
    def stops(*_: Any, **__: Any) -> Run:
        raise InterruptedRunError

    spec = replace(TEMPLATE, model=str(linear(tmp_path, 1)))
    with pytest.raises(InterruptedRunError):
        size(spec, demand(), wanted(ONE), out=tmp_path / "out", comparer=stops)


def test_a_wrong_backend_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    bench = Bench()
    with pytest.raises(UnknownNameError, match="onnxruntim"):
        sized(tmp_path, bench, ONE, backends=("onnxruntim",))
    assert bench.asked == []


@given(st.floats(1e-4, 1e6), st.integers(1, 1000))
def test_the_rate_of_a_device_as_it_is_asked_for_serves_the_whole_load(
    rate_per_s: float, devices: int
) -> None:
    """Rounded down, a hundred a second would take four devices at 33.33 each."""
    each = rounded_up(rate_per_s / devices)
    assert devices_for(rate_per_s, each) <= devices
    assert each == pytest.approx(rate_per_s / devices, rel=2e-3)
    assert "e" not in f"{each:.12g}" or each < 1e-4


def test_it_says_what_it_does(tmp_path: Path) -> None:
    said: list[str] = []

    class Hears(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    spec = replace(TEMPLATE, model=str(linear(tmp_path, 1)), quick=True)
    size(spec, demand(), wanted(ONE), out=tmp_path / "o", comparer=Bench(), progress=Hears())
    assert said == ["Caps 1 of 1: 1 thread, for 1 profile."]
