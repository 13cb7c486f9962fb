"""Too little memory, of the host's or of a GPU's: TensorFlow has one error for both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from xbench.errors import DeviceMemoryError

FIX = "Use a smaller batch, or a GPU with more memory"


def memory_error(error: Exception, *, on_gpu: bool) -> DeviceMemoryError | MemoryError:
    """Return the error that says which memory there was too little of.

    Args:
        error: What TensorFlow said; it names the device where its own allocator failed.
        on_gpu: Whether it computes on a GPU.
    """
    said = " ".join(str(error).split())[:200]
    if not on_gpu or "device:CPU:" in said:
        return MemoryError(said)
    return DeviceMemoryError(f"the GPU's memory is too small: {said}", FIX)


@contextmanager
def typed_memory(*, on_gpu: bool) -> Iterator[None]:
    """Raise `memory_error` where TensorFlow has too little memory."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise memory_error(error, on_gpu=on_gpu) from error
