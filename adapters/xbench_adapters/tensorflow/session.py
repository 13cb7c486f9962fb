"""A function of TensorFlow's as a session: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench.adapter import Facts
from xbench_adapters.tensorflow.memory import memory_error
from xbench_adapters.tensorflow.tensors import held
from xbench_adapters.tensorflow.unfolded import onednn_is_on

if TYPE_CHECKING:
    from xbench.adapter import Array, BoundModel


@dataclass(frozen=True, slots=True)
class Loaded:
    """A function that can be called, and what is known of it.

    Attributes:
        call: Takes tensors in the order of the model's inputs, and returns tensors in the order
            of its outputs.
        owner: What holds the variables that the function reads; a function does not.
        compiled: Whether XLA compiles it.
        precision: Returns the precision of its arithmetic, or None where that is not known.
        importer: As `xbench.adapter.Facts` has it.
        convert_s: Seconds that it took to make the function.
        dtypes: NumPy's element type of each output in ONNX; None leaves TensorFlow's.
    """

    call: Callable[..., Sequence[Any]]
    owner: Any
    compiled: bool
    precision: Callable[[], str | None]
    importer: str
    convert_s: float
    dtypes: Sequence[Any]


class TensorFlowSession:
    """One function on the CPU."""

    def __init__(self, model: BoundModel, loaded: Loaded) -> None:
        self._loaded: Loaded | None = loaded
        self._call: Any = loaded.call
        self._constant = tf.constant
        self._names = model.outputs
        self._order = tuple(spec.name for spec in model.inputs)
        self._feeds: list[Array] = []
        self._results: Sequence[Any] = ()

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Take the inputs of the next runs, by name."""
        self._feeds = [held(feeds[name]) for name in self._order]

    def run(self) -> None:
        """Run one inference; TensorFlow copies what it is given, as it does for its users.

        The results lie in the host's memory, where NumPy could read them without a copy.

        Raises:
            MemoryError: If the host has too little memory left.
        """
        try:
            self._results = self._call(*map(self._constant, self._feeds))
        except tf.errors.ResourceExhaustedError as error:
            raise memory_error(error, on_gpu=False) from error

    def synchronize(self) -> None:
        """Return at once: a function's call returns when its results are there."""

    def outputs(self) -> dict[str, Array]:
        """Return copies of the outputs of the last run, by name, in the graph's order."""
        assert self._loaded is not None
        pairs = zip(self._results, self._loaded.dtypes, strict=True)
        found = [_as_onnx_has_it(_array(one), dtype) for one, dtype in pairs]
        return dict(zip(self._names, found, strict=True))

    def facts(self) -> Facts:
        """Return what TensorFlow tells: its settings, and how it really multiplies."""
        assert self._loaded is not None
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        return Facts(
            precision=self._precision,
            threads=threads or None,  # 0: its own choice
            importer=self._loaded.importer,
            convert_s=self._loaded.convert_s,
            options={
                "mode": "xla" if self._loaded.compiled else "graph",
                "interop_threads": str(tf.config.threading.get_inter_op_parallelism_threads()),
                "tf32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
                "onednn": "on" if onednn_is_on() else "off",
                "onednn_fpmath": os.environ.get("ONEDNN_DEFAULT_FPMATH_MODE", "").lower(),
            },
        )

    def close(self) -> None:
        """Let go of the function, what it reads, and all arrays."""
        self._loaded, self._call = None, None
        self._feeds, self._results = [], ()

    @cached_property
    def _precision(self) -> str | None:
        """Return the precision, which takes products, and may take XLA's compiler, to find."""
        assert self._loaded is not None
        return self._loaded.precision()


def _array(found: Any) -> Any:
    """Return a copy of what a run has given: a tensor, or an array already."""
    return np.array(found.numpy() if tf.is_tensor(found) else found)


def _as_onnx_has_it(array: Any, dtype: Any) -> Array:
    """Return a result in ONNX's own type, where TensorFlow holds it in another one."""
    if dtype is not None and dtype.kind == "O":
        array = np.vectorize(_text, otypes=[object])(array)
    found: Array = array.astype(dtype or array.dtype, copy=False)
    return found


def _text(one: Any) -> str:
    return one.decode() if isinstance(one, bytes) else str(one)
