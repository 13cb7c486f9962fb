"""What every test is run with."""

from __future__ import annotations

from hypothesis import settings

# A shared machine may stop for a second at any time, and no test here is about time.
settings.register_profile("xbench", deadline=None)
settings.load_profile("xbench")
