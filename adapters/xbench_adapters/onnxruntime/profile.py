"""A session's own profile of one inference: ``python -m xbench_adapters.onnxruntime.profile JSON``.

See `xbench_adapters.onnxruntime.arithmetic`, which asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xbench.apart import answer
from xbench.inputs import load_feeds
from xbench_adapters.onnxruntime import cuda
from xbench_adapters.onnxruntime.arithmetic import of_profile
from xbench_adapters.onnxruntime.options import (
    CPU,
    ERRORS_ONLY,
    Setup,
    open_session,
    session_options,
)
from xbench_adapters.onnxruntime.plain import is_plain_file

FLOAT32 = {"kinds": {"fp32": 0}, "copies": 0, "arena_bytes": None}
"""What is answered where the file alone says it."""


def _answer(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the profile of one inference says, or the file."""
    if job["unless_plain"] and is_plain_file(Path(job["setup"]["model"])):
        return FLOAT32
    import onnxruntime as ort

    ort.set_default_logger_severity(ERRORS_ONLY)
    folder = Path(job["folder"])
    given = job["setup"]
    providers = tuple((name, options) for name, options in given["providers"])
    setup = Setup(**{**given, "providers": providers})
    (feeds,) = load_feeds(folder / "feeds.npz")
    options = session_options(ort, setup)
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    if setup.provider != CPU:
        cuda.preload(ort, setup.provider)
    inner = open_session(ort, setup, options)
    if setup.provider != CPU:
        cuda.require_enabled(inner, setup.provider, dict(setup.providers[0][1]))
    inner.run(None, feeds)
    events = json.loads(Path(inner.end_profiling()).read_text())
    return asdict(of_profile(events, setup.provider))


if __name__ == "__main__":
    answer(_answer)
