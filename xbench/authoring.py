"""What most adapters need besides their framework.

Is it installed, has it that variant, can it hold what was asked for, and which node of the file did
it refuse?
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.adapter import Availability, Limits
from xbench.errors import UnsupportedNodeError, UsageError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


def installed(distributions: Sequence[str], fix: str) -> Availability:
    """Return whether one of ``distributions`` is installed, from its metadata alone.

    Args:
        distributions: Names under which the framework is published; the first is the usual one.
        fix: What to do where none is installed, such as ``Install it with: pip install …``.
    """
    for name in distributions:
        try:
            return Availability(version(name))
        except PackageNotFoundError:
            continue
    return Availability(None, reason=f"{distributions[0]} is not installed", fix=fix)


def chosen(backend: str, variants: Iterable[str], variant: str) -> str:
    """Return ``variant``, if the backend has it.

    Raises:
        UsageError: If it has not.
    """
    if variant not in variants:
        known = ", ".join(one or "the default" for one in variants)
        raise UsageError(f"{backend} has no variant {variant!r}", f"It has {known}")
    return variant


def require(
    limits: Limits,
    precision: str,
    *,
    backend: str,
    devices: Sequence[str] = ("cpu",),
    precisions: Sequence[str] = ("fp32",),
) -> None:
    """Raise unless the backend can hold the device and the precision that were asked for.

    Raises:
        UsageError: If it cannot; a row must never hold less than it says.
    """
    for what, asked, held in (
        ("device", limits.device, devices),
        ("precision", precision, precisions),
    ):
        if asked not in held:
            raise UsageError(
                f"{backend} cannot hold {what} {asked!r}",
                f"It holds {', '.join(held)}; ask for that, or leave this backend out",
            )


def joined(kinds: Iterable[str]) -> str:
    """Return the precisions of one row as one word, the narrowest first, such as ``int8+fp32``."""
    return "+".join(sorted(set(kinds), key=lambda kind: (int(re.sub(r"\D", "", kind) or 0), kind)))


def unsupported(
    path: Path, operator: str, detail: str, *, node: str | None = None, domain: str = ""
) -> UnsupportedNodeError:
    """Return the error for an operator that a framework refused by name only.

    The file says which node it is, and the version of its operator set.

    Args:
        path: The model's file; external data is not read.
        operator: The operator's type.
        detail: What the framework said.
        node: The node's name or an output of it, where the framework tells; else the first node
            with that operator is named.
        domain: The operator's domain.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    nodes = list(_nodes(model))
    by_name = (n for n in nodes if node and node in (n.name, *n.output))
    by_type = (n for n in nodes if (n.op_type, _plain(n.domain)) == (operator, _plain(domain)))
    found = next(by_name, None) or next(by_type, None)
    if found is None:
        return UnsupportedNodeError(node or "?", operator, 0, detail)
    home = _plain(found.domain)
    versions = {_plain(one.domain): one.version for one in model.opset_import}
    name = found.name or node or next(iter(found.output), "?")
    spelled = f"{home}::{found.op_type}" if home else found.op_type
    return UnsupportedNodeError(name, spelled, versions.get(home, 0), detail)


def first_node(path: Path, domain: str) -> tuple[str, str]:
    """Return the name and the operator of the first node of ``domain``; ``?`` if there is none."""
    import onnx

    nodes = _nodes(onnx.load(path, load_external_data=False))
    found = next((n for n in nodes if _plain(n.domain) == _plain(domain)), None)
    return (found.name or found.output[0], found.op_type) if found else ("?", "?")


def _plain(domain: str) -> str:
    """Return a domain with the default one spelled in one way."""
    return "" if domain == "ai.onnx" else domain


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Yield every node: of the graph, of the graphs inside its nodes, and of local functions."""
    pending = [*model.graph.node, *(node for f in model.functions for node in f.node)][::-1]
    while pending:
        node = pending.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                pending += reversed(graph.node)
