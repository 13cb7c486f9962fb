"""The testing kit: its fakes do what they say, and its suite catches adapters that are wrong."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench import wrong_adapters as wrong
from xbench.adapter import Adapter, BoundModel, Limits, Session
from xbench.registry import create
from xbench.testing import NullAdapter, NullSession, RecordingAdapter, RecordingSession, models
from xbench.testing.busy import BusyAdapter
from xbench.testing.conformance import LIMITS, AdapterConformance, infer
from xbench.testing.faulty import FAULTS, FLOOD_BYTES, MIDWAY, MOMENTS, FaultyAdapter

ONE_THREAD = Limits(1)


class TestQuick(AdapterConformance):
    """The suite passes an adapter that is right."""

    adapter = wrong.Quick


WRONG: dict[str, tuple[type[Any], ...]] = {
    "test_it_is_an_adapter_with_the_variant": (wrong.Incomplete,),
    "test_it_says_whether_it_can_run": (wrong.Unhelpful,),
    "test_preparing_returns_the_version": (wrong.Nameless,),
    "test_outputs_are_right": (wrong.Reversed,),
    "test_inputs_bound_again_are_used": (wrong.Deaf,),
    "test_outputs_are_those_of_the_last_run": (wrong.Hasty, wrong.Overwriting),
    "test_runs_can_be_repeated": (wrong.Scribbling,),
    "test_facts_hold_what_was_asked": (wrong.Boasting,),
    "test_every_boundary_has_the_same_outputs": (wrong.Stale,),
    "test_closing_twice_does_no_harm": (wrong.Fragile,),
    "test_sessions_do_not_share_state": (wrong.Sharing,),
    "test_fp32_is_fp32": (wrong.TensorFloat,),
    "test_a_narrow_file_agrees_or_is_refused": (wrong.Doubling,),
    "test_the_thread_cap_holds": (wrong.Greedy,),
    "test_an_unknown_operator_is_named": (wrong.Vague,),
    "test_its_own_check_answers_as_loading_does": (wrong.Credulous, wrong.Timid),
    "test_a_device_that_it_has_not_is_refused": (wrong.Obliging,),
    "test_a_precision_that_it_has_not_is_refused": (wrong.Obliging,),
}


def run_suite_test(adapter: type[Any], name: str, folder: Path) -> None:
    """Run one test of the suite on an adapter, as pytest would."""
    suite = type("Suite", (AdapterConformance,), {"adapter": adapter})()
    test = getattr(suite, name)
    made, example = adapter(""), models.elementwise()
    made.prepare(LIMITS)
    given: dict[str, Callable[[], Any]] = {
        "made": lambda: made,
        "ready": lambda: made,
        "example": lambda: example,
        "session": lambda: made.load(example.write(folder), LIMITS, "fp32"),
        "tmp_path": lambda: folder,
        "precision": lambda: "fp16",
    }
    test(**{wanted: given[wanted]() for wanted in inspect.signature(test).parameters})


@pytest.mark.parametrize(
    ("name", "adapter"), [(name, one) for name, adapters in WRONG.items() for one in adapters]
)
def test_the_suite_catches_a_wrong_adapter(name: str, adapter: type[Any], tmp_path: Path) -> None:
    failure = (Exception, pytest.fail.Exception)
    with pytest.raises(failure):
        run_suite_test(adapter, name, tmp_path)
    run_suite_test(wrong.Quick, name, tmp_path)  # and it was the fault alone that was caught


def test_the_suite_catches_an_eager_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "import onnx\nfrom xbench.testing.busy import BusyAdapter\nclass Eager(BusyAdapter): pass"
    )
    (tmp_path / "an_eager_adapter.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    from importlib import import_module

    eager = import_module("an_eager_adapter").Eager
    with pytest.raises(AssertionError, match="onnx"):
        run_suite_test(eager, "test_its_module_loads_no_framework", tmp_path)


def test_every_test_of_the_suite_can_fail() -> None:
    """For each there is an adapter that it catches."""
    tests = {name for name in vars(AdapterConformance) if name.startswith("test_")}
    assert tests == {*WRONG, "test_its_module_loads_no_framework"}


# The fakes


@pytest.mark.parametrize(
    ("adapter", "session"),
    [(NullAdapter(), NullSession()), (RecordingAdapter(), RecordingSession())],
)
def test_fakes_are_what_they_stand_for(adapter: object, session: object) -> None:
    assert isinstance(adapter, Adapter)
    assert isinstance(session, Session)


def test_a_recording_keeps_calls_and_inputs_and_changes_nothing(tmp_path: Path) -> None:
    example = models.perceptron()
    adapter = RecordingAdapter(wrong.Quick())
    adapter.prepare(ONE_THREAD)
    session = adapter.load(example.write(tmp_path), ONE_THREAD, "fp32")
    found: Any = infer(session, example.feeds[1])["y"]
    assert np.allclose(found, example.expected(1)["y"])
    session.facts()
    session.close()
    assert adapter.calls == ["prepare", "load"]
    assert adapter.sessions == [session]
    assert session.calls == ["bind", "run", "synchronize", "outputs", "facts", "close"]
    assert session.feeds == [example.feeds[1]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """Return a file that every test of this module may read."""
    return models.elementwise().write(tmp_path_factory.mktemp("small"))


@settings(deadline=None)
@given(tens=st.integers(1, 200))
def test_a_busy_inference_never_takes_less_than_asked(small: BoundModel, tens: int) -> None:
    session = BusyAdapter(str(10 * tens)).load(small, ONE_THREAD, "fp32")
    start_ns = perf_counter_ns()
    session.run()
    assert perf_counter_ns() - start_ns >= tens * 10_000


# Faults


def go_through(variant: str, model: BoundModel, until: str) -> None:
    """Do what a worker does, up to the moment ``until``; raise what comes out of it."""
    first, second = models.elementwise().feeds
    adapter = FaultyAdapter(variant)
    adapter.prepare(ONE_THREAD)
    if until == "prepare":
        return
    adapter.convert(model, ONE_THREAD, "fp32")
    if until == "convert":
        return
    session = adapter.load(model, ONE_THREAD, "fp32")
    if until == "load":
        return
    bound = {"run": first, "warmup": None, "round": second, "": first, "later": second}
    for moment, feeds in bound.items():
        if feeds is not None:
            session.bind(feeds)
        session.run()
        if moment == until:
            return
        if (moment, until) == ("round", "midway"):
            for _ in range(MIDWAY - 1):
                session.run()
            return
    session.outputs()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_fault_comes_at_its_moment_and_not_before(moment: str, small: BoundModel) -> None:
    moments = list(MOMENTS)
    for earlier in moments[: moments.index(moment)]:
        go_through(f"raise-{moment}", small, earlier)
    with pytest.raises(RuntimeError, match="a fault was injected"):
        go_through(f"raise-{moment}", small, moment)


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("segfault", -11, ""),
        ("kill", -9, ""),
        ("exit", 3, ""),
        ("raise", 1, "RuntimeError"),
        ("memory", 1, "MemoryError"),
    ],
)
def test_a_fault_ends_a_process(fault: str, status: int, said: str) -> None:
    done = subprocess.run(_inject(fault), capture_output=True, text=True)
    assert done.returncode == status
    assert said in done.stderr


def test_a_hang_never_returns() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(_inject("hang"), timeout=1)


def test_a_flood_is_a_gigabyte_and_ends() -> None:
    seen = 0
    with subprocess.Popen(_inject("flood"), stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        while chunk := process.stdout.read(1 << 20):
            seen += len(chunk)
    assert process.returncode == 0
    assert seen >= FLOOD_BYTES


def test_every_fault_has_a_name_at_every_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XBENCH_TEST_ADAPTERS", "1")
    for fault in FAULTS:
        for moment in MOMENTS:
            assert isinstance(create(f"faulty:{fault}-{moment}"), FaultyAdapter)


def _inject(fault: str) -> list[str]:
    return [sys.executable, "-c", f"from xbench.testing.faulty import inject; inject({fault!r})"]
