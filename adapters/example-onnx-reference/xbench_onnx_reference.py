"""ONNX's own reference evaluator as a backend of xbench: plain NumPy, slow, and right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from xbench.adapter import Array, Availability, BoundModel, Facts, Limits
from xbench.authoring import installed, require, unsupported
from xbench.errors import BackendUnavailableError

FIX = "Install it with: pip install onnx"
UNKNOWN = r"'(\w+)' (?:from|and) domain '([^']*)'"
"""How onnx.reference says that it lacks an operator."""


class OnnxReferenceAdapter:
    """Runs ``.onnx`` files in ``onnx.reference``."""

    name: ClassVar[str] = "onnx-reference"
    variants: ClassVar[Mapping[str, str]] = {"": "NumPy, one operator at a time"}

    def __init__(self, variant: str = "") -> None:
        self._variant = variant

    def available(self) -> Availability:
        """Return whether onnx is installed; its metadata says so, without an import."""
        return installed(("onnx",), FIX)

    def prepare(self, limits: Limits) -> str:  # noqa: ARG002 -- NumPy's threads are capped outside
        """Import onnx and return its version; the worker's environment caps NumPy's threads."""
        try:
            import onnx
            import onnx.reference
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), FIX) from error
        return str(onnx.__version__)

    def load(self, model: BoundModel, limits: Limits, precision: str) -> OnnxReferenceSession:
        """Return a session, or the error that names the operator that is missing."""
        from onnx.reference import ReferenceEvaluator

        require(limits, precision, backend=self.name)
        try:
            evaluator = ReferenceEvaluator(str(model.path))
        except NotImplementedError as error:
            if found := re.search(UNKNOWN, str(error)):
                detail = "onnx.reference does not know it"
                raise unsupported(model.path, found[1], detail, domain=found[2]) from error
            raise
        return OnnxReferenceSession(evaluator, model.outputs)


class OnnxReferenceSession:
    """A loaded model: NumPy arrays in, NumPy arrays out."""

    def __init__(self, evaluator: Any, outputs: tuple[str, ...]) -> None:
        self._evaluator = evaluator
        self._names = list(outputs)
        self._feeds: dict[str, Array] = {}
        self._outputs: list[Array] = []

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Keep the inputs of the next runs."""
        self._feeds = dict(feeds)

    def run(self) -> None:
        """Run once, on the CPU, before returning."""
        self._outputs = self._evaluator.run(self._names, self._feeds)

    def synchronize(self) -> None:
        """Do nothing: `run` returns when the outputs are there."""

    def outputs(self) -> Mapping[str, Array]:
        """Return the outputs of the last run, in the graph's order."""
        return dict(zip(self._names, self._outputs, strict=True))

    def facts(self) -> Facts:
        """Return what is known: NumPy computes in the types of the arrays that it is given."""
        return Facts(precision="fp32", importer="onnx.reference")

    def close(self) -> None:
        """Let go of the model and the arrays."""
        self._evaluator, self._feeds, self._outputs = None, {}, []
