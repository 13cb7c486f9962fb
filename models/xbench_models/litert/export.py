"""A LiteRT flatbuffer to one ONNX file, checked against LiteRT's own interpreter.

What is quantised stays so: its tensors stand between pairs of quantising and dequantising nodes,
as ONNX has it. Where LiteRT rounds in whole numbers the file rounds what it computed in floats, so
that they may differ by a step, and what follows by what the steps add up to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench.adapter import TensorSpec
from xbench.errors import ModelError
from xbench_models.agreement import agreed
from xbench_models.comparing import LARGEST_ERROR
from xbench_models.exported import Exported, save
from xbench_models.factory import one_line
from xbench_models.onnx_tidy import BATCH, legal_names, refuse_foreign, tidy
from xbench_models.quiet import quiet
from xbench_models.silent import silent

if TYPE_CHECKING:
    import onnx

    from xbench.adapter import Array

    Details = list[dict[str, Any]]

OPSET = 18  # the newest that the converter writes
LARGEST_QUANTISED_ERROR = 0.05  # of the norm; a wrong scale or axis is off by far more
RUN_IT = "Run it with litert, which takes it as it is"


def export(flatbuffer: Path, path: Path) -> Exported:
    """Return the file at ``path``, which agrees with the flatbuffer on seeded inputs.

    Raises:
        ModelError: If LiteRT cannot run the flatbuffer, it cannot become an ONNX file, or the
            file disagrees with it.
    """
    with quiet(), silent():
        interpreter = _interpreter(flatbuffer)
        ends = _ends(interpreter)
        save(_convert(flatbuffer, *ends), path)
        largest = LARGEST_QUANTISED_ERROR if _quantised(interpreter) else LARGEST_ERROR
        run = partial(_run, interpreter, [spec.name for _, spec in ends[0]])
        outputs = interpreter.get_output_details()
        found = agreed(path, run, flatbuffer.name, largest, values=partial(_values, outputs))
    return Exported(path, found.doubts())


def _interpreter(flatbuffer: Path) -> Any:
    """Return an interpreter that has planned its memory."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(flatbuffer), num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = f"LiteRT cannot run {flatbuffer.name}: {one_line(error)}"
        fix = "Convert it again, with LiteRT's own operators only (TFLITE_BUILTINS)"
        raise ModelError(reason, fix) from error
    return interpreter


Ends = list[tuple[str, TensorSpec]]


def _ends(interpreter: Any) -> tuple[Ends, Ends]:
    """Return inputs and outputs in the flatbuffer's order: the tensor's name, and what to declare.

    They are called as the signature calls them, where there is one, else as their tensors are.
    """
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    known_inputs, known_outputs = _signature(interpreter)
    given = legal_names(known_inputs.get(one["index"], one["name"]) for one in inputs)
    gives = legal_names((known_outputs.get(one["index"], one["name"]) for one in outputs), given)
    batched = any(_dims(one)[:1] == [-1] for one in inputs)
    return (
        [(one["name"], _spec(one, name, batched)) for one, name in zip(inputs, given, strict=True)],
        [
            (one["name"], _spec(one, name, batched))
            for one, name in zip(outputs, gives, strict=True)
        ],
    )


def _signature(interpreter: Any) -> tuple[dict[int, str], dict[int, str]]:
    """Return the names that the signature of the main graph gives to tensors, by their index."""
    main = {one["index"] for one in interpreter.get_input_details()}
    for key in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(key)
        inputs, outputs = (
            {one["index"]: name for name, one in details.items()}
            for details in (runner.get_input_details(), runner.get_output_details())
        )
        if set(inputs) == main:
            return inputs, outputs
    return {}, {}


def _dims(one: Mapping[str, Any]) -> list[int]:
    declared = one["shape_signature"] if len(one["shape_signature"]) else one["shape"]
    return [int(d) for d in declared]


def _spec(one: Mapping[str, Any], name: str, batched: bool) -> TensorSpec:
    import numpy as np

    dtype = np.dtype(one["dtype"])
    if dtype.kind in "OSU":
        reason = f"{name} is text, and runtimes of ONNX models compute with numbers"
        raise ModelError(reason, RUN_IT)
    dims = _dims(one)
    symbols = (BATCH if batched and not axis else f"{name}.{axis}" for axis in range(len(dims)))
    shape = tuple(s if d < 0 else d for d, s in zip(dims, symbols, strict=True))
    return TensorSpec(name, dtype.name, shape)


def _convert(flatbuffer: Path, inputs: Ends, outputs: Ends) -> onnx.ModelProto:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported
    from tf2onnx import convert

    model: onnx.ModelProto
    try:
        model, _ = convert.from_tflite(str(flatbuffer), opset=OPSET)
    except Exception as error:  # the converter raises whatever it stumbles over
        reason = f"{flatbuffer.name} cannot become an ONNX file: {one_line(error)}"
        raise ModelError(reason, RUN_IT) from error
    refuse_foreign(model, flatbuffer.name)
    tidy(model, inputs, outputs)
    return model


def _quantised(interpreter: Any) -> bool:
    """Return whether a tensor of the flatbuffer stands for other numbers than it holds."""
    details = interpreter.get_tensor_details()
    return any(len(one["quantization_parameters"]["scales"]) for one in details)


def _run(interpreter: Any, names: list[str], feeds: Mapping[str, Array]) -> list[Array]:
    details = interpreter.get_input_details()
    for name, one in zip(names, details, strict=True):
        interpreter.resize_tensor_input(one["index"], feeds[name].shape)
    interpreter.allocate_tensors()
    for name, one in zip(names, details, strict=True):
        interpreter.set_tensor(one["index"], feeds[name])
    interpreter.invoke()
    return [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]


def _values(details: Details, outputs: list[Array]) -> list[Array]:
    """Return the numbers that outputs stand for: a quantised one counts steps from its zero."""
    import numpy as np

    found: list[Array] = []
    for one, output in zip(details, outputs, strict=True):
        scale, zero = one["quantization"]
        found.append(scale * (output.astype(np.float64) - zero) if scale else output)
    return found
