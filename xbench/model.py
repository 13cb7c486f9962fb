"""A model file: what it takes and gives, how large it is, and its open dimensions decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench.adapter import BoundModel, TensorSpec
from xbench.errors import ModelError, ShapeError
from xbench.lengths import Lengths, batch_symbols

if TYPE_CHECKING:
    from onnx import ValueInfoProto

UNNAMED = {"", "?", "None", "none"}  # exporters write these for "some length", each its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model file that was read and found sound.

    Attributes:
        name: The file's name without its suffix, or the name it was asked for by.
        sha256: Of the file and its external data; see `xbench.modelfile.content_sha256`.
        opset: Version of the default operator set; `opsets` has those of every domain.
        inputs: In the graph's order. An open dimension is a symbol; one that the file leaves
            unnamed is called ``input.0`` after its input and axis.
        outputs: In the graph's order.
        parameters: Elements of all initialisers, and of constants with more than one.
        weights_bytes: Bytes of the same.
        flops: Floating-point operations of one inference at the file's own shapes, with an
            open batch as 1; None where that cannot be known. See `xbench.flops`.
        tables: For an input that indexes a table, the table's length: ids must be below it.
        producer: The exporter, such as ``pytorch 2.13``, or None.
    """

    path: Path
    name: str
    sha256: str
    opset: int | None
    opsets: Mapping[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int | None = None
    weights_bytes: int | None = None
    flops: int | None = None
    tables: Mapping[str, int] = field(default_factory=dict)
    producer: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the contract's ``model``."""
        plain = ("name", "sha256", "opset", "parameters", "weights_bytes", "flops", "producer")
        return {
            **{key: getattr(self, key) for key in plain},
            "opsets": dict(self.opsets),
            "inputs": [_spec_json(spec) for spec in self.inputs],
            "outputs": [_spec_json(spec) for spec in self.outputs],
        }


def read_model(path: Path | str, name: str | None = None) -> Model:
    """Return what a model file says of itself, once sure that a runtime could read it.

    External data is checked and hashed, and never held in memory.

    Raises:
        ModelError: If the file, or one that it names, is missing, damaged or not ONNX.
    """
    from xbench import modelfile
    from xbench.flops import count_flops
    from xbench.soundness import check_rules, check_values
    from xbench.tables import table_lengths

    path = Path(path)
    proto = modelfile.parse(path)
    files = modelfile.external_files(proto, path.parent)
    check_values(path, proto)
    modelfile.forget_large(proto, path.parent)
    check_rules(path, proto)
    stored = [*modelfile.initializers(proto.graph), *modelfile.large_constants(proto.graph)]
    initialized = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in initialized]
    opsets = {one.domain: one.version for one in proto.opset_import}
    model = Model(
        path=path,
        name=name or path.stem,
        sha256=modelfile.content_sha256(path, files),
        opset=opsets.get("", opsets.get("ai.onnx")),
        opsets=opsets,
        inputs=tuple(_spec(value) for value in inputs),
        outputs=tuple(_spec(value) for value in proto.graph.output),
        parameters=sum(modelfile.elements(tensor) for tensor in stored),
        weights_bytes=sum(modelfile.stored_bytes(tensor) for tensor in stored),
        producer=f"{proto.producer_name} {proto.producer_version}".strip() or None,
    )
    return replace(model, tables=table_lengths(proto), flops=_own_flops(model, proto, count_flops))


def bind(
    model: Model,
    batch: int | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    defaults: Mapping[str, int] | None = None,
) -> BoundModel:
    """Return the model with every dimension of its inputs decided.

    Args:
        model: The model.
        batch: The length of the batch; None takes 1 where it is open and nothing else says.
        shapes: Whole shapes by input; a symbol that they decide holds for every input.
        defaults: Lengths by symbol, for what neither ``shapes`` nor ``batch`` decides.

    Raises:
        ShapeError: If a shape does not fit, or a dimension stays open.
    """
    known = Lengths(model.inputs)
    for name, shape in (shapes or {}).items():
        known.take_shape(name, tuple(shape))
    if batch is not None:
        known.take_batch(batch)
    for symbol, length in (defaults or {}).items():
        known.offer(symbol, length)
    for symbol in batch_symbols(model.inputs):
        known.offer(symbol, 1)
    outputs = tuple(spec.name for spec in model.outputs)
    return BoundModel(model.path, known.decided(), outputs, known.named())


def _own_flops(model: Model, proto: Any, count: Any) -> int | None:
    """Return the operations at the file's own shapes, or None where those are open."""
    try:
        return count(bind(model), proto)  # type: ignore[no-any-return] # it is `count_flops`
    except ShapeError:
        return None


def _spec(value: ValueInfoProto) -> TensorSpec:
    """Return a graph's input or output; each open dimension gets a symbol."""
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    kind = value.type.WhichOneof("value")
    tensor = value.type.tensor_type
    if kind == "tensor_type" and tensor.elem_type not in TensorProto.DataType.values()[1:]:
        raise ModelError(f"{value.name!r} is of no known element type", "Export the model again")
    if kind != "tensor_type":
        what = (kind or "value without a type").removesuffix("_type")
        raise ModelError(f"{value.name!r} is a {what}", "Export the model with plain tensors only")
    dims = enumerate(tensor.shape.dim)
    shape = tuple(
        d.dim_value
        if d.HasField("dim_value") and d.dim_value >= 0  # some exporters write -1 for "open"
        else f"{value.name}.{axis}"
        if d.dim_param in UNNAMED
        else d.dim_param
        for axis, d in dims
    )
    return TensorSpec(value.name, tensor_dtype_to_np_dtype(tensor.elem_type).name, shape)


def _spec_json(spec: TensorSpec) -> dict[str, Any]:
    """Return an input or output as the contract spells it."""
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}
