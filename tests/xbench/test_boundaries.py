"""A run begins and ends where it was asked to, and each boundary's time is told."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from xbench.adapter import Array
from xbench.boundaries import enter, split, timed
from xbench.errors import UsageError
from xbench.testing import NullSession, RecordingSession

FEEDS: Mapping[str, Array] = {"x": np.zeros(2, np.float32)}
EVENTS_NS = 4321


class OnDevice(RecordingSession):
    """A session that knows all boundaries but those in ``lacks``."""

    def __init__(self, lacks: tuple[str, ...] = ()) -> None:
        super().__init__(NullSession())
        self.lacks = lacks

    def at(self, boundary: str) -> None:
        """Keep the boundary, or refuse it."""
        if boundary in self.lacks:
            raise UsageError(f"no {boundary} here")
        self.calls.append(boundary)

    def device_ns(self) -> int:
        """Return what no wall clock gives."""
        self.calls.append("device_ns")
        return EVENTS_NS


def test_a_session_of_the_hosts_arrays_has_the_hosts_boundary_only() -> None:
    enter(NullSession(), "host")
    for boundary in ("device", "compute"):
        with pytest.raises(UsageError, match=f"knows no boundary '{boundary}'"):
            enter(NullSession(), boundary)
    assert split(NullSession(), FEEDS, "host") is None


def test_at_compute_a_latency_is_between_the_devices_events() -> None:
    """They are asked for once the device is done."""
    session = OnDevice()
    enter(session, "compute")
    assert timed(session, 2, "compute") == [EVENTS_NS] * 2
    assert session.calls == ["compute", *(["run", "synchronize", "device_ns"] * 2)]


@pytest.mark.parametrize("boundary", ["host", "device"])
def test_elsewhere_the_wall_clock_tells_it(boundary: str) -> None:
    session = OnDevice()
    assert EVENTS_NS not in timed(session, 3, boundary)
    assert "device_ns" not in session.calls


def test_every_boundary_is_timed_and_the_session_is_left_where_it_was() -> None:
    session = OnDevice()
    found = split(session, FEEDS, "device")
    assert found is not None
    assert list(found) == ["host", "device", "compute"]
    assert found["compute"] == EVENTS_NS
    assert session.calls[-2:] == ["device", "bind"], "a round needs its inputs there"


def test_boundaries_take_turns_so_that_a_clock_that_rises_strikes_all() -> None:
    session = OnDevice()
    split(session, FEEDS, "host")
    visited = [call for call in session.calls if call in ("host", "device", "compute")]
    assert visited[:6] == ["host", "device", "compute"] * 2


def test_a_boundary_that_a_session_lacks_is_none() -> None:
    found = split(OnDevice(lacks=("compute",)), FEEDS, "host")
    assert found is not None
    assert found["compute"] is None
    assert found["host"] is not None
