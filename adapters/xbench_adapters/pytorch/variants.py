"""What is timed of a module: itself, compiled, captured, or under autocast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from xbench_adapters.pytorch.session import Loaded

if TYPE_CHECKING:
    from torch import nn

    from xbench_adapters.pytorch.lane import Call, Lane

OPTIONS: dict[str, dict[str, str]] = {
    "": {"mode": "eager"},
    "compile": {"mode": "inductor"},
    "graph": {"mode": "cuda graph", "cuda_graph": "the kernels; copies to and from are outside"},
    "autocast": {"mode": "eager", "autocast": "bfloat16, weights cast in every run"},
}
"""What is worth keeping of each variant."""


def loaded(
    variant: str,
    module: nn.Module,
    lane: Lane,
    importer: str,
    *,
    wrap: Callable[[Any], Call] | None = None,
    convert_s: float | None = None,
    options: dict[str, str] | None = None,
) -> Loaded:
    """Return the module as a variant times it.

    Args:
        variant: One of the adapter's.
        module: The module, on the lane's device.
        lane: The device.
        importer: How the ONNX graph became this, or that the module is the user's.
        wrap: What makes a call with tensors in order of the user's module; None for an imported
            one, which is one and is compiled without a break.
        convert_s: Seconds which the import took.
        options: Settings worth keeping besides the variant's.
    """
    wrapped: Callable[[Any], Call] = wrap or _itself
    plain = wrapped(module)
    call = plain
    if variant == "compile":  # at the first run, and the harness times that as such
        call = wrapped(torch.compile(module, fullgraph=wrap is None, dynamic=False))
    elif variant == "graph":
        call = lane.captured(plain)
    elif variant == "autocast":
        call = plain = Autocast(plain, lane.device.type)
    return Loaded(module, call, plain, importer, convert_s, OPTIONS[variant] | (options or {}))


class Autocast:
    """A call in which PyTorch multiplies float32 as bfloat16, where its list says so."""

    def __init__(self, call: Call, kind: str) -> None:
        self._call, self._kind = call, kind

    def __call__(self, *inputs: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the results; those of a last product are narrow, and made float32 again."""
        with torch.autocast(self._kind, dtype=torch.bfloat16):
            found = self._call(*inputs)
        return [one.float() if one.dtype == torch.bfloat16 else one for one in found]


def _itself(module: Any) -> Any:
    return module
