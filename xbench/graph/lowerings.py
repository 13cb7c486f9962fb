"""Which function of an importer lowers which operator, at which schema versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

from xbench.errors import UnsupportedNodeError
from xbench.graph.plain import Graph, Node

LATEST = 28
"""The newest operator set that the lowerings were written and tested for."""

MICROSOFT = "com.microsoft"
"""The domain of the operators that ONNX Runtime's optimisers and quantiser write."""

ML = "ai.onnx.ml"
"""The domain of ONNX's operators on features, labels and trees."""

Function = Callable[[Node, Any], Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A function that lowers an operator, and when.

    Attributes:
        since: First schema version that it holds for.
        until: Last one.
        when: Which nodes it is for, beyond their version.
        options: What the importer wants to know of it, such as ``raw=True``.
    """

    since: int
    until: int
    function: Function
    when: Callable[[Node], bool] | None
    options: dict[str, Any]

    def takes(self, node: Node) -> bool:
        """Return whether the function is for ``node``."""
        return self.since <= node.version <= self.until and (self.when is None or self.when(node))


class Lowerings:
    """The lowerings of one framework: functions in the files of one package, by family."""

    def __init__(self, framework: str, package: str) -> None:
        self._framework = framework
        self._package = package
        self._entries: dict[tuple[str, str], list[Entry]] = {}

    def lowering(
        self,
        operator: str,
        since: int = 1,
        until: int = LATEST,
        *,
        domain: str = "",
        when: Callable[[Node], bool] | None = None,
        **options: Any,
    ) -> Callable[[Function], Function]:
        """Register a function for schema versions ``since`` to ``until``, both included.

        Args:
            operator: The operator's name.
            since: First schema version.
            until: Last schema version.
            domain: The operator's domain.
            when: Which nodes it is for; those it says no to go to the next function
                registered, or are expanded where ONNX defines the operator as a function,
                or are refused.
            options: See `Entry`.
        """

        def register(function: Function) -> Function:
            entry = Entry(since, until, function, when, options)
            self._entries.setdefault((domain, operator), []).append(entry)
            return function

        return register

    @cached_property
    def _table(self) -> dict[tuple[str, str], list[Entry]]:
        """Return the table, after every family of operators has registered its own."""
        package = import_module(self._package)
        for family in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(family.name)
        return self._entries

    def operators(self, domain: str = "") -> frozenset[str]:
        """Return the operators of a domain that have a lowering."""
        return frozenset(operator for at, operator in self._table if at == domain)

    def handles(self, node: Node) -> bool:
        """Return whether some function lowers ``node``."""
        return any(one.takes(node) for one in self._table.get((node.domain, node.operator), []))

    def find(self, node: Node) -> Entry:
        """Return the function that lowers ``node``.

        Raises:
            UnsupportedNodeError: If there is none for its operator, version and attributes.
        """
        entries = self._table.get((node.domain, node.operator), [])
        for entry in entries:
            if entry.takes(node):
                return entry
        what = "it"
        if entries:
            fits = any(entry.since <= node.version <= entry.until for entry in entries)
            what = "with these attributes it" if fits else "this version"
        spelled = f"{node.domain}::{node.operator}" if node.domain else node.operator
        detail = f"{what} has no {self._framework} lowering"
        raise UnsupportedNodeError(node.name, spelled, node.version, detail)

    def check(self, graph: Graph) -> None:
        """Refuse a graph with a node that has no lowering, before any weight is copied.

        Raises:
            UnsupportedNodeError: Naming the first such node, within inner graphs too.
        """
        for node in graph.nodes:
            self.find(node)
            for value in node.attributes.values():
                if isinstance(value, Graph):
                    self.check(value)
