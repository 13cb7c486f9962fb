"""Sessions on the double of a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xbench.adapter import Facts, Limits
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench_adapters.onnxruntime import OnnxRuntimeAdapter

LIMITS = Limits(threads=1, device="cuda:3", uuid="GPU-42")
EXAMPLE = models.convolution()
OVERRIDE = "NVIDIA_TF32_OVERRIDE"


def loaded(folder: Path, precision: str = "fp32", variant: str = "", example: Any = EXAMPLE) -> Any:
    adapter = OnnxRuntimeAdapter(variant)
    adapter.prepare(LIMITS)
    return adapter.load(example.write(folder), LIMITS, precision)


def facts_of(session: Any) -> Facts:
    infer(session, EXAMPLE.feeds[0])
    facts: Facts = session.facts()
    session.close()
    return facts


def right(session: Any, feed: int) -> None:
    close: Any = np.testing.assert_allclose
    for name, array in EXAMPLE.expected(feed).items():
        close(session.outputs()[name], array, rtol=1e-4, atol=1e-5)
