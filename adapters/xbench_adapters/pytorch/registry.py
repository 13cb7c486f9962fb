"""Which function lowers which operator, at which schema versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import walk_packages
from typing import TYPE_CHECKING

from xbench.errors import UnsupportedNodeError

if TYPE_CHECKING:
    import torch.fx

    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

    Lowered = torch.fx.Node | tuple[torch.fx.Node | None, ...]
    Lowering = Callable[[Node, Builder], Lowered]

LATEST = 28
"""The newest operator set that the lowerings were written and tested for."""

MICROSOFT = "com.microsoft"
"""The domain of the operators that ONNX Runtime's optimisers and quantiser write."""

ML = "ai.onnx.ml"
"""The domain of ONNX's operators on features, labels and trees."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A function that lowers an operator, and when.

    Attributes:
        since: First schema version that it holds for.
        until: Last one.
        raw: Whether it takes elements of every type as they are held, text included;
            others are handed stand-ins for types that PyTorch has no full arithmetic for.
        when: Which nodes it is for, beyond their version.
    """

    since: int
    until: int
    function: Lowering
    raw: bool
    when: Callable[[Node], bool] | None

    def takes(self, node: Node) -> bool:
        """Return whether the function is for ``node``."""
        return self.since <= node.version <= self.until and (self.when is None or self.when(node))


_TABLE: dict[tuple[str, str], list[Entry]] = {}


def lowering(
    operator: str,
    since: int = 1,
    until: int = LATEST,
    *,
    domain: str = "",
    raw: bool = False,
    when: Callable[[Node], bool] | None = None,
) -> Callable[[Lowering], Lowering]:
    """Register a function for schema versions ``since`` to ``until``, both included.

    Args:
        operator: The operator's name.
        since: First schema version.
        until: Last schema version.
        domain: The operator's domain.
        raw: See `Entry`.
        when: See `Entry`; nodes it says no to go to the next function registered, or are
            expanded where ONNX defines the operator as a function, or are refused.
    """

    def register(function: Lowering) -> Lowering:
        entry = Entry(since, until, function, raw, when)
        _TABLE.setdefault((domain, operator), []).append(entry)
        return function

    return register


@cache
def _load() -> dict[tuple[str, str], list[Entry]]:
    """Return the table, after every module in ``lower`` and below has registered its operators."""
    from xbench_adapters.pytorch import lower

    for module in walk_packages(lower.__path__, f"{lower.__name__}."):
        import_module(module.name)
    return _TABLE


def operators(domain: str = "") -> frozenset[str]:
    """Return the operators of a domain that have a lowering."""
    return frozenset(operator for at, operator in _load() if at == domain)


def handles(node: Node) -> bool:
    """Return whether some function lowers ``node``."""
    return any(entry.takes(node) for entry in _load().get((node.domain, node.operator), []))


def find(node: Node) -> Entry:
    """Return the function that lowers ``node``, and how it wants its inputs.

    Raises:
        UnsupportedNodeError: If there is none for its operator and version.
    """
    entries = _load().get((node.domain, node.operator), [])
    for entry in entries:
        if entry.takes(node):
            return entry
    spelled = f"{node.domain}::{node.operator}" if node.domain else node.operator
    detail = "this version has no PyTorch lowering" if entries else "it has no PyTorch lowering"
    if any(entry.since <= node.version <= entry.until for entry in entries):
        detail = "with these attributes it has no PyTorch lowering"
    raise UnsupportedNodeError(node.name, spelled, node.version, detail)
