"""PyTorch as a backend: an imported module or the user's own, eager or compiled by inductor."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from xbench import __version__
from xbench.adapter import AS_GIVEN, Availability, Facts, Limits
from xbench.authoring import chosen
from xbench.errors import BackendUnavailableError, ModelError, UsageError

if TYPE_CHECKING:
    import torch.fx
    from torch import nn

    from xbench.adapter import Array, BoundModel, Native

_INSTALL = "pip install 'xbench[pytorch]'"

_ONEDNN = ("mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
"""What computes float32 on a CPU, and could do so in bf16; by place in `torch.backends`."""


class PyTorchAdapter:
    """Runs ONNX models as native PyTorch modules; the harness owns the clock."""

    name: ClassVar[str] = "pytorch"
    variants: ClassVar[Mapping[str, str]] = {
        "": "eager, the imported module or the user's own",
        "compile": "torch.compile with the inductor back end",
    }
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu"})

    def __init__(self, variant: str = "") -> None:
        self.variant = chosen(self.name, self.variants, variant)

    def available(self) -> Availability:
        """Return whether PyTorch is installed, without importing it."""
        try:
            installed = version("torch")
        except PackageNotFoundError:
            installed = None
        if installed is None or find_spec("torch") is None:
            return Availability(None, (), "PyTorch is not installed", _INSTALL)
        return Availability(installed)

    def prepare(self, limits: Limits) -> str:
        """Import PyTorch, set its threads, hold it to true fp32, and return its version."""
        try:
            import torch
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), f"Run {_INSTALL}") from error
        torch.set_num_threads(limits.threads)
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)
        _hold_fp32()
        return str(torch.__version__)

    def load(self, model: BoundModel, limits: Limits, precision: str) -> PyTorchSession:
        """Return a session that runs ``model`` on the CPU at fp32: the user's module, or its file.

        Raises:
            UnsupportedNodeError: If a node of the model cannot be imported.
            ModelError: If the user's module cannot be loaded.
            UsageError: If another precision or device is asked for.
        """
        _require(limits, precision)
        native = _own(model)
        return self._load_own(model, native, limits) if native else self._load_file(model)

    def check(self, model: BoundModel, limits: Limits, precision: str) -> None:
        """Return if `load` would load ``model``; large weights of its file are not copied.

        What ``torch.compile`` makes of it is not tried.

        Raises:
            UnsupportedNodeError: If a node of the model cannot be imported.
            ModelError: If the user's module cannot be loaded.
            UsageError: If another precision or device is asked for.
        """
        _require(limits, precision)
        if native := _own(model):
            from xbench_adapters.pytorch.native import load_native

            load_native(native)
            return
        from xbench_adapters.pytorch.importer import check_onnx

        check_onnx(model.path, model.shapes)

    def _load_file(self, model: BoundModel) -> PyTorchSession:
        from xbench_adapters.pytorch import import_onnx

        start_s = perf_counter()
        module = import_onnx(model.path, model.shapes)
        told = module.meta["xbench"]
        # Inductor chooses for itself.
        layout = None if self.variant == "compile" else _chosen_layout(module, model)
        importer = _importer(told["nodes"], sum(told["fused"].values()), layout)
        convert_s = perf_counter() - start_s
        call = module
        if self.variant == "compile":
            call = _compiled(module, fullgraph=True)
        return PyTorchSession(model, module, call, self.variant, importer, convert_s)

    def _load_own(self, model: BoundModel, native: Native, limits: Limits) -> PyTorchSession:
        from xbench_adapters.pytorch.native import Positional, load_native

        module = load_native(native)
        self.prepare(limits)  # again: the user's code may have set it otherwise
        names = [spec.name for spec in model.inputs]
        call = Positional(_compiled(module) if self.variant == "compile" else module, names)
        return PyTorchSession(model, module, call, self.variant, f"{AS_GIVEN}: {native.target}")


class PyTorchSession:
    """A module, fed NumPy arrays and read as NumPy arrays."""

    def __init__(
        self,
        model: BoundModel,
        module: nn.Module,
        call: Any,
        variant: str,
        importer: str,
        convert_s: float | None = None,
    ) -> None:
        import torch

        self._torch = torch
        self._module = module
        self._call = call
        self._variant = variant
        self._importer = importer
        self._convert_s = convert_s
        self._names = model.outputs
        self._order = tuple(spec.name for spec in model.inputs)
        self._feeds: list[Array] = []
        self._results: tuple[Array, ...] = ()

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Take the inputs of the next runs, by name."""
        self._feeds = [_writable(feeds[name]) for name in self._order]

    def run(self) -> None:
        """Run one inference: NumPy in, NumPy out."""
        with self._torch.inference_mode():
            tensors = [self._torch.from_numpy(array) for array in self._feeds]
            self._results = tuple(one.numpy() for one in self._call(*tensors))

    def synchronize(self) -> None:
        """Return at once: PyTorch's CPU operators end before they return."""

    def outputs(self) -> dict[str, Array]:
        """Return the outputs of the last run, by name, in the graph's order."""
        if len(self._results) != len(self._names):
            raise ModelError(
                f"the module gives {len(self._results)} tensors, and its file {len(self._names)}",
                "If it changed since it was exported, export it anew",
            )
        return dict(zip(self._names, self._results, strict=True))

    def facts(self) -> Facts:
        """Return what PyTorch tells: precision read back from weights and settings."""
        return Facts(
            precision=_effective(self._module),
            threads=self._torch.get_num_threads(),
            importer=self._importer,
            convert_s=self._convert_s,
            options={
                "mode": "inductor" if self._variant == "compile" else "eager",
                "interop_threads": str(self._torch.get_num_interop_threads()),
                "mkldnn_fp32": str(_fp32_setting("mkldnn")),
            },
        )

    def close(self) -> None:
        """Let go of the module and of all arrays."""
        self._call = self._module = None  # type: ignore[assignment]  # closed: used no more
        self._feeds, self._results = [], ()


def _own(model: BoundModel) -> Native | None:
    """Return the user's module, if the model was made from one of PyTorch."""
    native = model.native
    return native if native and native.framework == PyTorchAdapter.name else None


def _compiled(module: nn.Module, *, fullgraph: bool = False) -> Any:
    """Return the module, which is compiled at the first run: the harness times that as such."""
    import torch

    return torch.compile(module, fullgraph=fullgraph, dynamic=False)


def _importer(nodes: int, fused: int, layout: str | None) -> str:
    parts = [f"torch.fx, {nodes} nodes", f"{fused} fused", *([layout] if layout else [])]
    return f"xbench {__version__} ({'; '.join(parts)})"


def _chosen_layout(module: torch.fx.GraphModule, model: BoundModel) -> str | None:
    """Leave the module in the memory layout that is faster here; return which, and by how much."""
    import torch

    from xbench_adapters.pytorch.layout import choose
    from xbench_adapters.pytorch.tensors import DTYPES

    if any(spec.dtype not in DTYPES for spec in model.inputs):
        return None
    shapes = model.shapes
    return choose(
        module, [torch.ones(shapes[one.name], dtype=DTYPES[one.dtype]) for one in model.inputs]
    )


def _require(limits: Limits, precision: str) -> None:
    """Refuse a precision or a device that is not held."""
    if precision != "fp32":
        raise UsageError(f"pytorch holds fp32 only, not {precision}", "Ask for fp32")
    if limits.device != "cpu":
        raise UsageError(f"pytorch runs on cpu only, not on {limits.device}", "Ask for cpu")


def _writable(array: Array) -> Array:
    """Return the array itself, or a copy where PyTorch could not share its memory."""
    import numpy as np

    if array.flags.writeable and array.flags.c_contiguous:
        return array
    return np.array(array, order="C")


def _hold_fp32() -> None:
    """Turn off every setting that lets PyTorch compute float32 in a narrower type."""
    import torch

    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]  # set by a module class
    # The older switch sets cuDNN's parts alike: set apart, torch.export fails to read it.
    torch.backends.cudnn.allow_tf32 = False
    for part in _ONEDNN:
        _part(part).fp32_precision = "ieee"


def _part(path: str) -> Any:
    import torch

    found: Any = torch.backends
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _fp32_setting(path: str) -> str:
    return str(_part(path).fp32_precision)


def _effective(module: nn.Module) -> str:
    """Return the precision of the arithmetic, from the weights and the settings in force."""
    narrow = {str(one.dtype) for one in module.parameters()} - {"torch.float32", "torch.float64"}
    if narrow:
        return "+".join(sorted(name.removeprefix("torch.") for name in narrow))
    loose = {_fp32_setting(part) for part in _ONEDNN} - {"ieee"}
    return "+".join(sorted(loose)) if loose else "fp32"
