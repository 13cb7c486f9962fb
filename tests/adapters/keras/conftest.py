"""TensorFlow's threads are the process's, and are set before it computes anything."""

from __future__ import annotations

from xbench.adapter import Limits
from xbench_adapters.keras import KerasAdapter

KerasAdapter().prepare(Limits(threads=1))
