"""x * sigmoid(x) and x * hard_sigmoid(x), as one activation each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbench.graph.fusions.view import Rewrite, View, close, made, standard

if TYPE_CHECKING:
    from xbench.graph.plain import Node


def silu(node: Node, view: View) -> Rewrite | None:
    """Return `Silu` in place of a product with a Sigmoid of the other factor."""
    if node.operator != "Mul" or node.domain:
        return None
    for place, name in enumerate(node.inputs):
        gate, x = view.maker(name, "Sigmoid"), node.inputs[1 - place]
        if gate is not None and gate.inputs[0] == x:
            return Rewrite((made(node, "Silu", (x,)),))
    return None


def hard_swish(node: Node, view: View) -> Rewrite | None:
    """Return `HardSwish` in place of x * HardSigmoid(x), or of x * Clip(x + 3, 0, 6) / 6."""
    if node.operator not in ("Mul", "Div") or node.domain:
        return None
    factors, scale = view.product(node.outputs[0], root=True)
    if len(factors) != 2:
        return None
    for place, name in enumerate(factors):
        x = factors[1 - place]
        if _is_gate(name, x, scale, view):
            return Rewrite((standard(node, "HardSwish", 14, (x,)),))
    return None


def _is_gate(name: str, x: str, scale: float, view: View) -> bool:
    hard = view.maker(name, "HardSigmoid")
    if hard is not None:
        numbers = close(hard.attributes["alpha"], 1 / 6) and close(hard.attributes["beta"], 0.5)
        return numbers and hard.inputs[0] == x and close(scale, 1.0)
    clip = view.maker(name, "Clip")
    if clip is None or clip.version < 11 or len(clip.inputs) != 3 or not close(scale, 1 / 6):
        return False
    low, high = (view.number(bound) for bound in clip.inputs[1:])
    moved = view.maker(clip.inputs[0], "Add")
    found = None if moved is None else view.with_number(moved)
    return low == 0 and high == 6 and found == (x, 3.0)
