"""The Gaussian error linear unit as exporters spell it out, exact and by tanh."""

from __future__ import annotations

from math import pi, sqrt
from typing import TYPE_CHECKING

from xbench.graph.fusions.view import Rewrite, View, close, standard

if TYPE_CHECKING:
    from xbench.graph.plain import Node


def gelu(node: Node, view: View) -> Rewrite | None:
    """Return `Gelu` in place of 0.5 * x * (1 + erf(x / sqrt 2)), or of its tanh form."""
    if node.operator not in ("Mul", "Div") or node.domain:
        return None
    factors, scale = view.product(node.outputs[0], root=True)
    if len(factors) != 2 or not close(scale, 0.5):
        return None
    for place, name in enumerate(factors):
        x = factors[1 - place]
        inner = _one_more(name, view)
        kind = None if inner is None else _kind(inner, x, view)
        if kind is not None:
            return Rewrite((standard(node, "Gelu", 20, (x,), approximate=kind),))
    return None


def _one_more(name: str, view: View) -> str | None:
    """Return what ``name`` is one more than, or None."""
    node = view.maker(name, "Add")
    found = None if node is None else view.with_number(node)
    return found[0] if found is not None and close(found[1], 1.0) else None


def _kind(name: str, x: str, view: View) -> str | None:
    node = view.maker(name, "Erf", "Tanh")
    if node is None:
        return None
    if node.operator == "Erf":
        base, scale = view.scaled(node.inputs[0])
        return "none" if base == x and close(scale, 1 / sqrt(2)) else None
    factors, scale = view.product(node.inputs[0])
    if not close(scale, sqrt(2 / pi)):
        return None
    return "tanh" if _is_cubic(factors, x, view) else None


def _is_cubic(factors: list[str], x: str, view: View) -> bool:
    """Return whether the factors are x + 0.044715 x³, whole or with an x taken out."""
    if len(factors) == 1:
        terms = view.maker(factors[0], "Add")
        return terms is not None and any(
            name == x and _is_power(terms.inputs[1 - place], x, 3, view)
            for place, name in enumerate(terms.inputs)
        )
    if len(factors) == 2 and x in factors:
        other = factors[1 - factors.index(x)]
        square = _one_more(other, view)
        return square is not None and _is_power(square, x, 2, view)
    return False


def _is_power(name: str, x: str, power: int, view: View) -> bool:
    """Return whether ``name`` is 0.044715 times a power of x."""
    factors, scale = view.product(name)
    if not close(scale, 0.044715):
        return False
    return sum(_degree(factor, x, view) for factor in factors) == power


def _degree(name: str, x: str, view: View) -> float:
    if name == x:
        return 1
    node = view.maker(name, "Pow")
    exponent = None if node is None else view.number(node.inputs[1])
    base = node is not None and node.inputs[0] == x
    return exponent if base and exponent is not None else float("nan")
