"""One interpreter of LiteRT: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench.adapter import AS_GIVEN, Array, BoundModel, Facts, Limits
from xbench.errors import ModelError, UnsupportedNodeError
from xbench_adapters.litert import told

if TYPE_CHECKING:
    from xbench_adapters.litert.convert import Converted


class LiteRtSession:
    """A flatbuffer that is ready to run.

    It has memory of its own for inputs, into which they are copied in each run, as they are
    for its users. Outputs lie in its memory; `outputs` copies them, outside the timed region.
    """

    def __init__(
        self,
        interpreter: Any,
        inputs: Mapping[str, dict[str, Any]],
        outputs: Mapping[str, tuple[int, str | None]],
        facts: Facts,
        *,
        halved: bool,
    ) -> None:
        """Take an interpreter whose memory is planned.

        Args:
            interpreter: LiteRT's own.
            inputs: What it tells of each input that it reads, by the ONNX file's name.
            outputs: Where each output lies, and ONNX's own element type if it may be another.
            facts: What is known beforehand; the interpreter tells the rest.
            halved: Whether float32 may be computed in float16, which it does not tell.
        """
        self._interpreter = interpreter
        self._inputs = inputs
        self._outputs = outputs
        self._facts = facts
        self._halved = halved
        self._feeds: list[tuple[int, Array]] = []

    @classmethod
    def of_converted(cls, model: BoundModel, made: Converted, limits: Limits) -> LiteRtSession:
        """Return a session of what was converted for LiteRT.

        Raises:
            UnsupportedNodeError: If it has no kernel for an operator of the flatbuffer.
        """
        interpreter = _opened(made.path, limits)
        _plan(interpreter)
        runner = interpreter.get_signature_runner()
        takes, gives = runner.get_input_details(), runner.get_output_details()
        inputs = {
            spec.name: takes[f"input_{place}"]
            for place, spec in enumerate(model.inputs)
            if f"input_{place}" in takes  # no output depends on the others
        }
        outputs = {
            name: (gives[f"output_{place}"]["index"], made.dtypes[place])
            for place, name in enumerate(model.outputs)
        }
        options = {"converted": made.when, "flatbuffer_bytes": str(made.path.stat().st_size)}
        facts = Facts(importer=made.importer, convert_s=made.seconds, options=options)
        halved = told.may_be_halved(made.path)
        return cls(interpreter, inputs, outputs, facts, halved=halved)

    @classmethod
    def of_own(cls, model: BoundModel, path: Path, limits: Limits) -> LiteRtSession:
        """Return a session of the user's own flatbuffer, whose order is that of the ONNX file.

        Raises:
            ModelError: If the file is missing or damaged, or is not what the ONNX file was.
            UnsupportedNodeError: If LiteRT has no kernel for one of its operators.
        """
        interpreter = _opened(path, limits)
        takes, gives = interpreter.get_input_details(), interpreter.get_output_details()
        _check_count(path, "inputs", len(takes), len(model.inputs))
        _check_count(path, "outputs", len(gives), len(model.outputs))
        for spec, one in zip(model.inputs, takes, strict=True):
            if tuple(one["shape"]) != spec.shape:
                interpreter.resize_tensor_input(one["index"], spec.shape)
        _plan(interpreter)
        inputs = dict(zip((spec.name for spec in model.inputs), takes, strict=True))
        outputs = {
            name: (one["index"], None) for name, one in zip(model.outputs, gives, strict=True)
        }
        options = {"flatbuffer_bytes": str(path.stat().st_size)}
        facts = Facts(importer=f"{AS_GIVEN}: {path.name}", options=options)
        return cls(interpreter, inputs, outputs, facts, halved=told.may_be_halved(path))

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Keep the inputs of the next runs, in the types that LiteRT holds them in."""
        import numpy as np

        self._feeds = [
            (one["index"], np.asarray(feeds[name], one["dtype"], order="C"))
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
        import numpy as np

        details = {one["index"]: one for one in self._interpreter.get_output_details()}
        found: dict[str, Array] = {}
        for name, (index, dtype) in self._outputs.items():
            if 0 in (shape := details[index]["shape"]):  # LiteRT hands out no such array
                array = np.empty(shape, details[index]["dtype"])
            else:
                array = self._interpreter.get_tensor(index)
            found[name] = _as_onnx_has_it(array, dtype)
        return found

    def facts(self) -> Facts:
        """Return what the interpreter tells of its operators and of who computes them."""
        return told.told(self._interpreter, self._facts, halved=self._halved)

    def close(self) -> None:
        """Give the interpreter and its threads back."""
        self._interpreter, self._feeds = None, []


def _opened(path: Path, limits: Limits) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        return Interpreter(model_path=str(path), num_threads=limits.threads)
    except ValueError as error:
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"LiteRT cannot read {path}: {said}", "Convert the model again") from error


def _plan(interpreter: Any) -> None:
    """Let an interpreter plan its memory, and its kernels check what they are given."""
    try:
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise UnsupportedNodeError("?", "?", 0, f"LiteRT cannot prepare it: {said}") from error


def _as_onnx_has_it(array: Array, dtype: str | None) -> Array:
    """Return an output in ONNX's own type, where LiteRT holds it in another one."""
    import numpy as np

    if dtype == "object":
        texts = [one.decode() if isinstance(one, bytes) else one for one in array.reshape(-1)]
        return np.array(texts, dtype=object).reshape(array.shape)
    return array.astype(dtype or array.dtype, copy=False)


def _check_count(path: Path, what: str, found: int, wanted: int) -> None:
    if found != wanted:
        reason = f"{path} has {found} {what}, and the ONNX file made from it {wanted}"
        raise ModelError(reason, "Make the ONNX file of it again")
