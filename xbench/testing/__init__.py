"""Public fakes, and what an adapter's author tests with. Imports no framework.

- `NullSession` and `NullAdapter` do nothing: they measure the harness.
- `RecordingSession` and `RecordingAdapter` keep what was asked of them.
- `xbench.testing.busy` and `xbench.testing.faulty` run in real workers: they take a known
  time, or break in a chosen way. With ``XBENCH_TEST_ADAPTERS=1`` in the environment the
  backends ``null``, ``busy:VARIANT`` and ``faulty:VARIANT`` exist, in parent and worker.
- `xbench.testing.conformance` is the suite that every adapter passes; it imports pytest.
- `xbench.testing.models` writes the small models that it uses.
"""

from xbench.testing.fakes import NullAdapter, NullSession, RecordingAdapter, RecordingSession

__all__ = ["NullAdapter", "NullSession", "RecordingAdapter", "RecordingSession"]
