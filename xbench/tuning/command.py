"""The command that measures the winner again, and against what."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from xbench.plan import Spec
from xbench.units import format_shape

if TYPE_CHECKING:
    from xbench.tuning.run import Tuned

DEFAULT = Spec(model="")


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
    return shlex.join([*words, *options(spec)])


def options(spec: Spec) -> list[str]:
    """Return the options that say what is measured, and at what precision, as words.

    Those that are as they are by default are left out. How long it is measured, on how many threads
    and at which batch is for the caller to say.
    """
    words: list[str] = []
    for name, shape in spec.shapes.items():
        words += ["--shape", f"{name}={format_shape(shape)}"]
    for name in ("precision", "device", "profile", "seed", "inputs", "calibration"):
        if (value := getattr(spec, name)) != getattr(DEFAULT, name):
            words += [f"--{name}", str(value)]
    if spec.timeout_s != DEFAULT.timeout_s:
        words += ["--timeout", f"{spec.timeout_s:g}s"]
    return [*words, *(["--trust"] if spec.trust else [])]
