"""A model of TensorFlow's side as one function with named inputs and outputs, in inference mode."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xbench.adapter import TensorSpec
from xbench.errors import ModelError
from xbench_models.factory import one_line
from xbench_models.onnx_tidy import BATCH, legal_names

NARROW = {14: "bf16", 19: "fp16"}  # by TensorFlow's numbers for bfloat16 and float16
FORMS_FIX = "Give it inputs with keras.Input, or save it with model.export and give the folder"


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A model and how to call it; what Keras, a SavedModel and a factory all become.

    Attributes:
        function: Takes tensors in the order of ``inputs`` and returns a list of tensors in the
            order of ``outputs``, as in inference; it can be traced.
        inputs: In the model's own order, named as in the ONNX file. An open axis is a symbol:
            ``batch`` for the first one, else after its input and axis.
        outputs: Names, in the model's own order.
        target: What it was made from.
        examples: Shapes of inputs by name, where whoever made it gave examples.
        model: What holds the weights.
    """

    function: Callable[..., list[Any]]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    target: str
    examples: Mapping[str, tuple[int, ...]]
    model: Any

    def traced(
        self, shapes: Mapping[str, tuple[int, ...]] | None = None, *, compiled: bool = False
    ) -> Any:
        """Return the concrete function, for given shapes or for the model's own open ones.

        Args:
            shapes: The whole shape of each input, by name.
            compiled: Whether XLA compiles it.

        Raises:
            ModelError: If the model's code cannot run as a graph.
        """
        import tensorflow as tf

        specs = [_spec(one, place, shapes) for place, one in enumerate(self.inputs)]
        whole = tf.function(
            self.function, input_signature=specs, autograph=False, jit_compile=compiled
        )
        try:
            return whole.get_concrete_function()
        except Exception as error:  # the user's layers may raise anything
            reason = f"{self.target} cannot be traced: {_said(error)}"
            raise ModelError(reason, "Its layers must run as a graph, with these inputs") from error


def narrow(function: Any) -> set[str]:
    """Return the precisions below fp32 that a concrete function has tensors of."""
    graph = function.graph.as_graph_def()
    nodes = (*graph.node, *(node for f in graph.library.function for node in f.node_def))
    kinds = {value.type for node in nodes for value in node.attr.values()}
    return {NARROW[kind] for kind in kinds & NARROW.keys()}


def _spec(one: TensorSpec, place: int, shapes: Mapping[str, tuple[int, ...]] | None) -> Any:
    import tensorflow as tf

    shape = shapes[one.name] if shapes is not None else one.shape
    open_ = [d if isinstance(d, int) else None for d in shape]
    return tf.TensorSpec(open_, tf.as_dtype(one.dtype), name=f"input_{place}")


def _said(error: BaseException) -> str:
    """Return an error's kind and what it is about: Keras first says where it was raised."""
    lines = [one for one in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if one.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        return f"{type(error).__name__}: {lines[1].rstrip('.')}"
    return one_line(error)


def of_keras(model: Any, target: str, examples: Any = None) -> Program:
    """Return the program that a Keras model is.

    Args:
        model: A `keras.Model`.
        target: What it was made from.
        examples: What to call it with: an array, a dictionary or list of them as its one
            argument, or a tuple as its arguments. Only a model without inputs of its own, a
            subclass that nobody called, needs them.

    Raises:
        ModelError: If nobody can say what it takes, or it takes or gives text.
    """
    from keras import tree

    given = None if examples is None else _arguments(examples)
    declared = _declared(model)
    if declared is not None:
        arguments: Any = (declared[0],)
        named = [(_name(one), str(one.dtype), tuple(one.shape)) for one in tree.flatten(arguments)]
    elif given is not None:
        arguments = given
        named = _example_specs(model, given)
    else:
        raise ModelError(f"{target} does not tell what it takes", FORMS_FIX)

    def call(*tensors: Any) -> Any:
        return model(*tree.pack_sequence_as(arguments, list(tensors)), training=False)

    names = legal_names(name for name, _, _ in named)
    shapes = () if given is None else [tuple(one.shape) for one in tree.flatten(given)]
    bare = Program(
        lambda *tensors: tree.flatten(call(*tensors)),
        tuple(_open(name, *one[1:]) for name, one in zip(names, named, strict=True)),
        (),
        target,
        dict(zip(names, shapes, strict=False)),
        model,
    )
    given_back = declared[1] if declared is not None else _structure(bare, call)
    flat = [str(one.dtype) for one in tree.flatten(given_back)]
    return _with_outputs(bare, list(zip(_output_names(model, given_back), flat, strict=True)))


def _structure(program: Program, call: Callable[..., Any]) -> Any:
    """Return what a call returns, as symbols of the graph that it is traced in."""
    found: list[Any] = []

    def look(*tensors: Any) -> list[Any]:
        found.append(tree.map_structure(_Symbol.of, call(*tensors)))
        return []

    from keras import tree

    replace(program, function=look).traced()
    return found[-1]


@dataclass(frozen=True, slots=True)
class _Symbol:
    """A tensor of a graph that is gone."""

    dtype: str

    @classmethod
    def of(cls, tensor: Any) -> _Symbol:
        return cls(tensor.dtype.name)


def _declared(model: Any) -> tuple[Any, Any] | None:
    """Return what a model takes and gives, in the structures it was built with; None if unknown.

    Keras's own export reads the same fields: there are no public ones with the structure.
    """
    import keras

    if isinstance(model, keras.Sequential):
        return (model.inputs[0], model.outputs[0]) if model.built else None
    if hasattr(model, "_inputs_struct"):
        return model._inputs_struct, model._outputs_struct
    return None


def _name(tensor: Any) -> str:
    """Return an input's name; one that nobody gave is counted through the process by Keras."""
    return "input" if tensor.name.startswith("keras_tensor") else str(tensor.name)


def _arguments(examples: Any) -> tuple[Any, ...]:
    """Return the arguments of a call, as arrays in the types that Keras would make of them."""
    import keras
    import numpy as np
    from keras import tree

    def array(one: Any) -> Any:
        found = np.asarray(one)
        return found.astype(keras.config.floatx()) if found.dtype == np.float64 else found

    arguments = examples if isinstance(examples, tuple) else (examples,)
    return tuple(tree.map_structure(array, arguments))


def _example_specs(model: Any, given: tuple[Any, ...]) -> list[tuple[str, str, Any]]:
    """Return name, type and shape of each example; the first axis that all share is open."""
    import inspect

    from keras import tree

    parameters = list(inspect.signature(model.call).parameters)
    flat = [
        (
            "_".join(
                [parameter, *map(str, path)] if len(given) > 1 or not path else map(str, path)
            ),
            one,
        )
        for parameter, argument in zip(parameters, given, strict=False)
        for path, one in tree.flatten_with_path(argument)
    ]
    first = {one.shape[0] if one.ndim else None for _, one in flat}
    shared = len(first) == 1 and None not in first
    return [
        (name, one.dtype.name, (None, *one.shape[1:]) if shared else one.shape)
        for name, one in flat
    ]


def _output_names(model: Any, outputs: Any) -> list[str]:
    """Return names for a call's outputs: keys, else those of a model that knows its layers."""
    import keras
    from keras import tree

    flat = tree.flatten(outputs)
    if isinstance(outputs, Mapping):
        return ["_".join(map(str, path)) for path, _ in tree.flatten_with_path(outputs)]
    layers = [one.name for one in model.layers[-1:]] if isinstance(model, keras.Sequential) else ()
    known = list(layers or getattr(model, "output_names", ()))
    return known if len(known) == len(flat) else [f"output_{i}" for i in range(len(flat))]


def of_signature(signature: Any, target: str, model: Any) -> Program:
    """Return the program that a signature of a SavedModel is, inputs and outputs by name.

    Raises:
        ModelError: If it takes or gives text.
    """
    specs, gives = signature.structured_input_signature[1], signature.structured_outputs
    keys, given = sorted(specs), sorted(gives)
    names = legal_names(keys)
    inputs = tuple(
        _open(name, specs[key].dtype.name, _dims(specs[key].shape, target))
        for name, key in zip(names, keys, strict=True)
    )

    def call(*tensors: Any) -> list[Any]:
        found = signature(**dict(zip(keys, tensors, strict=True)))
        return [found[key] for key in given]

    outputs = [(key, gives[key].dtype.name) for key in given]
    return _with_outputs(Program(call, inputs, (), target, {}, model), outputs)


def _with_outputs(program: Program, outputs: Sequence[tuple[str, str]]) -> Program:
    """Return a program with its outputs named, once sure that its ends can be in an ONNX file."""
    for one in program.inputs:
        _refuse_text(one.dtype, "takes", one.name, program.target)
    for name, dtype in outputs:
        _refuse_text(dtype, "gives", name, program.target)
    taken = [one.name for one in program.inputs]
    return replace(program, outputs=legal_names((name for name, _ in outputs), taken))


def _refuse_text(dtype: str, does: str, name: str, target: str) -> None:
    if dtype in ("string", "variant", "resource"):
        what = "text" if dtype == "string" else f"a {dtype}"
        raise ModelError(
            f"{target} {does} {what} ({name}), and runtimes of ONNX models compute with numbers",
            "Give the part of it that takes and gives numbers, behind its TextVectorization or "
            "StringLookup",
        )


def _dims(shape: Any, target: str) -> tuple[int | None, ...]:
    if shape.rank is None:
        reason = f"{target} has an input that can have any count of axes"
        raise ModelError(reason, "Save it with an input_signature that has a shape")
    return tuple(shape)


def _open(name: str, dtype: str, shape: Sequence[int | None]) -> TensorSpec:
    symbols = (BATCH, *(f"{name}.{axis}" for axis in range(1, len(shape))))
    dims = zip(shape, symbols, strict=False)
    return TensorSpec(name, dtype, tuple(s if d is None else int(d) for d, s in dims))
