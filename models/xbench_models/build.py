"""``python -m xbench_models.build TARGET --out FILE``: one model, built in this process.

TARGET is a name that `xbench models` lists, or ``module:factory``. Warnings, and the error if
there is one, go to the standard error in a line each; the exit status is 0, or 2 after an error.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from xbench.errors import ModelError, UnknownNameError, XbenchError


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 0 for a file that agrees with its module, else 2."""
    parser = argparse.ArgumentParser(prog="python -m xbench_models.build")
    parser.add_argument("target", help="a name from `xbench models`, or module:factory")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: 0)")
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.parent is not None:
        threading.Thread(target=_end_with, args=(given.parent,), daemon=True).start()
    try:
        for warning in build(given.target, given.out, given.seed):
            print(f"warning: {warning}", file=sys.stderr)  # noqa: T201 # a command of its own
    except (XbenchError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201 # likewise
        return 2
    return 0


def build(target: str, out: Path, seed: int = 0) -> tuple[str, ...]:
    """Return warnings about the file that was written to ``out``.

    Raises:
        UnknownNameError: If ``target`` is neither a known name nor ``module:factory``.
        ModelError: If it cannot be built, exported, or shown to agree.
    """
    factory = _factory(target)
    try:
        from xbench_models.export import export
        from xbench_models.recipe import make
    except ImportError as error:
        fix = "Install what builds models with: pip install 'xbench[models]'"
        raise ModelError(f"{target} cannot be built: {error}", fix) from error
    return export(make(factory, seed), out).warnings


def _factory(target: str) -> str:
    if ":" in target:
        return target
    from xbench_models.catalog import CATALOG

    for card in CATALOG:
        if card.name == target:
            return card.factory
    known = tuple(card.name for card in CATALOG)
    raise UnknownNameError("model", target, known, "xbench models")


def _end_with(descriptor: int) -> None:
    """End this process group when the one that holds the pipe's other end is gone."""
    os.read(descriptor, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
