"""The libraries of the tools that runs are handed to: each an extra, loaded when it is used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from xbench.errors import UsageError


def load(module: str, extra: str) -> ModuleType:
    """Return a module of the library behind an extra.

    Raises:
        UsageError: If it is not installed, or cannot be loaded.
    """
    try:
        return import_module(module)
    except ImportError as error:
        root = module.partition(".")[0]
        fix = f"Install it with: pip install 'xbench[{extra}]'"
        absent = isinstance(error, ModuleNotFoundError) and error.name == root
        what = f"{root} is not installed" if absent else f"{root} cannot be loaded: {error}"
        raise UsageError(what, fix) from error
