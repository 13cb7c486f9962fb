"""Edge profiles: what a device is, as caps for a run on this host and as limits of its own.

`find_profile` and `profiles` read them, `floor_latency_s` computes what the device's own figures
allow. docs/profiles.md says how to write one. Nothing here measures or caps anything.
"""

from xbench.profiles.floor import floor_latency_s, peak_per_s, ridge_flop_per_byte
from xbench.profiles.model import Profile
from xbench.profiles.shelf import find_profile, profiles

__all__ = [
    "Profile",
    "find_profile",
    "floor_latency_s",
    "peak_per_s",
    "profiles",
    "ridge_flop_per_byte",
]
