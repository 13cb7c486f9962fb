"""One NVIDIA GPU: the only one that a worker sees, so that PyTorch counts it as 0."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from xbench.errors import DeviceMemoryError, UsageError
from xbench_adapters.pytorch.tensors import array_over, tensor_over

if TYPE_CHECKING:
    from xbench.adapter import Array
    from xbench_adapters.pytorch.lane import Call

WARM_UPS = 3  # before a capture: libraries choose algorithms and take workspaces in the first runs
_FULL = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
SMALLER = "Use a smaller batch, or a GPU with more memory"


def require_gpu(cuda: Any = torch.cuda) -> None:
    """Raise unless PyTorch can use a GPU here.

    Raises:
        UsageError: If it is built without CUDA, or sees no GPU.
    """
    if cuda.is_available():
        return
    if torch.version.cuda is None:
        raise UsageError(
            f"PyTorch {torch.__version__} is built without CUDA",
            "Install a build of torch for CUDA: pytorch.org says which for your driver",
        )
    raise UsageError(
        f"PyTorch {torch.__version__}, built for CUDA {torch.version.cuda}, sees no GPU",
        "`nvidia-smi` must list it, and the driver must be new enough for that CUDA",
    )


def raise_for_memory(error: RuntimeError) -> None:
    """Raise what says that a GPU has too little memory, where that is what the error is.

    Raises:
        DeviceMemoryError: With what was wanted.
    """
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(one in text for one in _FULL):
        said = ". ".join(text.split("\n")[0].split(". ")[:2])  # what, and how much was wanted
        raise DeviceMemoryError(said.rstrip("."), SMALLER) from error


class CudaLane:
    """A GPU and its default stream, as users of PyTorch have it.

    NumPy arrays are copied to pinned memory, and from there to the GPU; results are copied back to
    pinned memory. These copies and the kernels between them follow each other on one stream.

    Args:
        cuda: `torch.cuda`, or what stands in for it.
        device: The GPU.
        pinned: Makes tensors in memory from and to which the GPU copies by itself.
    """

    def __init__(
        self,
        cuda: Any = torch.cuda,
        device: str = "cuda:0",
        pinned: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._cuda = cuda
        self._pinned = pinned or _pinned
        self._sources: list[torch.Tensor] = []
        self._staged: list[torch.Tensor] = []
        self._inputs: list[torch.Tensor] = []
        self._landed: list[torch.Tensor] = []
        self._views: tuple[Array, ...] = ()

    def placed(self, arrays: Sequence[Array]) -> list[torch.Tensor]:
        """Return the tensors of all runs, with what ``arrays`` hold: graphs read at one address."""
        self._sources = [tensor_over(array) for array in arrays]
        if not _alike(self._sources, self._staged):
            self._staged = [self._pinned(one) for one in self._sources]
            self._inputs = [torch.empty_like(one, device=self.device) for one in self._sources]
        self.enter()
        self.synchronize()
        return self._inputs

    def enter(self) -> list[torch.Tensor]:
        """Return the inputs on the GPU, where they will be when the stream comes to them."""
        for source, staged, there in zip(self._sources, self._staged, self._inputs, strict=True):
            staged.copy_(source)
            there.copy_(staged, non_blocking=True)
        return self._inputs

    def leave(self, results: Sequence[torch.Tensor]) -> tuple[Array, ...]:
        """Return arrays in pinned memory, to which the stream will have copied the results."""
        if not _alike(results, self._landed):
            self._landed = [self._pinned(one) for one in results]
            self._views = tuple(map(array_over, self._landed))
        for landed, result in zip(self._landed, results, strict=True):
            landed.copy_(result, non_blocking=True)
        return self._views

    def synchronize(self) -> None:
        """Return when the stream has done all that it was given."""
        self._cuda.current_stream().synchronize()

    def timed(self, work: Callable[[], None]) -> Callable[[], int]:
        """Start work between two events on the stream; return what tells the time between them.

        In nanoseconds; CUDA tells about half a microsecond.
        """
        start, end = (self._cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        return lambda: round(start.elapsed_time(end) * 1e6)

    def captured(self, call: Call) -> Call:
        """Return the call, whose kernels are captured in its first run and launched as one."""
        return Captured(call, self._cuda)

    def peak_bytes(self) -> int | None:
        """Return the most memory of tensors at one time; cached blocks and CUDA's own are more."""
        return int(self._cuda.max_memory_allocated())

    def trim(self) -> None:
        """Give back what the allocator keeps and nothing uses."""
        self._cuda.empty_cache()

    def about(self) -> dict[str, str]:
        """Return the GPU, what PyTorch was built for, and how data gets there."""
        backends: Any = torch.backends
        return {
            "gpu": str(self._cuda.get_device_name()),
            "cuda": str(torch.version.cuda),
            "cudnn": str(backends.cudnn.version()),
            "cudnn_benchmark": str(backends.cudnn.benchmark),
            "transfers": "NumPy to pinned memory to the GPU, and back to pinned memory",
            "host_threads_wait": os.environ.get("OMP_WAIT_POLICY", "as OpenMP has it").lower(),
        }


class Captured:
    """A call whose kernels are launched as one CUDA graph.

    The first run with some tensors captures it, after a warm-up on a stream aside; the later runs
    must be given the same tensors, and give the same ones. Copies to and from the GPU are outside.
    """

    def __init__(self, call: Call, cuda: Any) -> None:
        self._call, self._cuda = call, cuda
        self._graph: Any = None
        self._inputs: tuple[torch.Tensor, ...] = ()
        self._results: Sequence[torch.Tensor] = ()

    def __call__(self, *inputs: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the tensors that hold the results once the stream has come so far.

        Raises:
            UsageError: If the model cannot be captured.
        """
        if self._graph is None or any(
            a is not b for a, b in zip(inputs, self._inputs, strict=True)
        ):
            self._capture(inputs)
        self._graph.replay()
        return self._results

    def _capture(self, inputs: tuple[torch.Tensor, ...]) -> None:
        cuda = self._cuda
        aside = cuda.Stream()
        aside.wait_stream(cuda.current_stream())
        with cuda.stream(aside):
            for _ in range(WARM_UPS):
                self._call(*inputs)
        cuda.current_stream().wait_stream(aside)
        graph = cuda.CUDAGraph()
        try:
            with cuda.graph(graph):
                results = list(self._call(*inputs))
        except RuntimeError as error:
            raise_for_memory(error)
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise UsageError(
                f"the model cannot be captured as a CUDA graph: {reason}",
                "Ask for the backend pytorch, without a CUDA graph",
            ) from error
        self._graph, self._inputs, self._results = graph, inputs, results


def _alike(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> bool:
    """Return whether tensors have the shapes and types of others."""
    return [(a.shape, a.dtype) for a in some] == [(b.shape, b.dtype) for b in others]


def _pinned(like: torch.Tensor) -> torch.Tensor:
    return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)
