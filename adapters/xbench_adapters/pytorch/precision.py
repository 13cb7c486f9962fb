"""In which precision PyTorch really computes: what is held, and what is read back.

Precision is read from what multiplies: the element types that products are given when the model
runs, and for float32 what the library behind a product makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xbench.authoring import joined

ONEDNN = ("mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
"""What computes float32 on a CPU, and could do so in bf16; by place in `torch.backends`."""

NVIDIA = ("cuda.matmul", "cudnn.conv", "cudnn.rnn")
"""What computes float32 on a GPU, and could do so in TF32; by place in `torch.backends`."""

FINE, COARSE = 1 + 2.0**-12, 1 + 2.0**-9
"""Float32 has 23 bits after the point and keeps both; TF32 has 10, bfloat16 7."""

SIDE = {"cpu": 256, "cuda": 1024}
"""Rows of the matrices that are tried on each kind of device: cuBLAS may spare small ones."""

NAMES = {
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
    torch.float64: "fp32",  # no narrower, and what is asked for is what it holds at least
    torch.int8: "int8",
    torch.uint8: "int8",
}
_PRODUCTS = frozenset(
    {"addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "dot", "mm", "mv", "vdot"}
    | {"_addmm_activation", "_int_mm", "_scaled_mm", "bilinear", "_trilinear"}
)
_KINDS = ("conv", "attention", "rnn", "lstm", "gru", "linear", "matmul")
"""Parts of the names of what multiplies besides `_PRODUCTS`."""
_MOVES = ("copy", "cast", "view", "clone", "embedding", "index", "cat", "pad", "slice")
"""Parts of the names of what only moves elements, or changes their type."""


def hold(*, tf32: bool) -> None:
    """Turn off all that lets PyTorch compute in a narrower type than is written in the model.

    Args:
        tf32: Whether products of float32 on a GPU may be TF32 all the same.
    """
    backends: Any = torch.backends
    # The older switch goes first: it moves parts of the newer ones, and is read by torch.export,
    # which fails where they disagree.
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    backends.fp32_precision = "ieee"
    backends.cudnn.allow_tf32 = tf32
    backends.cudnn.fp32_precision = "tf32" if tf32 else "ieee"
    for part in ONEDNN[1:] if tf32 else ONEDNN:
        _part(part).fp32_precision = "ieee"
    matmul = backends.cuda.matmul
    matmul.allow_fp16_reduced_precision_reduction = False
    matmul.allow_bf16_reduced_precision_reduction = False
    matmul.allow_fp16_accumulation = False
    backends.cuda.allow_fp16_bf16_reduction_math_sdp(False)


def settings(kind: str) -> dict[str, str]:
    """Return what lets PyTorch compute narrower on a kind of device, as it stands now."""
    if kind == "cpu":
        return {part: _setting(part) for part in ("mkldnn", *ONEDNN)}
    backends: Any = torch.backends
    names = ("fp16_reduced_precision_reduction", "bf16_reduced_precision_reduction")
    reductions = {
        name: bool(getattr(backends.cuda.matmul, f"allow_{name}"))
        for name in (*names, "fp16_accumulation")
    }
    reductions["math_attention_reduction"] = backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    told = {name: "allowed" if on else "off" for name, on in reductions.items()}
    return {part: _setting(part) for part in NVIDIA} | told


def effective(multiplied: Iterable[str], kind: str) -> str:
    """Return the precision of arithmetic whose products are of these precisions, joined by +.

    Args:
        multiplied: Values of `NAMES`.
        kind: ``cpu`` or ``cuda``: float32 is multiplied as the device's library does it now.
    """
    found = set(multiplied)
    if "fp32" in found:
        found = found - {"fp32"} | multiplied_float32(kind)
    return joined(found)


def multiplied_float32(kind: str) -> set[str]:
    """Return in what float32 is multiplied: ``fp32``, or else narrower.

    On a CPU a setting counts, whatever this CPU makes of it: it may look at the shape. On a GPU
    the outputs count, since not every GPU has TF32.
    """
    loose = {_setting(part) for part in ONEDNN} - {"ieee"} if kind == "cpu" else set()
    found = probed(torch.device(kind), SIDE[kind])
    return loose | ({found} if found != "fp32" else set()) or {"fp32"}


def probed(device: torch.device, side: int) -> str:
    """Return ``fp32`` if products keep what float32 can hold, else ``tf32`` or ``bf16``.

    Numbers that a narrower type rounds are multiplied by one, in a matrix product and in a
    convolution.
    """
    one = torch.eye(side, device=device)
    kept = [_keeps(torch.full_like(one, number), one) for number in (FINE, COARSE)]
    return "fp32" if kept[0] else "tf32" if kept[1] else "bf16"


def _keeps(x: torch.Tensor, one: torch.Tensor) -> bool:
    with torch.no_grad():
        image = x.t().reshape(1, len(x), 16, -1)
        found = functional.conv2d(image, one.reshape(*one.shape, 1, 1))
        return torch.equal(torch.matmul(x, one), x) and torch.equal(found, image)


class Multiplied(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch ships no types here
    """While it is entered: which precisions products are given, and all other arithmetic."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.products: set[str] = set()
        self.others: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Note the element types of floats that an operator is given, and run it."""
        name = func.overloadpacket.__name__
        leaves = tree_leaves((args, kwargs or {}))
        dtypes = {one.dtype for one in leaves if isinstance(one, torch.Tensor)}
        if _multiplies(name):
            self.products |= {NAMES[one] for one in dtypes if one in NAMES}
        elif not any(part in name for part in _MOVES):
            self.others |= {NAMES[one] for one in dtypes if one.is_floating_point and one in NAMES}
        return func(*args, **(kwargs or {}))

    @property
    def found(self) -> set[str]:
        """Return the precisions of products; of a model without any, of the rest."""
        return self.products or self.others


def observed(run: Callable[[], Any]) -> set[str]:
    """Return the precisions of the products in one run, which is an inference more.

    Without inference mode, under which operators are not taken apart.
    """
    seen = Multiplied()
    with torch.no_grad(), seen:
        run()
    return seen.found


def held(tensors: Iterable[torch.Tensor]) -> set[str]:
    """Return the precisions of weights: what arithmetic is likely, before any has been seen."""
    return {NAMES[one.dtype] for one in tensors if one.is_floating_point() and one.dtype in NAMES}


def _multiplies(name: str) -> bool:
    if name.startswith("upsample"):  # linear, and no product of two tensors
        return False
    return name in _PRODUCTS or any(part in name for part in _KINDS)


def _part(path: str) -> Any:
    found: Any = torch.backends
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _setting(path: str) -> str:
    return str(_part(path).fp32_precision)
