"""What TensorFlow is told once a process, before it computes anything."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from xbench.adapter import Limits
from xbench.authoring import require
from xbench.errors import BackendUnavailableError, UsageError

FIX = "Install it with: pip install 'xbench[tensorflow]'"
GPU_FIX = "Install it with its CUDA libraries: pip install 'tensorflow[and-cuda]'"

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "1",  # warnings and errors, which the worker's log keeps
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",  # oneDNN computes float32, and could do so in bf16
    "TF_SET_ONEDNN_FPMATH_MODE": "",  # TensorFlow's own name for the same
    "TF_FP16_MATMUL_USE_FP32_COMPUTE": "1",  # on GPUs: halves are multiplied, and summed in float32
    "TF_FP16_CONV_USE_FP32_COMPUTE": "1",
}
"""Read when TensorFlow is imported, or when it first computes; there are no calls for these."""

NARROWING = (
    "auto_mixed_precision",
    "auto_mixed_precision_onednn_bfloat16",
    "auto_mixed_precision_mkl",
    "auto_mixed_precision_cpu",
)
"""What the graph optimiser may do besides, and must not: compute in a narrower type."""

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
"""On CPUs; on GPUs, TF32 as well."""


def wants_gpu(limits: Limits) -> bool:
    """Return whether a GPU is asked for; a part of one may have no number, but has a UUID."""
    return limits.device.startswith("cuda:") or limits.uuid is not None


def require_kernels(limits: Limits, precision: str, variant: str, *, backend: str) -> None:
    """Raise unless a variant has kernels for the device and the precision that are asked for.

    Raises:
        UsageError: If it has not.
    """
    if not wants_gpu(limits):
        require(
            limits, precision, backend=backend, devices=("cpu", "cuda:N"), precisions=PRECISIONS
        )
        return
    if variant == "onednn":
        reason = f"{backend}:onednn computes on CPUs, and {limits.device} is a GPU"
        raise UsageError(reason, f"Ask for {backend}, or for {backend}:xla")
    on_gpu = replace(limits, device="cuda:N")
    precisions = ("fp32", "tf32", *PRECISIONS[1:])
    require(on_gpu, precision, backend=backend, devices=("cuda:N",), precisions=precisions)


def prepare(limits: Limits, *, backend: str, onednn: bool) -> str:
    """Import TensorFlow, set its threads, devices and arithmetic, and return its version.

    Args:
        limits: What it may use. Of the GPUs it gets the first that the process sees.
        backend: Who asks.
        onednn: Whether oneDNN's kernels compute; else TensorFlow asks the CPU's maker.

    Raises:
        BackendUnavailableError: If it cannot be imported, or cannot use the GPU.
        UsageError: If it has run in this process before, with other settings.
    """
    os.environ.update(ENVIRONMENT)
    os.environ.pop("NVIDIA_TF32_OVERRIDE", None)  # CUDA's libraries would obey it first
    if onednn:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    try:
        import tensorflow as tf
    except ImportError as error:
        raise BackendUnavailableError(backend, str(error), FIX) from error
    gpus = _gpus(tf, backend) if wants_gpu(limits) else []
    try:
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:  # it would take all the memory that there is
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.threading.set_intra_op_parallelism_threads(limits.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        reason = f"TensorFlow has run in this process already ({error})"
        raise UsageError(reason, "Its threads are the process's: start a new one") from error
    from xbench_adapters.tensorflow import unfolded

    if onednn and not unfolded.onednn_is_on():
        reason = "TensorFlow was imported in this process without oneDNN"
        raise UsageError(reason, "Its kernels are the process's: start a new one")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.optimizer.set_experimental_options(dict.fromkeys(NARROWING, False))
    return str(tf.__version__)


def hold(limits: Limits, precision: str) -> None:
    """Set what is decided when a model is loaded, and check what was decided before.

    Raises:
        UsageError: If TensorFlow was prepared for other limits.
    """
    import tensorflow as tf

    from xbench_adapters.tensorflow.unfolded import gpu_is_on

    if (set_to := tf.config.threading.get_intra_op_parallelism_threads()) != limits.threads:
        raise UsageError(f"TensorFlow is set to {set_to} threads", "Prepare it for the same")
    if wants_gpu(limits) != gpu_is_on():
        seen = "sees a GPU" if gpu_is_on() else "sees no GPU"
        reason = f"TensorFlow {seen} in this process, and {limits.device} is asked for"
        raise UsageError(reason, "Prepare it for the same device, in a new process")
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")


def _gpus(tf: Any, backend: str) -> list[Any]:
    """Return the first GPU that the process sees.

    Raises:
        BackendUnavailableError: If there is none, with what helps.
    """
    if not tf.test.is_built_with_cuda():
        reason = "this TensorFlow was built without CUDA, as tensorflow-cpu is"
        raise BackendUnavailableError(backend, reason, f"Remove tensorflow-cpu first. {GPU_FIX}")
    gpus = list(tf.config.list_physical_devices("GPU"))[:1]
    if not gpus:
        reason = "TensorFlow sees no GPU: it finds no CUDA libraries, or none that fit the driver"
        raise BackendUnavailableError(backend, reason, GPU_FIX)
    return gpus
