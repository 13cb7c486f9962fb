"""LiteRT as a backend: an ONNX model as a flatbuffer, run by its interpreter with XNNPACK."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from xbench.adapter import Availability, BoundModel, Limits
from xbench.authoring import chosen, installed, require
from xbench.errors import BackendUnavailableError, UsageError
from xbench_adapters.litert.session import LiteRtSession

FIX = "Install it with: pip install 'xbench[litert]'"
DISTRIBUTION = "ai-edge-litert"
CONVERTS = ("tensorflow", "tensorflow-cpu")
FILES = {"fp32": "", "fp16": "", "bf16": "", "int8": "qdq"}
"""How the file is converted at each precision that the default variant takes."""
CALIBRATE = "Give input sets to calibrate on: --calibration FILE.npz"


class LiteRtAdapter:
    """Runs ONNX models as LiteRT flatbuffers; the harness, not the adapter, owns the clock."""

    name: ClassVar[str] = "litert"
    variants: ClassVar[Mapping[str, str]] = {
        "": "CPU, a flatbuffer of the ONNX file or the user's own, with XNNPACK",
        "fp16": "the same with float16 weights; CPUs compute in float32",
        "int8": "quantised after training, weights by channel; float32 where there is no kernel",
    }
    precisions: ClassVar[Mapping[str, str]] = {"fp16": "fp16", "int8": "int8"}
    """Of the variants that narrow by LiteRT's own means; the default one takes narrowed files."""
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu"})

    def __init__(self, variant: str = "") -> None:
        self.variant = chosen(self.name, self.variants, variant)
        self._made: tuple[BoundModel, _Made] | None = None

    def available(self) -> Availability:
        """Return whether it is installed, and TensorFlow, which converts for it."""
        found = installed((DISTRIBUTION,), FIX)
        if found.reason is None and installed(CONVERTS, FIX).reason:
            return Availability(None, (), "TensorFlow, which converts for it, is missing", FIX)
        return found

    def prepare(self, limits: Limits) -> str:  # noqa: ARG002 -- each session has its own threads
        """Import LiteRT, without TensorFlow, and return its version."""
        try:
            import ai_edge_litert.interpreter  # noqa: F401 -- its import is what is asked for
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), FIX) from error
        if find_spec("tensorflow") is None:
            reason = "TensorFlow, which converts for it, is not installed"
            raise BackendUnavailableError(self.name, reason, FIX)
        return version(DISTRIBUTION)

    def convert(self, model: BoundModel, limits: Limits, precision: str) -> None:
        """Let another process make the flatbuffer, or find the one that was made; `load` reads it.

        Raises:
            UnsupportedNodeError: If a node cannot be imported, or LiteRT has no such operator.
            UsageError: If another precision or device is asked for, or int8 without input sets
                to calibrate on.
        """
        self._require(model, limits, precision)
        if not self._runs_own(model, precision):
            self._made = model, _Made(model, self.variant or FILES[precision])

    def load(self, model: BoundModel, limits: Limits, precision: str) -> LiteRtSession:
        """Return a session of the user's own flatbuffer, or of what `convert` makes; raise as it.

        Raises:
            ModelError: If the user's own flatbuffer cannot be read.
        """
        self._require(model, limits, precision)
        if self._runs_own(model, precision):
            assert model.native is not None
            return LiteRtSession.of_own(model, Path(model.native.target), limits)
        if self._made is None or self._made[0] != model:
            self.convert(model, limits, precision)
        assert self._made is not None
        made, self._made = self._made[1], None
        with made.folder:  # the file is mapped, not read, and stays mapped when its folder is gone
            return LiteRtSession.of_converted(model, made.converted, limits)

    def _require(self, model: BoundModel, limits: Limits, precision: str) -> None:
        held = (self.precisions[self.variant],) if self.variant else tuple(FILES)
        require(limits, precision, backend=self._spelled(), precisions=held)
        if self.variant == "int8" and model.calibration is None:
            raise UsageError("litert:int8 chooses its scales by inputs, and has none", CALIBRATE)

    def _runs_own(self, model: BoundModel, precision: str) -> bool:
        own = model.native is not None and model.native.framework == self.name
        return own and not self.variant and precision == "fp32"

    def _spelled(self) -> str:
        return f"{self.name}:{self.variant}" if self.variant else self.name


class _Made:
    """What was converted, and a folder where it lies if the cache cannot be written."""

    def __init__(self, model: BoundModel, variant: str) -> None:
        from xbench_adapters.litert.convert import convert

        self.folder = TemporaryDirectory(prefix="xbench-litert-")
        try:
            self.converted = convert(model, variant, Path(self.folder.name))
        except BaseException:  # nobody else knows of the folder
            self.folder.cleanup()
            raise
