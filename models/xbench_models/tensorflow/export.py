"""A program of TensorFlow's side to one ONNX file, checked against the program."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench.adapter import TensorSpec
from xbench_models.agreement import agreed
from xbench_models.comparing import LARGEST_ERROR
from xbench_models.exported import Exported, save
from xbench_models.factory import one_line
from xbench_models.onnx_tidy import BATCH, refuse_foreign, tidy
from xbench_models.quiet import quiet
from xbench_models.silent import silent
from xbench_models.tensorflow.freeze import frozen, not_convertible, traced
from xbench_models.tensorflow.operators import HANDLERS
from xbench_models.tensorflow.program import Program, narrow

if TYPE_CHECKING:
    import onnx

    from xbench.adapter import Array
    from xbench_models.agreement import Agreement

OPSET = 18  # the newest that the converter writes
LARGEST_HALF_ERROR = 2e-2  # runtimes keep sums of half precision in one of several precisions


def export(program: Program, path: Path) -> Exported:
    """Return the file at ``path``, which agrees with the program on seeded inputs.

    Raises:
        ModelError: If the program cannot become one, or the file disagrees with it.
    """
    with quiet(), silent():
        model, outputs = _convert(program)
        save(model, path)
        largest = LARGEST_HALF_ERROR if narrow(frozen(program)) else LARGEST_ERROR
        compared = agreed(
            path, partial(_outputs, program), program.target, largest, program.examples
        )
        if wrong := _not_batched(outputs, compared):
            _reopen(model, wrong)
            save(model, path)
    return Exported(path, compared.doubts())


def _convert(program: Program) -> tuple[onnx.ModelProto, list[TensorSpec]]:
    """Return the program as an ONNX model, and its outputs as the model declares them."""
    from tf2onnx import convert

    function = frozen(program)
    if len(function.inputs) != len(program.inputs):
        raise not_convertible(program, "it keeps a table or another resource")
    given = [tensor.name for tensor in function.inputs]
    gives = [tensor.name for tensor in function.outputs]
    try:
        model, _ = convert.from_graph_def(
            function.graph.as_graph_def(),
            input_names=given,
            output_names=gives,
            opset=OPSET,
            custom_op_handlers=dict(HANDLERS),  # it is changed
        )
    except Exception as error:  # the converter raises whatever it stumbles over
        raise not_convertible(program, one_line(error)) from error
    refuse_foreign(model, program.target)
    outputs = [
        _output(name, tensor, program)
        for name, tensor in zip(program.outputs, function.outputs, strict=True)
    ]
    ends = zip(given, program.inputs, strict=True), zip(gives, outputs, strict=True)
    tidy(model, list(ends[0]), list(ends[1]))
    return model, outputs


def _output(name: str, tensor: Any, program: Program) -> TensorSpec:
    """Return an output as the file declares it: an open first axis is the batch where there is one.

    Of what nobody knows the rank of, the file says nothing but a rank of 0, as ONNX reads it.
    """
    dims = tensor.shape if tensor.shape.rank is not None else ()
    batched = any(one.shape[:1] == (BATCH,) for one in program.inputs)
    symbols = [BATCH if batched and not axis else f"{name}.{axis}" for axis in range(len(dims))]
    shape = tuple(s if d is None else int(d) for d, s in zip(dims, symbols, strict=True))
    return TensorSpec(name, tensor.dtype.name, shape)


def _outputs(program: Program, feeds: Mapping[str, Array]) -> list[Array]:
    import tensorflow as tf

    tensors = [tf.constant(feeds[one.name]) for one in program.inputs]
    return [one.numpy() for one in traced(program)(*tensors)]


def _not_batched(outputs: list[TensorSpec], found: Agreement) -> set[str]:
    """Return the outputs whose first axis is open, and is not the batch."""
    return {
        spec.name
        for place, spec in enumerate(outputs)
        if spec.shape[:1] == (BATCH,)
        and any(
            one[place].shape[0] != batch
            for one, batch in zip(found.outputs, found.batches, strict=True)
        )
    }


def _reopen(model: onnx.ModelProto, names: set[str]) -> None:
    for one in model.graph.output:
        if one.name in names:
            one.type.tensor_type.shape.dim[0].Clear()
