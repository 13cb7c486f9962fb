"""The command that measures the winner again, and against what."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from xbench.units import format_shape

if TYPE_CHECKING:
    from xbench.tuning.run import Tuned


def command(found: Tuned) -> str | None:
    """Return how to measure the winner by itself with `xbench compare`, or None without one."""
    if found.choice.winner is None:
        return None
    one, spec = found.space.configurations[found.choice.winner], found.request.spec
    words = ["xbench", "compare", spec.model, "--backends", one.backend]
    words += ["--threads", str(one.threads)]
    if spec.batches and one.batch is not None:
        words += ["--batch", str(one.batch)]
    if one.streams > 1:
        words += ["--scenario", f"streams:{one.streams}"]
    for name, shape in spec.shapes.items():
        words += ["--shape", f"{name}={format_shape(shape)}"]
    given = (
        ("--precision", spec.precision if spec.precision != "fp32" else None),
        ("--device", spec.device if spec.device != "cpu" else None),
        ("--profile", spec.profile),
        ("--inputs", spec.inputs),
        ("--calibration", spec.calibration),
    )
    for option, value in given:
        words += [option, value] if value else []
    return shlex.join([*words, *(["--trust"] if spec.trust else [])])
