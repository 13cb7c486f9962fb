"""What is checked in one way of every importer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from hypothesis import HealthCheck, settings

from tests.adapters.graphs import (
    Arrays,
    built,
    close,
    model,
    onnxruntime_says,
    opened,
    reference_says,
)


@dataclass(frozen=True, slots=True)
class Importer:
    """An importer under test: how it is called, and checks of what it gives."""

    name: str
    import_onnx: Callable[..., Any]
    """Returns an ONNX model as something that is called with values."""
    taken: Callable[[Any], Any]
    """Returns an array, text, list or None as an imported model takes it."""
    read: Callable[[Any], Any]
    """Returns what an imported model gave as arrays, lists and None; text as `str`."""
    errors: tuple[type[Exception], ...]
    """What a model may raise as it runs where its inputs have no meaning."""
    pace: float
    """The part of the examples of each property that are tried: tracing takes time."""
    mode: Callable[[], AbstractContextManager[Any]] = nullcontext
    """What a model runs within."""

    def examples(self, count: int) -> settings:
        """Return settings under which a property is tried ``count`` times, or a part of that."""
        return settings(
            max_examples=round(count * self.pace),
            deadline=None,
            derandomize=True,  # the same cases each time: a failure can be looked at
            suppress_health_check=[HealthCheck.filter_too_much],
        )

    def run(self, module: Any, feeds: Mapping[Any, Any]) -> list[Any]:
        """Return the outputs that an imported model computes, as arrays."""
        with self.mode():
            return [self.read(one) for one in module(*map(self.taken, feeds.values()))]

    def ran(self, whole: onnx.ModelProto, feeds: Arrays) -> list[Any]:
        """Return the outputs of a model once imported, as arrays."""
        return self.run(self.import_onnx(whole), feeds)

    def said(self, nodes: Sequence[onnx.NodeProto], feeds: Arrays, opset: int = 20) -> Any:
        """Return the one output of a model that is given all of its feeds at run time."""
        (found,) = self.ran(model(nodes, feeds, [nodes[-1].output[0]], opset=opset), feeds)
        return found

    def given_by(
        self, one: onnx.NodeProto, feeds: Arrays, opset: int = 20, **openness: bool
    ) -> list[Any]:
        """Return what an imported node gives, as arrays; see `built`."""
        return self.ran(built(one, feeds, opset, **openness), feeds)

    def holds(self, wanted: Any) -> Any:
        """Return an array in the type in which the importer holds its elements."""
        return self.read(self.taken(np.asarray(wanted)))

    def agree(
        self,
        nodes: Sequence[onnx.NodeProto],
        feeds: Arrays,
        outputs: Sequence[str],
        weights: Arrays | None = None,
        *,
        opset: int = 20,
        rtol: float = 1e-4,
        atol: float = 1e-5,
    ) -> Any:
        """Return the imported model, after ONNX Runtime gave the same outputs."""
        whole = model(nodes, feeds, outputs, weights, opset)
        wanted = onnxruntime_says(whole, feeds)
        module = self.import_onnx(whole)
        close(self.run(module, feeds), wanted, rtol, atol)
        return module

    def agree_as(
        self,
        nodes: Sequence[onnx.NodeProto],
        feeds: Arrays,
        rest: Arrays,
        outputs: Sequence[str] = ("y",),
        *,
        way: str = "known",
        opset: int = 20,
        reference: bool = False,
        rtol: float = 1e-4,
        atol: float = 1e-5,
    ) -> None:
        """Check outputs against ONNX Runtime's, or those of ONNX's reference.

        Args:
            nodes: The computation.
            feeds: Inputs of every run.
            rest: Inputs that are constants where the way is ``known``.
            outputs: What to compare.
            way: One of `WAYS`: with ``open`` no length of any input is known.
            opset: The operator set.
            reference: Whether ONNX's reference tells, where ONNX Runtime has no such operator.
            rtol: As in NumPy.
            atol: As in NumPy.
        """
        given = dict(feeds) if way == "known" else {**feeds, **rest}
        whole = model(nodes, given, outputs, rest if way == "known" else None, opset)
        wanted = reference_says(whole, given) if reference else onnxruntime_says(whole, given)
        found = self.ran(opened(whole) if way == "open" else whole, given)
        close(found, wanted, rtol, atol)
