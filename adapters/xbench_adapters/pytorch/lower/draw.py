"""Operators that draw at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch
import torch.fx

from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_TRAINING = "in training without a seed it draws anew in each run (export the model for inference)"


def dropped(
    x: torch.Tensor, ratio: torch.Tensor | float, training: torch.Tensor | bool, seed: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the input and a mask of what is kept of it: all, unless a seed is trained with.

    A seed draws what ONNX's reference draws from it, so that there is something to compare.

    Raises:
        UnsupportedNodeError: In training without a seed.
    """
    rate = float(ratio)
    if not bool(training) or rate == 0:
        return x, torch.ones_like(x, dtype=torch.bool)
    if seed is None:
        raise UnsupportedNodeError("Dropout", "Dropout", 12, _TRAINING)
    drawn = np.random.RandomState(seed).uniform(0, 1.0, tuple(x.shape)) >= rate
    mask = torch.as_tensor(drawn, device=x.device)
    return (x * mask * (1 / (1 - rate))).to(x.dtype), mask


@lowering("Dropout", 1, 6)
def dropout_by_attribute(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return the input; training is refused, and so is the mask, which has no values then."""
    if not node.attributes["is_test"] and node.attributes["ratio"] != 0:
        to.refuse(_TRAINING)
    return to.value(node.inputs[0]), None


def _idle(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    x = to.value(node.inputs[0])
    if node.version < 10:
        return x, to.call(torch.ones_like, x)
    return x, to.call(torch.ones_like, x, dtype=torch.bool)


@lowering("Dropout", 7, 11)
def dropout(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the input and a mask that keeps all of it: the operator outside training."""
    return _idle(node, to)


@lowering("Dropout", 12)
def dropout_by_inputs(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the input and a mask of what is kept of it; see `dropped` for training."""
    training = to.constant(node.input(2)) if node.input(2) else np.zeros(1, np.bool_)
    rate = to.constant(node.input(1)) if node.input(1) else np.full(1, 0.5)
    idle = (training is not None and not training.any()) or (rate is not None and not rate.any())
    if idle:
        return _idle(node, to)
    seed = node.attributes.get("seed")
    if seed is None and training is not None and rate is not None:
        to.refuse(_TRAINING)
    ratio = to.value(node.inputs[1]) if node.input(1) else 0.5
    mode = to.value(node.inputs[2])
    return to.items(to.call(dropped, to.value(node.inputs[0]), ratio, mode, seed), 2)


def random_numbers(_: Node, to: Builder) -> NoReturn:
    """Refuse: what is drawn could be compared with no other runtime's."""
    to.refuse(
        "it draws at random, so that no two runtimes give the same and nothing could be"
        " compared (export the model with the noise as an input)"
    )


for _name in ("Bernoulli", "Multinomial"):
    lowering(_name, raw=True)(random_numbers)
for _name in ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"):
    lowering(_name, raw=True)(random_numbers)
