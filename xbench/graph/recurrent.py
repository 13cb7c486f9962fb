"""What the attributes of recurrent networks say: directions, activations and the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xbench.graph.plain import Node

Activation = tuple[str, float, float]
"""A function's name in lower case, and its alpha and beta."""

_USUAL = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_VARIANTS = {"GRU": "linear_before_reset", "LSTM": "input_forget"}

_DEFAULTS: dict[str, tuple[float | None, ...]] = {
    "affine": (None, None),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,),
    "relu": (),
    "scaledtanh": (None, None),
    "sigmoid": (),
    "softplus": (),
    "softsign": (),
    "tanh": (),
    "thresholdedrelu": (None,),
}
"""The alpha, and the beta, that an activation has where none is given; None: it must be."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a recurrent network computes.

    Attributes:
        backwards: For each direction, whether it starts at the last step.
        activations: Those of each direction.
        clip: By how much the input of an activation of a gate is limited; None: not at all.
        variant: Of GRU, whether the reset gate is applied after the linear map; of LSTM,
            whether it forgets as much as it takes in.
        by_batch: Whether the batch is the first axis, before the steps.
    """

    backwards: tuple[bool, ...]
    activations: tuple[tuple[Activation, ...], ...]
    clip: float | None
    variant: bool
    by_batch: bool


def rules_of(node: Node) -> Rules:
    """Return what a node computes.

    Raises:
        ValueError: If that is not defined, or runtimes read it differently.
    """
    backwards = _backwards(node)
    clip = node.attributes.get("clip")
    if clip is not None and clip <= 0:
        raise ValueError(f"clip {clip}, which runtimes read differently")
    flat = _activations(node, len(backwards))
    count = len(flat) // len(backwards)
    return Rules(
        backwards=backwards,
        activations=tuple(flat[at : at + count] for at in range(0, len(flat), count)),
        clip=None if clip is None else float(clip),
        variant=bool(node.attributes.get(_VARIANTS.get(node.operator, ""), 0)),
        by_batch=bool(node.attributes.get("layout", 0)),
    )


def _backwards(node: Node) -> tuple[bool, ...]:
    direction = str(node.attributes["direction"])
    known = {
        "forward": (False,),
        "foward": (False,),  # version 1's own default
        "reverse": (True,),
        "bidirectional": (False, True),
    }
    if direction not in known:
        raise ValueError(f"direction {direction!r}")
    return known[direction]


def _activations(node: Node, directions: int) -> tuple[Activation, ...]:
    """Return the activations of all directions, each with its own alpha and beta.

    Those that take one take the next of the list, as ONNX says; a list with one for each
    activation, used or not, is refused where that would give others.
    """
    usual = _USUAL[node.operator]
    count = len(usual) * directions
    given = node.attributes.get("activations") or usual * directions
    names = [str(one).lower() for one in given]
    names = names[:count] if node.operator == "RNN" else names  # its default is for both ways
    if len(names) != count or not set(names) <= set(_DEFAULTS):
        raise ValueError(f"activations {list(given)}")
    both = [
        [float(one) for one in node.attributes.get(f"activation_{name}") or ()]
        for name in ("alpha", "beta")
    ]
    left, found = [list(one) for one in both], list[Activation]()
    for place, name in enumerate(names):
        values = [0.0, 0.0]
        for which, default in enumerate(_DEFAULTS[name]):
            value = left[which].pop(0) if left[which] else default
            listed = both[which][place] if len(both[which]) == count else value
            if value is None or listed != value:
                raise ValueError(f"activation_{('alpha', 'beta')[which]} for {list(given)}")
            values[which] = value
        found.append((name, values[0], values[1]))
    return tuple(found)
