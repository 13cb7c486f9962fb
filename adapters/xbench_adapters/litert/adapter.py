"""LiteRT as a backend: an ONNX model as a flatbuffer, run by its interpreter with XNNPACK."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from xbench.adapter import Array, Availability, BoundModel, Facts, Limits
from xbench.authoring import installed, require
from xbench.errors import BackendUnavailableError, UnsupportedNodeError, UsageError

if TYPE_CHECKING:
    from xbench_adapters.litert.convert import Converted

FIX = "Install it with: pip install 'xbench[litert]'"
DISTRIBUTION = "ai-edge-litert"
CONVERTS = ("tensorflow", "tensorflow-cpu")
PRECISIONS = {"float16": "fp16", "bfloat16": "bf16"}


class LiteRtAdapter:
    """Runs ONNX models as LiteRT flatbuffers; the harness, not the adapter, owns the clock."""

    name: ClassVar[str] = "litert"
    variants: ClassVar[Mapping[str, str]] = {"": "CPU, a float32 flatbuffer, with XNNPACK"}

    def __init__(self, variant: str = "") -> None:
        if variant not in self.variants:
            raise UsageError(f"litert has no variant {variant!r}", "It has the default only")

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

    def load(self, model: BoundModel, limits: Limits, precision: str) -> LiteRtSession:
        """Return a session; another process makes the flatbuffer, by TensorFlow's converter.

        Raises:
            UnsupportedNodeError: If a node cannot be imported, or LiteRT has no such operator.
            UsageError: If another precision or device is asked for.
        """
        from xbench_adapters.litert.convert import convert

        require(limits, precision, backend=self.name)
        start_s = perf_counter()
        # The file is mapped, not read, and stays mapped when its folder is gone.
        with TemporaryDirectory(prefix="xbench-litert-") as folder:
            converted = convert(model.path, model.shapes, Path(folder))
            convert_s = perf_counter() - start_s
            return LiteRtSession(model, converted, limits, convert_s)


class LiteRtSession:
    """One interpreter: NumPy arrays in, NumPy arrays out.

    It has memory of its own for inputs, into which they are copied in each run, as they are
    for its users. Outputs lie in its memory; `outputs` copies them, outside the timed region.
    """

    def __init__(
        self, model: BoundModel, converted: Converted, limits: Limits, convert_s: float
    ) -> None:
        self._interpreter = _interpreter(converted.path, limits)
        runner = self._interpreter.get_signature_runner()
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        order = [spec.name for spec in model.inputs]
        self._inputs = {
            name: inputs[f"input_{place}"]
            for place, name in enumerate(order)
            if f"input_{place}" in inputs  # no output depends on the others
        }
        self._outputs = [outputs[f"output_{place}"]["index"] for place in range(len(outputs))]
        self._names = model.outputs
        self._converted = converted
        self._convert_s = convert_s
        self._bytes = converted.path.stat().st_size
        self._feeds: list[tuple[int, Array]] = []

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Keep the inputs of the next runs, in the types that LiteRT holds them in."""
        import numpy as np

        self._feeds = [
            (one["index"], np.ascontiguousarray(feeds[name]).astype(one["dtype"], copy=False))
            for name, one in self._inputs.items()
        ]

    def run(self) -> None:
        """Run once: copy the inputs in, and compute."""
        interpreter = self._interpreter
        for index, array in self._feeds:
            interpreter.set_tensor(index, array)
        interpreter.invoke()

    def synchronize(self) -> None:
        """Do nothing: `run` returns when the outputs are there."""

    def outputs(self) -> Mapping[str, Array]:
        """Return copies of the outputs of the last run, in ONNX's own types."""
        arrays = [self._interpreter.get_tensor(index) for index in self._outputs]
        return {
            name: array.astype(dtype or array.dtype, copy=False)
            for name, array, dtype in zip(self._names, arrays, self._converted.dtypes, strict=True)
        }

    def facts(self) -> Facts:
        """Return what the interpreter tells of its tensors and of who computes them."""
        kinds = {one["dtype"].__name__ for one in self._interpreter.get_tensor_details()}
        narrow = sorted(PRECISIONS[kind] for kind in kinds & set(PRECISIONS))
        return Facts(
            precision="+".join(narrow) or "fp32",
            importer=self._converted.importer,
            convert_s=self._convert_s,
            options={**computed_by(self._interpreter), "flatbuffer_bytes": str(self._bytes)},
        )

    def close(self) -> None:
        """Give the interpreter and its threads back."""
        self._interpreter, self._feeds = None, []


def _interpreter(path: Path, limits: Limits) -> Any:
    """Return an interpreter that has planned its memory.

    Raises:
        UnsupportedNodeError: If it has no kernel for an operator of the flatbuffer.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=limits.threads)
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        said = " ".join(str(error).split())[:200]
        raise UnsupportedNodeError("?", "?", 0, f"LiteRT cannot prepare it: {said}") from error
    return interpreter


def computed_by(interpreter: Any) -> dict[str, str]:
    """Return how many operators XNNPACK computes, and those that LiteRT's own kernels do.

    XNNPACK replaces parts of the graph by a node each, and nobody lists what is in it: that is
    what such a node gives, and what only nodes within read.
    """
    nodes = interpreter._get_ops_details()  # it has no public name
    parts = [node for node in nodes if node["op_name"] == "DELEGATE"]
    given = _tensors(parts, "outputs")
    needed = _tensors(parts, "inputs") | {one["index"] for one in interpreter.get_output_details()}
    own: list[str] = []
    whole = [node for node in nodes if node["op_name"] != "DELEGATE"]
    for node in reversed(whole):  # each after those that read it
        gives = _tensors([node], "outputs")
        if gives & needed and not gives & given:
            needed |= _tensors([node], "inputs")
            own.append(node["op_name"])
    counted = sorted(Counter(own).items())
    return {
        "xnnpack": f"{len(whole) - len(own)} of {len(whole)} operators in {len(parts)} parts",
        "own_kernels": ", ".join(f"{name} {count}" for name, count in counted) or "none",
    }


def _tensors(nodes: Iterable[dict[str, Any]], end: str) -> set[int]:
    return {int(index) for node in nodes for index in node[end]}
