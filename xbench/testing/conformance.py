"""The suite that every adapter passes.

Subclass it in the tests of an adapter::

    class TestMine(AdapterConformance):
        adapter = MyAdapter

Where the framework is not installed, what needs it is skipped with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from xbench.adapter import (
    BOUNDARIES,
    Adapter,
    Array,
    BoundModel,
    Checks,
    Facts,
    Limits,
    Resident,
    Session,
)
from xbench.errors import UnsupportedNodeError, UsageError
from xbench.inputs import save_feeds
from xbench.parity import compare_outputs
from xbench.plan import IN_THE_FILE, PRECISIONS
from xbench.testing import models, probe
from xbench.testing.models import Example
from xbench.testing.narrow import narrow
from xbench.wire import facts_from_json

LIMITS = Limits(threads=1)
EXAMPLES = {example.name: example for example in models.examples()}
FP32_ERROR = 1e-5  # of the largest output; bfloat16 is off by 3e-3 and TF32 by 3e-4


class AdapterConformance:
    """What the harness relies on, as tests of one variant of one adapter.

    Attributes:
        adapter: The adapter's class.
        variant: The variant under test.
        limits: What it may use; a device of ``cuda:0`` runs the suite on a GPU.
    """

    adapter: ClassVar[type[Any]]
    variant: ClassVar[str] = ""
    limits: ClassVar[Limits] = LIMITS

    @pytest.fixture
    def made(self) -> Adapter:
        """Return an adapter as the registry makes it."""
        made: Adapter = self.adapter(self.variant)
        return made

    @pytest.fixture
    def ready(self, made: Adapter) -> Adapter:
        """Return an adapter whose framework is imported."""
        if reason := made.available().reason:
            pytest.skip(reason)
        made.prepare(self.limits)
        return made

    @pytest.fixture(params=EXAMPLES)
    def example(self, request: pytest.FixtureRequest) -> Example:
        """Return each of the small models."""
        return EXAMPLES[request.param]

    @pytest.fixture
    def model(self, example: Example, tmp_path: Path) -> BoundModel:
        """Return the example's file."""
        return example.write(tmp_path)

    @pytest.fixture
    def session(self, ready: Adapter, model: BoundModel) -> Iterator[Session]:
        """Return the example, loaded; closed afterwards."""
        session = ready.load(model, self.limits, "fp32")
        yield session
        session.close()

    def test_it_is_an_adapter_with_the_variant(self, made: Adapter) -> None:
        """The registry asks for no more than this, and shows what each variant does."""
        assert isinstance(made, Adapter), "it lacks a part of xbench.adapter.Adapter"
        assert self.variant in made.variants, f"there is no variant {self.variant!r}"
        assert "" in made.variants, "there is no default variant"
        assert all(made.variants.values()), "a variant does not say what it does"

    def test_its_module_loads_no_framework(self) -> None:
        """`xbench backends` asks every adapter; none may cost the import of its framework."""
        loaded = probe.foreign_modules(self.adapter, self.variant)
        assert not loaded, f"importing the adapter loads {', '.join(loaded)}"

    def test_it_says_whether_it_can_run(self, made: Adapter) -> None:
        """A framework has a version, or a reason why it cannot run and what helps."""
        found = made.available()
        if found.reason is None:
            assert found.version, "it can run, and has no version"
            assert found.devices, "it can run, and on no device"
        else:
            assert found.fix, "say what helps"

    def test_preparing_returns_the_version(self, ready: Adapter) -> None:
        """Preparing again, as each launch does in its own process, changes nothing."""
        version = ready.prepare(self.limits)
        assert version, "there is no version"
        assert version == ready.prepare(self.limits), "the version changes"

    def test_outputs_are_right(self, session: Session, example: Example) -> None:
        """Names, order, types, shapes and values are those of ``onnx.reference``."""
        assert isinstance(session, Session), "it lacks a part of xbench.adapter.Session"
        _assert_same(infer(session, example.feeds[0]), example.expected(0))

    def test_inputs_bound_again_are_used(self, session: Session, example: Example) -> None:
        """Input sets rotate: each run is on those that were bound last."""
        for feed in (0, 1, 0):
            _assert_same(infer(session, example.feeds[feed]), example.expected(feed))

    def test_outputs_are_those_of_the_last_run(self, session: Session, example: Example) -> None:
        """Binding alone changes no output, and an array that was given stays as it is."""
        first = infer(session, example.feeds[0])
        session.bind(example.feeds[1])
        _assert_same(session.outputs(), example.expected(0))
        session.run()
        session.synchronize()
        _assert_same(first, example.expected(0))
        _assert_same(session.outputs(), example.expected(1))

    def test_runs_can_be_repeated(self, session: Session, example: Example) -> None:
        """The timed loop binds once and runs often; no input is written to."""
        feeds = {name: array.copy() for name, array in example.feeds[0].items()}
        session.bind(feeds)
        for _ in range(5):
            session.run()
            session.synchronize()
        _assert_same(session.outputs(), example.expected(0))
        for name, array in example.feeds[0].items():
            np.testing.assert_array_equal(feeds[name], array, f"input {name!r} was written to")

    def test_facts_hold_what_was_asked(self, session: Session, example: Example) -> None:
        """What the runtime tells agrees with the request, and travels as JSON."""
        infer(session, example.feeds[0])
        facts = session.facts()
        assert facts.precision in (None, "fp32"), f"it computes in {facts.precision}"
        assert facts.threads in (None, self.limits.threads), f"it takes {facts.threads} threads"
        sent = facts_from_json(json.loads(json.dumps(asdict(facts))))
        assert sent == _plain(facts), f"{facts} arrives as {sent}"

    def test_every_boundary_has_the_same_outputs(self, session: Session, example: Example) -> None:
        """All that a session knows compute the same, in whatever order they come."""
        if not isinstance(session, Resident):
            return
        for boundary in (*BOUNDARIES, *reversed(BOUNDARIES)):
            try:
                session.at(boundary)
            except UsageError:
                assert boundary != "host", "every session has the host's boundary"
                continue
            for feed in (0, 1):
                _assert_same(infer(session, example.feeds[feed]), example.expected(feed))
            if boundary == "compute":
                assert session.device_ns() > 0, "no time passed between the device's events"

    def test_closing_twice_does_no_harm(self, ready: Adapter, tmp_path: Path) -> None:
        """A worker closes what a fault may have closed already."""
        session = ready.load(models.elementwise().write(tmp_path), self.limits, "fp32")
        session.close()
        session.close()

    def test_sessions_do_not_share_state(self, ready: Adapter, tmp_path: Path) -> None:
        """Two loaded models keep their own inputs and outputs."""
        examples = models.perceptron(), models.convolution()
        sessions = [ready.load(one.write(tmp_path), self.limits, "fp32") for one in examples]
        for session, example in zip(sessions, examples, strict=True):
            session.bind(example.feeds[0])
        for session in sessions:
            session.run()
        for session, example in zip(sessions, examples, strict=True):
            session.synchronize()
            _assert_same(session.outputs(), example.expected(0))
            session.close()

    def test_fp32_is_fp32(self, ready: Adapter, tmp_path: Path) -> None:
        """No faster type stands in for float32: neither bfloat16 nor TF32."""
        example = models.long_sums()
        session = ready.load(example.write(tmp_path), self.limits, "fp32")
        outputs = infer(session, example.feeds[0])
        session.close()
        for name, right in models.in_float64(example, 0).items():
            exact = np.asarray(right, np.float64)
            error = np.abs(np.asarray(outputs[name], np.float64) - exact).max()
            share = error / np.abs(exact).max()
            assert share < FP32_ERROR, f"{name!r} is off by {share:.1e} of the largest output"

    @pytest.mark.parametrize("precision", IN_THE_FILE)
    def test_a_narrow_file_agrees_or_is_refused(
        self, ready: Adapter, tmp_path: Path, precision: str
    ) -> None:
        """What is narrow is computed within its tolerance, and its precision is a known word."""
        if self.variant in getattr(ready, "precisions", {}):
            return  # it narrows by its own means, and is given the file as it was
        example = narrow(precision)
        try:
            session = ready.load(example.write(tmp_path), self.limits, precision)
            outputs = infer(session, example.feeds[0])
        except (UsageError, UnsupportedNodeError):
            return
        parity = compare_outputs(models.perceptron().expected(0), outputs, precision)
        assert parity.status == "agrees", parity.reason
        told = session.facts().precision
        session.close()
        unknown = set(told.split("+")) - set(PRECISIONS) if told else None
        assert not unknown, f"it says that it computes in {told}"

    @pytest.mark.usefixtures("ready")
    def test_the_thread_cap_holds(self, tmp_path: Path) -> None:
        """With one thread asked for, the kernel sees one work at a time."""
        if self.limits.device != "cpu":
            pytest.skip("the cap is on the threads of a CPU")
        example = models.work()
        save_feeds(tmp_path / "feeds.npz", (example.feeds[0],))
        busy = probe.busy_threads(
            self.adapter, self.variant, example.write(tmp_path), tmp_path / "feeds.npz", self.limits
        )
        assert busy == 1, f"one thread was asked for, and {busy} work at a time"

    def test_an_unknown_operator_is_named(self, ready: Adapter, tmp_path: Path) -> None:
        """The row says which node cannot be run."""
        with pytest.raises(UnsupportedNodeError) as raised:
            ready.load(models.unknown_operator().write(tmp_path), self.limits, "fp32")
        found = raised.value
        assert "Nonsense" in found.operator, f"the operator is called {found.operator!r}"
        assert found.node == "nonsense_1", f"the node is called {found.node!r}"

    def test_its_own_check_answers_as_loading_does(self, ready: Adapter, tmp_path: Path) -> None:
        """It need not have one; then `xbench inspect` loads the model."""
        if not isinstance(ready, Checks):
            return
        for example in EXAMPLES.values():
            ready.check(example.write(tmp_path), self.limits, "fp32")
        unknown = models.unknown_operator().write(tmp_path)
        with pytest.raises(UnsupportedNodeError) as raised:
            ready.check(unknown, self.limits, "fp32")
        assert raised.value.node == "nonsense_1", f"the node is called {raised.value.node!r}"
        with pytest.raises(UsageError):
            ready.check(unknown, replace(self.limits, device="nowhere:0"), "fp32")

    def test_a_device_that_it_has_not_is_refused(self, ready: Adapter, tmp_path: Path) -> None:
        """No device stands in for another."""
        with pytest.raises(UsageError):
            ready.load(
                models.elementwise().write(tmp_path),
                replace(self.limits, device="nowhere:0"),
                "fp32",
            )

    def test_a_precision_that_it_has_not_is_refused(self, ready: Adapter, tmp_path: Path) -> None:
        """No precision stands in for another."""
        with pytest.raises(UsageError):
            ready.load(models.elementwise().write(tmp_path), self.limits, "fp3")


def infer(session: Session, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return the outputs of one inference on ``feeds``."""
    session.bind(feeds)
    session.run()
    session.synchronize()
    return session.outputs()


def _assert_same(outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    assert list(outputs) == list(expected), "outputs have the graph's names, in the graph's order"
    for name, right in expected.items():
        found = outputs[name]
        assert isinstance(found, np.ndarray), f"{name!r} is a {type(found).__name__}"
        assert found.dtype == right.dtype, f"{name!r} is {found.dtype}, not {right.dtype}"
        close: Any = np.testing.assert_allclose
        close(found, right, rtol=1e-4, atol=1e-5, err_msg=name)


def _plain(facts: Facts) -> Facts:
    """Return facts with plain dictionaries, as JSON gives them back."""
    return replace(facts, options=dict(facts.options)) if facts.options is not None else facts
