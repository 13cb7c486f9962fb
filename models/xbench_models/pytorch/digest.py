"""What tells one recipe's content from another's: weights, structure, code and versions."""

from __future__ import annotations

import functools
import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from xbench_models.pytorch.recipe import Recipe

PACKAGES = ("torch", "onnxscript", "transformers", "onnx", "numpy", "xbench")
_OURS = ("xbench", "xbench_models", "xbench_adapters")
_INSTALLED = tuple(
    Path(sysconfig.get_path(one)).resolve() for one in ("stdlib", "purelib", "platlib")
)
_OF_MODULE = frozenset(vars(nn.Module())) - {"training"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


class Hash(Protocol):
    """What takes bytes."""

    def update(self, data: Any, /) -> None:
        """Take some more."""


def digest(recipe: Recipe) -> str:
    """Return a hexadecimal digest of all that decides the file that a recipe is exported to.

    The values of the example inputs do not, and neither does where the recipe came from.
    """
    found = hashlib.sha256()
    for name, value in recipe.inputs.items():
        found.update(
            f"{name} {value.dtype} {tuple(value.shape)} {recipe.axes.get(name)}\n".encode()
        )
    for package in PACKAGES:
        found.update(f"{package} {_version(package)}\n".encode())
    for path in sorted({*_sources(), *Path(__file__).parent.glob("*.py")}):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    found.update(re.sub(r" at 0x[0-9a-f]+", "", repr(recipe.module)).encode())
    taker = _Taker(found)
    for name, part in recipe.module.named_modules():
        found.update(f"\n{name} {type(part).__qualname__}".encode())
        taker.module(part)
    _take_tensors(found, recipe.module)
    return found.hexdigest()


def _take_tensors(found: Hash, module: nn.Module) -> None:
    """Take every weight, a shared one once."""
    taken: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    named = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in named:
        same = taken.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()), name)
        found.update(f"\n{name} {same} ".encode())
        if same == name or not tensor.numel():
            _take_tensor(found, tensor)


def _take_tensor(found: Hash, tensor: Tensor) -> None:
    plain = tensor.detach()
    found.update(f"{plain.dtype} {tuple(plain.shape)}\n".encode())
    if plain.layout is torch.strided and not plain.is_quantized and plain.device.type != "meta":
        found.update(plain.resolve_conj().contiguous().cpu().reshape(-1).view(torch.uint8).numpy())


class _Taker:
    """Feeds values to a hash by their content, each object once."""

    def __init__(self, found: Hash) -> None:
        self._found = found
        self._taken: dict[int, Any] = {}  # which keeps them alive: their identity is the key

    def module(self, module: nn.Module) -> None:
        """Take what a module holds besides its weights and parts, and how it is called."""
        if isinstance(module, torch.fx.GraphModule):
            self._found.update(module.code.encode())
            return
        for name, value in sorted(vars(module).items()):
            if name not in _OF_MODULE:
                self._found.update(f"\n.{name} ".encode())
                self.value(value)
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
            self.value(hook)
        if not _is_installed(type(module).__module__):
            self.value(type(module).forward)

    def value(self, value: Any) -> None:
        """Take a value by its content; of what has none that is known, its type."""
        self._found.update(f"({type(value).__qualname__} ".encode())
        if isinstance(value, _PLAIN):
            self._found.update(repr(value).encode())
        elif isinstance(value, Tensor):
            _take_tensor(self._found, value)
        elif isinstance(value, np.ndarray):
            self._found.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
        elif isinstance(value, type):
            self._found.update(f"{value.__module__}.{value.__qualname__}".encode())
        elif id(value) not in self._taken and not isinstance(value, nn.Module):  # by its own name
            self._taken[id(value)] = value
            for part in _parts(value):
                self.value(part)
        self._found.update(b")")


def _parts(value: Any) -> Iterator[Any]:
    """Yield what a value is made of."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from (key, one)
    elif isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, set | frozenset):
        yield from sorted(map(repr, value))
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield value.__func__
    elif isinstance(value, CodeType):
        yield from (value.co_code, value.co_names, value.co_consts)
    elif isinstance(value, FunctionType):
        yield from (value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__)
        yield [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
    else:
        yield getattr(value, "__qualname__", None)  # of a function in C
        yield getattr(value, "__dict__", None)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _sources() -> Iterator[Path]:
    """Yield the files of all loaded modules that no version speaks for: the user's own."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and not _is_installed(name):
            path = Path(file).resolve()
            if path.is_file():
                yield path


def _is_installed(name: str) -> bool:
    """Return whether a module is of Python, of an installed package, or of this one."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if name.partition(".")[0] in _OURS or not isinstance(file, str):
        return name in sys.builtin_module_names or name.partition(".")[0] in _OURS
    return any(Path(file).resolve().is_relative_to(folder) for folder in _INSTALLED)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
