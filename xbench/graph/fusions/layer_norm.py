"""Layer normalisation as exporters spelled it out before it was an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbench.graph.fusions.view import Rewrite, View, standard

if TYPE_CHECKING:
    from xbench.graph.plain import Node


def layer_norm(node: Node, view: View) -> Rewrite | None:
    """Return `LayerNormalization` in place of (x - mean) / sqrt(variance + e) * scale + bias."""
    if node.operator != "Add" or node.domain:
        return None
    for place, name in enumerate(node.inputs):
        scaling, bias = view.maker(name, "Mul"), node.inputs[1 - place]
        if scaling is None or view.constant(bias) is None:
            continue
        for side, quotient in enumerate(scaling.inputs):
            scale = scaling.inputs[1 - side]
            found = _normalised(quotient, view)
            if found is not None and _weights(found[0], scale, bias, view):
                x, epsilon = found
                inputs = (x, scale, bias)
                one = standard(
                    node, "LayerNormalization", 17, inputs,
                    axis=-1, epsilon=epsilon, stash_type=1,
                )  # fmt: skip
                return Rewrite((one,))
    return None


def _weights(x: str, scale: str, bias: str, view: View) -> bool:
    shape = view.graph.value(x).shape
    arrays = [view.constant(name) for name in (scale, bias)]
    return bool(shape) and all(
        array is not None and array.ndim == 1 and array.shape[0] == (shape or ())[-1]
        for array in arrays
    )


def _normalised(name: str, view: View) -> tuple[str, float] | None:
    """Return x and epsilon, if ``name`` is x normalised along its last axis."""
    quotient = view.maker(name, "Div")
    if quotient is None:
        return None
    centred, deviation = quotient.inputs
    root = view.maker(deviation, "Sqrt")
    moved = None if root is None else view.maker(root.inputs[0], "Add")
    found = None if moved is None else view.with_number(moved)
    if found is None or not _is_variance(found[0], centred, view):
        return None
    uses = _square_uses(found[0], view)
    difference = view.maker(centred, "Sub", uses=uses + 1)
    if difference is None:
        return None
    x, mean = difference.inputs
    average = view.maker(mean, "ReduceMean")
    if average is None or average.inputs[0] != x or not _last_axis(average, view):
        return None
    return x, found[1]


def _square_uses(variance: str, view: View) -> int:
    average = view.maker(variance, "ReduceMean")
    square = None if average is None else view.maker(average.inputs[0], "Pow", "Mul")
    return 2 if square is not None and square.operator == "Mul" else 1


def _is_variance(name: str, centred: str, view: View) -> bool:
    average = view.maker(name, "ReduceMean")
    if average is None or not _last_axis(average, view):
        return False
    square = view.maker(average.inputs[0], "Pow", "Mul")
    if square is None or square.inputs[0] != centred:
        return False
    if square.operator == "Mul":
        return square.inputs[1] == centred
    return view.number(square.inputs[1]) == 2


def _last_axis(node: Node, view: View) -> bool:
    """Return whether a mean is along the last axis, which stays."""
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1:
        known = view.constant(node.inputs[1])
        axes = None if known is None else [int(one) for one in known.reshape(-1)]
    rank = view.rank(node.inputs[0])
    return bool(node.attributes["keepdims"]) and rank is not None and axes in ([-1], [rank - 1])
