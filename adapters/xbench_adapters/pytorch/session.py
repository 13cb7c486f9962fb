"""A module that is ready to run: NumPy arrays in and NumPy arrays out, or tensors that stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from xbench.adapter import BOUNDARIES, Facts
from xbench.errors import ModelError, UsageError
from xbench_adapters.pytorch import precision
from xbench_adapters.pytorch.cuda import raise_for_memory
from xbench_adapters.pytorch.tensors import array_over

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from xbench.adapter import Array, BoundModel
    from xbench_adapters.pytorch.lane import Call, Lane


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module on its device.

    Attributes:
        module: The module; its weights tell the precision before the first run.
        call: What is timed: the module as the variant has it.
        plain: The same arithmetic without being compiled or captured, to look at.
        importer: How the ONNX graph became this, or that the module is the user's.
        convert_s: Seconds which that took, if it is not the user's.
        options: Settings worth keeping.
    """

    module: nn.Module
    call: Call
    plain: Call
    importer: str
    convert_s: float | None
    options: Mapping[str, str]


class PyTorchSession:
    """A module on one device: NumPy arrays in and NumPy arrays out."""

    def __init__(self, model: BoundModel, loaded: Loaded, lane: Lane) -> None:
        self._model, self._lane = model, lane
        self._loaded: Loaded | None = loaded
        self._order = tuple(spec.name for spec in model.inputs)
        self._inputs: list[torch.Tensor] = []
        self._results: Sequence[torch.Tensor] = ()
        self._arrays: tuple[Array, ...] | None = ()
        self._device_ns: Callable[[], int] | None = None
        self._multiplied: set[str] | None = None
        self._call = loaded.call
        self._run = self._run_at_host

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Take the inputs of the next runs, by name; on a GPU they are copied there as well."""
        self._lane.synchronize()
        self._results = _apart(self._results, self._inputs)  # some may be the inputs themselves
        try:
            self._inputs = self._lane.placed([feeds[name] for name in self._order])
        except RuntimeError as error:
            raise_for_memory(error)
            raise

    def run(self) -> None:
        """Start one inference on the bound inputs."""
        try:
            with torch.inference_mode():
                self._run()
        except RuntimeError as error:
            raise_for_memory(error)
            raise

    def _run_at_host(self) -> None:
        self._results = self._call(*self._lane.enter())
        self._arrays = self._lane.leave(self._results)

    def synchronize(self) -> None:
        """Return when the last run is finished; on a CPU it is already."""
        self._lane.synchronize()

    def outputs(self) -> dict[str, Array]:
        """Return copies of the outputs of the last run, by name, in the graph's order."""
        names = self._model.outputs
        if len(self._results) != len(names):
            raise ModelError(
                f"the module gives {len(self._results)} tensors, and its file {len(names)}",
                "If it changed since it was exported, export it anew",
            )
        arrays = self._arrays or [array_over(one.cpu()) for one in self._results]
        return {name: np.array(one) for name, one in zip(names, arrays, strict=True)}

    def facts(self) -> Facts:
        """Return what PyTorch tells; the first time, one more inference shows what multiplies."""
        kind = self._lane.device.type
        peak_bytes = self._lane.peak_bytes()  # before that inference, which is not the model's
        multiplied = self._products()
        told = precision.effective(multiplied, kind)
        self._lane.trim()
        assert self._loaded is not None, "closed"
        return Facts(
            precision=told or None,
            threads=torch.get_num_threads(),
            importer=self._loaded.importer,
            convert_s=self._loaded.convert_s,
            allocator_bytes=peak_bytes,
            options={
                **self._loaded.options,
                "interop_threads": str(torch.get_num_interop_threads()),
                **precision.settings(kind),
                **self._lane.about(),
            },
        )

    def _products(self) -> set[str]:
        """Return the precisions that products are given: seen once there are inputs to run on."""
        loaded = self._loaded
        assert loaded is not None, "closed"
        if self._multiplied is None and self._inputs:
            try:
                self._multiplied = precision.observed(lambda: loaded.plain(*self._inputs))
            except RuntimeError:  # of a module that may not be looked into, such as a compiled one
                self._multiplied = set()
            self._lane.synchronize()
        return self._multiplied or precision.held(loaded.module.parameters())

    def close(self) -> None:
        """Let go of the module and of all tensors."""
        self._loaded = self._call = None  # type: ignore[assignment]  # closed: used no more
        self._inputs, self._results, self._arrays, self._device_ns = [], (), (), None


class ResidentSession(PyTorchSession):
    """A session whose inputs and outputs may stay on the device."""

    def at(self, boundary: str) -> None:
        """Have the next runs begin and end at ``host``, ``device`` or ``compute``.

        Raises:
            UsageError: If there is no such boundary, or the device has no events.
        """
        if boundary not in BOUNDARIES:
            fix = f"Ask for one of {', '.join(BOUNDARIES)}"
            raise UsageError(f"there is no boundary {boundary!r}", fix)
        if boundary == "compute":
            self._lane.timed(lambda: None)  # raises where there are no events
        runs = (self._run_at_host, self._run_at_device, self._run_at_compute)
        self._run = dict(zip(BOUNDARIES, runs, strict=True))[boundary]

    def _run_at_device(self) -> None:
        self._arrays = None
        self._results = self._call(*self._inputs)

    def _run_at_compute(self) -> None:
        self._device_ns = self._lane.timed(self._run_at_device)

    def device_ns(self) -> int:
        """Return the nanoseconds between the events of the last run at ``compute``."""
        assert self._device_ns is not None, "no run at compute"
        return self._device_ns()


def _apart(results: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return results of which none shares memory with the inputs, which are written to next."""
    taken = {one.untyped_storage().data_ptr() for one in inputs}
    return [one.clone() if one.untyped_storage().data_ptr() in taken else one for one in results]
