"""PyTorch as a backend: an imported module or the user's own, on a CPU or an NVIDIA GPU."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from xbench import __version__
from xbench.adapter import AS_GIVEN, Availability, Limits
from xbench.authoring import chosen, require
from xbench.errors import BackendUnavailableError

if TYPE_CHECKING:
    import torch.fx

    from xbench.adapter import BoundModel, Native
    from xbench_adapters.pytorch.lane import Lane
    from xbench_adapters.pytorch.session import Loaded, PyTorchSession

_INSTALL = "pip install 'xbench[pytorch]'"
_CPU, _GPU = frozenset({"cpu"}), frozenset({"cuda"})
_INT8 = {"int8": "rounded to 8 bits, multiplied as float32"}
_HELD = {"cpu": ("fp32", "fp16", "bf16", "int8"), "cuda": ("fp32", "tf32", "fp16", "bf16", "int8")}


class PyTorchAdapter:
    """Runs ONNX models as native PyTorch modules; the harness owns the clock."""

    name: ClassVar[str] = "pytorch"
    variants: ClassVar[Mapping[str, str]] = {
        "": "eager, the imported module or the user's own",
        "compile": "torch.compile with the inductor back end",
        "graph": "the kernels of the eager module in one CUDA graph",
        "autocast": "torch.autocast to bfloat16, of the eager module",
    }
    kinds: ClassVar[frozenset[str]] = _CPU | _GPU
    variant_kinds: ClassVar[Mapping[str, frozenset[str]]] = {"graph": _GPU}
    precisions: ClassVar[Mapping[str, str]] = {"autocast": "bf16"}

    def __init__(self, variant: str = "") -> None:
        self.variant = chosen(self.name, self.variants, variant)

    def available(self) -> Availability:
        """Return whether PyTorch is installed, and for which devices, without importing it."""
        try:
            installed = version("torch")
        except PackageNotFoundError:
            installed = None
        if installed is None or find_spec("torch") is None:
            return Availability(None, (), "PyTorch is not installed", _INSTALL)
        return Availability(installed, ("cpu", "cuda") if _for_cuda(installed) else ("cpu",))

    def prepare(self, limits: Limits) -> str:
        """Import PyTorch, set its threads, hold it to true fp32, and return its version."""
        try:
            import torch
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), f"Run {_INSTALL}") from error
        from xbench_adapters.pytorch.precision import hold

        torch.set_num_threads(limits.threads)
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)
        hold(tf32=False)
        return str(torch.__version__)

    def load(self, model: BoundModel, limits: Limits, precision: str) -> PyTorchSession:
        """Return a session that runs ``model`` at ``precision``: the user's module, or its file.

        Raises:
            UnsupportedNodeError: If a node of the model cannot be imported.
            ModelError: If the user's module cannot be loaded.
            UsageError: If the precision or the device cannot be held.
            DeviceMemoryError: If the GPU has too little memory for the weights.
        """
        kind = self._kind(limits, precision)
        from xbench_adapters.pytorch.cuda import raise_for_memory
        from xbench_adapters.pytorch.session import PyTorchSession, ResidentSession

        lane = _lane(kind)
        try:
            if native := self._own(model, precision):
                loaded = self._of_own(model, native, lane, limits, precision)
            else:
                self._hold(kind, precision)
                loaded = self._of_file(model, lane, precision)
        except RuntimeError as error:
            raise_for_memory(error)
            raise
        session = PyTorchSession if kind == "cpu" else ResidentSession
        return session(model, loaded, lane)

    def check(self, model: BoundModel, limits: Limits, precision: str) -> None:
        """Return if `load` would load ``model``; large weights of its file are not copied.

        What ``torch.compile`` or a capture makes of it is not tried.

        Raises:
            UnsupportedNodeError: If a node of the model cannot be imported.
            ModelError: If the user's module cannot be loaded.
            UsageError: If the precision or the device cannot be held.
        """
        self._kind(limits, precision)
        if native := self._own(model, precision):
            from xbench_adapters.pytorch.native import load_native

            load_native(native)
            return
        from xbench_adapters.pytorch.importer import check_onnx

        check_onnx(model.path, model.shapes)

    def _kind(self, limits: Limits, precision: str) -> str:
        """Return the kind of the device, or refuse it or the precision."""
        kinds = self.variant_kinds.get(self.variant, self.kinds)
        kind = "cuda" if limits.uuid else limits.device.partition(":")[0]
        own = self.precisions.get(self.variant)
        require(
            limits,
            precision,
            backend=f"{self.name}:{self.variant}" if self.variant else self.name,
            devices=(limits.device,) if kind in kinds else tuple(sorted(kinds)),
            precisions=(own,) if own else _HELD.get(kind, ()),
        )
        if kind == "cuda":
            from xbench_adapters.pytorch.cuda import require_gpu

            require_gpu()
        return kind

    def _own(self, model: BoundModel, precision: str) -> Native | None:
        """Return the user's module, if the model was made from one of PyTorch that has this one.

        A file that was narrowed is another model than the module.
        """
        native = model.native
        narrowed = precision not in ("fp32", "tf32") and self.variant not in self.precisions
        return native if native and native.framework == self.name and not narrowed else None

    def _hold(self, kind: str, precision: str) -> None:
        import torch

        from xbench_adapters.pytorch.precision import hold

        hold(tf32=precision == "tf32")
        # Every shape is fixed, so the search for the fastest convolution is over with the warm-up.
        torch.backends.cudnn.benchmark = kind == "cuda"

    def _of_file(self, model: BoundModel, lane: Lane, precision: str) -> Loaded:
        from xbench_adapters.pytorch import import_onnx
        from xbench_adapters.pytorch.placing import move
        from xbench_adapters.pytorch.variants import loaded

        start_s = perf_counter()
        module = import_onnx(model.path, model.shapes)
        told = module.meta["xbench"]
        move(module, lane.device)
        # Inductor chooses for itself.
        layout = None if self.variant == "compile" else _chosen_layout(module, model, lane)
        importer = _importer(told["nodes"], sum(told["fused"].values()), layout)
        return loaded(
            self.variant,
            module,
            lane,
            importer,
            convert_s=perf_counter() - start_s,
            options=_INT8 if precision == "int8" else None,
        )

    def _of_own(
        self, model: BoundModel, native: Native, lane: Lane, limits: Limits, precision: str
    ) -> Loaded:
        from xbench_adapters.pytorch.native import Positional, load_native
        from xbench_adapters.pytorch.placing import move
        from xbench_adapters.pytorch.variants import loaded

        module = load_native(native)
        self.prepare(limits)  # again: the user's code may have set it otherwise
        self._hold(lane.device.type, precision)
        move(module, lane.device)
        names = [spec.name for spec in model.inputs]
        importer = f"{AS_GIVEN}: {native.target}"
        return loaded(self.variant, module, lane, importer, wrap=lambda one: Positional(one, names))


def _for_cuda(installed: str) -> bool:
    """Return whether a build of PyTorch is made for NVIDIA GPUs, as its version tells.

    The one without a suffix is, where there are NVIDIA's drivers.
    """
    local = installed.partition("+")[2]
    return local.startswith("cu") or (not local and sys.platform in ("linux", "win32"))


def _lane(kind: str) -> Lane:
    from xbench_adapters.pytorch.cuda import CudaLane
    from xbench_adapters.pytorch.lane import CpuLane

    return CudaLane() if kind == "cuda" else CpuLane()


def _importer(nodes: int, fused: int, layout: str | None) -> str:
    parts = [f"torch.fx, {nodes} nodes", f"{fused} fused", *([layout] if layout else [])]
    return f"xbench {__version__} ({'; '.join(parts)})"


def _chosen_layout(module: torch.fx.GraphModule, model: BoundModel, lane: Lane) -> str | None:
    """Leave the module in the memory layout that is faster here; return which.

    On a GPU only where all inputs are floats: ones as indices may be out of range, and after that
    nothing runs there any more.
    """
    import torch

    from xbench_adapters.pytorch.layout import choose
    from xbench_adapters.pytorch.tensors import DTYPES

    dtypes = [DTYPES.get(spec.dtype) for spec in model.inputs]
    if any(one is None for one in dtypes):
        return None
    if lane.device.type != "cpu" and not all(one and one.is_floating_point for one in dtypes):
        return None
    inputs = [
        torch.ones(model.shapes[spec.name], dtype=dtype, device=lane.device)
        for spec, dtype in zip(model.inputs, dtypes, strict=True)
    ]
    return choose(module, inputs, lane.synchronize)
