"""Which function lowers which operator, at which schema versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from xbench.errors import UnsupportedNodeError

if TYPE_CHECKING:
    import torch.fx

    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

    Lowered = torch.fx.Node | tuple[torch.fx.Node, ...]
    Lowering = Callable[[Node, Builder], Lowered]

LATEST = 28
"""The newest operator set that the lowerings were written and tested for."""

FAMILIES = (
    "activation",
    "arithmetic",
    "attention",
    "cast",
    "convolution",
    "elementwise",
    "index",
    "linear",
    "normalization",
    "pooling",
    "recurrent",
    "reduction",
    "resize",
    "shape",
)


@dataclass(frozen=True, slots=True)
class _Entry:
    since: int
    until: int
    function: Lowering


_TABLE: dict[tuple[str, str], list[_Entry]] = {}


def lowering(
    operator: str, since: int = 1, until: int = LATEST, domain: str = ""
) -> Callable[[Lowering], Lowering]:
    """Register a function for schema versions ``since`` to ``until``, both included."""

    def register(function: Lowering) -> Lowering:
        _TABLE.setdefault((domain, operator), []).append(_Entry(since, until, function))
        return function

    return register


@cache
def _load() -> dict[tuple[str, str], list[_Entry]]:
    for family in FAMILIES:
        import_module(f"xbench_adapters.pytorch.lower.{family}")
    return _TABLE


def operators() -> frozenset[str]:
    """Return the operators of ONNX's own domain that have a lowering."""
    return frozenset(operator for domain, operator in _load() if domain == "")


def find(node: Node) -> Lowering:
    """Return the function that lowers ``node``.

    Raises:
        UnsupportedNodeError: If there is none for its operator and version.
    """
    entries = _load().get((node.domain, node.operator), [])
    for entry in entries:
        if entry.since <= node.version <= entry.until:
            return entry.function
    spelled = f"{node.domain}::{node.operator}" if node.domain else node.operator
    detail = "this version has no PyTorch lowering" if entries else "it has no PyTorch lowering"
    raise UnsupportedNodeError(node.name, spelled, node.version, detail)
