"""A session on a GPU: at the host's arrays, or with inputs and outputs that stay on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xbench.adapter import Array
from xbench.errors import UsageError
from xbench_adapters.onnxruntime import cuda, said
from xbench_adapters.onnxruntime.arithmetic import Arithmetic
from xbench_adapters.onnxruntime.cuda import Events
from xbench_adapters.onnxruntime.options import CUDA, TENSORRT, Setup
from xbench_adapters.onnxruntime.session import OnnxRuntimeSession

UNSYNCHRONIZED = "disable_synchronize_execution_providers"
KEPT_OPTIONS = (
    *("use_tf32", "cudnn_conv_algo_search", "do_copy_in_default_stream", "arena_extend_strategy"),
    *("gpu_mem_limit", "prefer_nhwc", "enable_cuda_graph", "trt_fp16_enable", "trt_bf16_enable"),
    *("trt_int8_enable", "trt_engine_cache_enable", "trt_builder_optimization_level"),
)
"""Those that make a difference, under the names that the providers give them."""


class ResidentSession(OnnxRuntimeSession):
    """One inference session whose inputs and outputs are bound where they lie.

    At ``host`` it is what a user calls: a run copies its inputs to the device and its outputs back.
    Elsewhere inputs are copied once, when they are bound; the first run has the outputs allocated
    on the device, and the next ones write to the same place.

    Args:
        inner: ONNX Runtime's session.
        outputs: The names of the outputs.
        setup: What the session was made of.
        precision: What was asked for.
        ort: ONNX Runtime.
        events: The stream that the session uses, if it is ours.
        device: What ONNX Runtime calls the device.
    """

    def __init__(
        self,
        inner: Any,
        outputs: tuple[str, ...],
        setup: Setup,
        precision: str,
        *,
        ort: Any,
        events: Events | None,
        device: str = "cuda",
    ) -> None:
        super().__init__(inner, outputs, setup, precision)
        self._ort, self._events, self._device = ort, events, device
        self._boundary = "host"
        self._binding: Any = None
        self._run_options = ort.RunOptions()
        if events is not None:  # we wait for our stream ourselves, once
            self._run_options.add_run_config_entry(UNSYNCHRONIZED, "1")

    def at(self, boundary: str) -> None:
        """Have the next runs begin and end there.

        Raises:
            UsageError: If device events were asked for, and CUDA's bindings are missing.
        """
        if boundary == "compute" and self._events is None:
            reason = "device events need CUDA's Python bindings, which are not installed"
            raise UsageError(reason, cuda.BINDINGS_FIX)
        self._boundary = boundary
        self._binding = None
        if self._feeds:
            self._place()

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Keep the arrays, or copy them to the device."""
        super().bind(feeds)
        self._place()

    def _place(self) -> None:
        """Have the bound inputs where the boundary wants them."""
        if self._boundary == "host":
            return
        import numpy as np

        if self._binding is None:
            self._binding = self._inner.io_binding()
            for name in self._names:
                self._binding.bind_output(name, self._device, 0)
        for name, array in self._feeds.items():
            whole = np.ascontiguousarray(array)
            value = self._ort.OrtValue.ortvalue_from_numpy(whole, self._device, 0)
            self._binding.bind_ortvalue_input(name, value)
        self._binding.synchronize_inputs()

    def run(self) -> None:
        """Start one inference.

        Raises:
            DeviceMemoryError: If the GPU is full.
            UsageError: If an output that stays on the device changes its shape.
        """
        try:
            if self._binding is None:
                super().run()
            elif self._boundary == "compute" and self._events is not None:
                self._events.start()
                self._inner.run_with_iobinding(self._binding, self._run_options)
                self._events.stop()
            else:
                self._inner.run_with_iobinding(self._binding, self._run_options)
        except RuntimeError as error:
            if typed := said.fault(str(error)):
                raise typed from error
            raise

    def synchronize(self) -> None:
        """Return when the last run is done; at ``host`` it was when `run` returned.

        On a stream of ONNX Runtime's own, that waits within each run and here for the device.
        """
        if self._binding is None:
            return
        if self._events is not None:
            self._events.synchronize()
        else:
            self._binding.synchronize_outputs()

    def outputs(self) -> Mapping[str, Array]:
        """Return the outputs of the last run, copied from the device where they stayed there."""
        if self._binding is None:
            return super().outputs()
        import numpy as np

        # On the CPU `numpy` gives the memory that the next run writes to.
        arrays = (np.array(value.numpy()) for value in self._binding.get_outputs())
        return dict(zip(self._names, arrays, strict=True))

    def device_ns(self) -> int:
        """Return the nanoseconds between the events of the last run at ``compute``."""
        assert self._events is not None, "`at` has refused"
        return self._events.between_ns()

    def _options(self, profile: Arithmetic | None) -> dict[str, str]:
        """Return what any session tells, and the options of its providers as they are held."""
        held = self._inner.get_provider_options().get(self._setup.provider, {})
        copies = {} if profile is None else {"memcpy_nodes": str(profile.copies)}
        return {
            **super()._options(profile),
            "providers": ", ".join(self._inner.get_providers()),
            **{name: str(held[name]) for name in KEPT_OPTIONS if name in held},
            "compute_stream": "ONNX Runtime's" if self._events is None else "xbench's",
            **copies,
        }

    def _precision(self, profile: Arithmetic | None) -> str | None:
        """Return the precision; a profile calls TF32 float, so the option tells.

        What is inside TensorRT's engines nobody tells: float32 or TF32 if nothing else was allowed.
        """
        if self._setup.provider == TENSORRT:
            return self._asked if self._asked in ("fp32", "tf32") else None
        told = super()._precision(profile)
        options = self._inner.get_provider_options().get(CUDA, {})
        if told is None or options.get("use_tf32") != "1":
            return told
        return "+".join("tf32" if kind == "fp32" else kind for kind in told.split("+"))

    def _allocator_bytes(self, profile: Arithmetic | None) -> int | None:
        """Return what the arena on the GPU held in the process of the profile."""
        return profile.arena_bytes if profile else None

    def close(self) -> None:
        """Give the session back, and the stream that it used after it."""
        self._binding = self._run_options = None
        super().close()
        if self._events is not None:
            self._events.close()
            self._events = None
