"""A session on a GPU: what is timed may begin and end with arrays, or with tensors that stay there.

Its GPU's own lines, those of memory and of TF32, have run on no hardware; the rest runs on any
device of TensorFlow's, such as a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.adapter import BOUNDARIES, Facts, Fallback
from xbench.errors import UsageError
from xbench_adapters.tensorflow import placement
from xbench_adapters.tensorflow.memory import memory_error, typed_memory
from xbench_adapters.tensorflow.process import wants_gpu
from xbench_adapters.tensorflow.session import Loaded, TensorFlowSession

if TYPE_CHECKING:
    from xbench.adapter import Array, BoundModel, Limits

GPU = "/GPU:0"
"""The only one that the process sees."""

NO_EVENTS = "TensorFlow does not let others record events where it computes"


def session_on(model: BoundModel, loaded: Loaded, limits: Limits) -> TensorFlowSession:
    """Return the session of a function, on the device that is asked for."""
    if wants_gpu(limits):
        return ResidentSession(model, loaded)
    return TensorFlowSession(model, loaded)


class ResidentSession(TensorFlowSession):
    """One function on a device whose memory is not the host's."""

    def __init__(self, model: BoundModel, loaded: Loaded, device: str = GPU) -> None:
        """Take a function that was traced where TensorFlow sees ``device``."""
        super().__init__(model, loaded)
        self._device = device
        self._boundary = "host"
        self._placed: list[Any] = []
        self._fallback: Fallback | None = None
        self._infer: Callable[[], Sequence[Any]] = self._first

    def at(self, boundary: str) -> None:
        """Have the next runs take and give arrays (``host``), or tensors there (``device``).

        Raises:
            UsageError: If TensorFlow keeps an input elsewhere, or ``compute`` is asked for.
        """
        if boundary == "compute":
            raise UsageError(NO_EVENTS, "Ask for the boundary host or device")
        if boundary not in BOUNDARIES:
            raise UsageError(f"there is no boundary {boundary!r}", f"Ask for {BOUNDARIES}")
        placed = self._moved() if boundary == "device" else []
        self._boundary, self._placed = boundary, placed

    def device_ns(self) -> int:
        """Raise: there are no events.

        Raises:
            UsageError: Always.
        """
        raise UsageError(NO_EVENTS, "Ask for the boundary host or device")

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Take the inputs of the next runs, by name; at ``device`` they are there afterwards."""
        super().bind(feeds)
        if self._boundary == "device":
            self._placed = self._moved()

    def run(self) -> None:
        """Run one inference; at ``host`` the results are arrays when it returns.

        Raises:
            DeviceMemoryError: If the device has too little memory left.
        """
        try:
            self._results = self._infer()
        except tf.errors.ResourceExhaustedError as error:
            raise memory_error(error, on_gpu=True) from error

    def synchronize(self) -> None:
        """Return when the device has done all that it was given: arrays are there already."""
        if self._boundary == "device":
            try:
                tf.test.experimental.sync_devices()
            except tf.errors.ResourceExhaustedError as error:
                raise memory_error(error, on_gpu=True) from error

    def outputs(self) -> dict[str, Array]:
        """Return copies of the outputs of the last run, by name, in the graph's order."""
        with typed_memory(on_gpu=True):
            return super().outputs()

    def facts(self) -> Facts:
        """Return what TensorFlow tells, with what ran elsewhere and its allocator's peak."""
        peak = _peak_bytes(self._device)  # before anything is multiplied to find the precision
        found = super().facts()
        options = {**(found.options or {}), "memory_growth": "on"}
        return replace(found, fallback=self._fallback, allocator_bytes=peak, options=options)

    def close(self) -> None:
        """Let go of the function, what it reads, and all arrays and tensors."""
        super().close()
        self._placed = []

    def _first(self) -> Sequence[Any]:
        """Run, and keep where each operation was placed: that is told in the first run only."""
        call = partial(self._call, *self._taken())
        found, self._fallback = placement.watched(call, self._device)
        self._infer = self._each
        return self._given(found)

    def _each(self) -> Sequence[Any]:
        return self._given(self._call(*self._taken()))

    def _taken(self) -> Sequence[Any]:
        if self._boundary == "device":
            return self._placed
        return [self._constant(one) for one in self._feeds]

    def _given(self, found: Sequence[Any]) -> Sequence[Any]:
        return found if self._boundary == "device" else [one.numpy() for one in found]

    def _moved(self) -> list[Any]:
        """Return the bound inputs as tensors on the device, once they are there.

        Raises:
            UsageError: If TensorFlow keeps one in the host's memory, as text and int32.
        """
        with typed_memory(on_gpu=True), tf.device(self._device):
            found = [tf.identity(tf.constant(one)) for one in self._feeds]
            tf.test.experimental.sync_devices()
        wanted = placement.short(self._device)
        for name, one in zip(self._order, found, strict=False):
            if (lies := placement.short(one.backing_device)) != wanted:
                reason = f"TensorFlow keeps the input {name!r} ({one.dtype.name}) on {lies}"
                raise UsageError(reason, "Ask for the boundary host")
        return found


def _peak_bytes(device: str) -> int | None:
    """Return the most bytes that TensorFlow's allocator has handed out; None where none counts."""
    try:
        return int(tf.config.experimental.get_memory_info(placement.short(device))["peak"])
    except ValueError:  # of a CPU's memory nobody keeps count
        return None
