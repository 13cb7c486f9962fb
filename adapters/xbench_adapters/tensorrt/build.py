"""From an ONNX file to a TensorRT engine, tuned on the GPU that will run it.

``python -m xbench_adapters.tensorrt.build JSON`` does it in a process of its own. Networks are
strongly typed, which is the only kind that TensorRT 11 knows: the graph's own types decide the
arithmetic. What is left to decide is whether products of float32 may round to TF32, which both
versions allow unless told otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from xbench.apart import answer
from xbench.authoring import joined
from xbench.errors import UsageError
from xbench_adapters.tensorrt import gpu, kept, said
from xbench_adapters.tensorrt.types import FLOATS, NUMPY

if TYPE_CHECKING:
    from onnx import ModelProto

OPTIONS = {"strongly_typed": True, "optimization_level": 3}
PRODUCTS = {"CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM", "ATTENTION_OUTPUT"}
SHAPES_ANEW = {"IDENTITY", "SHUFFLE", "SQUEEZE", "UNSQUEEZE"}
"""Layers that may stand between dequantising and a product, which still is fused with it."""
MOVES = SHAPES_ANEW | {
    "CAST", "CONCATENATION", "CONSTANT", "DEQUANTIZE", "DYNAMIC_QUANTIZE", "FILL", "GATHER",
    "PADDING", "QUANTIZE", "REVERSE_SEQUENCE", "SCATTER", "SELECT", "SLICE",
}  # fmt: skip
"""Layers that lay elements elsewhere or change their type, and compute none."""
DECIDES_SHAPES = "Its values decide shapes within the model, and TensorRT needs them when it builds"


def _answer(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of the engine, which is written to its file unless only parsed."""
    trt, cudart = gpu.modules()
    gpu.check(cudart, cudart.cudaSetDevice(job["ordinal"]))
    start_s = perf_counter()
    logger = said.logger(trt)
    trt.init_libnvinfer_plugins(logger, "")  # some of ONNX's operators are plug-ins of its own
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    path = Path(job["model"])
    if not parser.parse_from_file(str(path)):
        raise said.refusal(parser, path)
    _check_types(network, path)
    told = {"precision": precision(network, tf32=job["tf32"]), "layers": network.num_layers}
    if job.get("only_parse"):
        return told
    config = _config(trt, builder, network, job)
    cache = _timing_cache(config, job["timings"])
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise said.failure(logger.errors, path, "builds no engine")
    Path(job["engine"]).write_bytes(serialized)
    _keep_timings(cache, job["timings"])
    told["options"] = {**OPTIONS, "tf32": config.get_flag(trt.BuilderFlag.TF32)}
    return {**told, "seconds": perf_counter() - start_s}


def _config(trt: Any, builder: Any, network: Any, job: Mapping[str, Any]) -> Any:
    """Return how to build: the shapes that were asked for and no other, and true float32."""
    config = builder.create_builder_config()
    config.builder_optimization_level = OPTIONS["optimization_level"]
    if job["tf32"]:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default
    profile = builder.create_optimization_profile()
    dynamic = False
    for place in range(network.num_inputs):
        tensor = network.get_input(place)
        if tensor.is_shape_tensor:
            raise UsageError(f"the shapes depend on the input {tensor.name!r}", DECIDES_SHAPES)
        if -1 in tuple(tensor.shape):
            dynamic = True
            shape = tuple(job["shapes"][tensor.name])
            profile.set_shape(tensor.name, shape, shape, shape)
    if dynamic and config.add_optimization_profile(profile) < 0:
        raise UsageError("TensorRT does not accept the shapes", "Ask for others with --shape")
    return config


def _timing_cache(config: Any, path: str | None) -> Any:
    """Return the cache of what kernels took, as it was kept for this GPU; else an empty one."""
    earlier = kept.read_timings(Path(path) if path else None)
    for content in (earlier, b"") if earlier else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return cache
    return None


def _keep_timings(cache: Any, path: str | None) -> None:
    """Keep what this build has timed; the last of two builds at once wins."""
    if path is None or cache is None:
        return
    unfinished = Path(f"{path}.{os.getpid()}")
    try:
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(cache.serialize())
        unfinished.rename(path)
    except OSError:  # a full disk: the next build times again
        unfinished.unlink(missing_ok=True)


def _check_types(network: Any, path: Path) -> None:
    """Raise if an input or output has another type than the model gives it.

    TensorRT has no float64, and would compute in float32 what the model asks for in it.

    Raises:
        UsageError: If one has.
    """
    from xbench import modelfile

    asked = _asked(modelfile.parse(path))
    ends = [network.get_input(place) for place in range(network.num_inputs)]
    ends += [network.get_output(place) for place in range(network.num_outputs)]
    for tensor in ends:
        held, wanted = NUMPY.get(tensor.dtype.name, tensor.dtype.name), asked.get(tensor.name)
        if wanted is not None and held != wanted:
            reason = f"TensorRT holds {tensor.name!r} as {held}, and the model as {wanted}"
            raise UsageError(reason, "Export the model in types that TensorRT has")


def _asked(model: ModelProto) -> dict[str, str]:
    """Return NumPy's name for the type of each input and output, by name."""
    from onnx.helper import tensor_dtype_to_np_dtype

    values = (*model.graph.input, *model.graph.output)
    return {
        value.name: tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
        for value in values
        if value.type.tensor_type.elem_type
    }


def precision(network: Any, *, tf32: bool) -> str | None:
    """Return the precisions of a network's products, such as ``int8+fp32``, or else of the rest.

    The types of a strongly typed network are the engine's. None is a network that computes
    nothing but whole numbers.
    """
    layers = [network.get_layer(place) for place in range(network.num_layers)]
    makers = {
        layer.get_output(place).name: layer
        for layer in layers
        for place in range(layer.num_outputs)
    }
    products: set[str] = set()
    others: set[str] = set()
    for layer in layers:
        if layer.type.name in PRODUCTS:
            products |= _multiplied(layer, makers)
        elif layer.type.name not in MOVES:
            others |= _floats(layer)
    found = products or others
    return joined("tf32" if tf32 and kind == "fp32" else kind for kind in found) or None


def _multiplied(layer: Any, makers: Mapping[str, Any]) -> set[str]:
    """Return in what a product is computed.

    That is the type that both sides were dequantised from, with which TensorRT fuses it. Where
    only the weights were, they are narrow in memory alone.
    """
    left, right = (_dequantized(layer.get_input(place), makers) for place in (0, 1))
    return {left.lower()} if left and left == right else _floats(layer)


def _dequantized(tensor: Any, makers: Mapping[str, Any]) -> str | None:
    """Return the type that a tensor was dequantised from; None if it was not.

    Args:
        tensor: What a product is given; None where that is weights and no tensor.
        makers: The layer that gives each tensor, by the tensor's name.
    """
    layer = None if tensor is None else makers.get(tensor.name)
    if layer is None:
        return None
    if layer.type.name in SHAPES_ANEW:
        return _dequantized(layer.get_input(0), makers)
    return str(layer.get_input(0).dtype.name) if layer.type.name == "DEQUANTIZE" else None


def _floats(layer: Any) -> set[str]:
    """Return the precisions of what a layer gives; whole numbers have none."""
    kinds = {layer.get_output(place).dtype.name for place in range(layer.num_outputs)}
    return {FLOATS[kind] for kind in kinds if kind in FLOATS}


if __name__ == "__main__":
    answer(_answer)
