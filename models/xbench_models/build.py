"""``python -m xbench_models.build TARGET --out FILE``: one model, built in this process.

TARGET is a name that `xbench models` lists, ``module:factory``, or a path with its ``--form``. What
is to be said goes to the standard error, or to the file of ``--said``, in a line each with its
kind before it; the exit status is 0, or 2 after an error.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbench.building import CONTENT, ERROR, FRAMEWORK, INSTALL_IT, NATIVE, WARNING
from xbench.errors import ModelError, UnknownNameError, XbenchError
from xbench.modelcache import MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to build, and as `xbench.building.build` is asked for it."""

    target: str
    form: str
    out: Path
    seed: int
    trusted: bool
    shapes: Mapping[str, tuple[int, ...]]
    inputs: Path | None
    native: bool
    kept: str


@dataclass(frozen=True, slots=True)
class Made:
    """What was loaded, before it is an ONNX file: both sides' sources are brought into this.

    Attributes:
        framework: The adapter that runs it as it is.
        digest: Returns what tells its content.
        export: Writes the ONNX file, and returns warnings.
        save: Writes the model itself, where Keras can.
    """

    framework: str
    digest: Callable[[], str]
    export: Callable[[Path], tuple[str, ...]]
    save: Callable[[Path], None] | None = None


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 0 for a file that agrees with what it was made from, else 2."""
    given = _parser().parse_args(arguments)
    say = _teller(given.said)
    if given.here:
        sys.path.append(str(Path.cwd()))  # last: nothing there stands in for a package
    if given.parent is not None:
        threading.Thread(target=_end_with, args=(given.parent,), daemon=True).start()
    order = Order(
        target=given.target,
        form=given.form,
        out=given.out,
        seed=given.seed,
        trusted=given.trust,
        shapes={name: tuple(shape) for name, shape in json.loads(given.shapes).items()},
        inputs=given.inputs,
        native=given.native,
        kept=given.kept,
    )
    try:
        for line in build(order):
            say(line)
    except (XbenchError, OSError) as error:
        say(f"{ERROR}{' '.join(str(error).split())}")
        return 2
    return 0


def build(order: Order) -> Iterator[str]:
    """Yield what is to be said of the model that is built, a line each.

    Raises:
        UnknownNameError: If the target is neither a known name nor ``module:factory``.
        ModelError: If it cannot be built, exported, or shown to agree.
    """
    made = _made(order)
    yield f"{FRAMEWORK}{made.framework}"
    if order.kept:
        content = made.digest()
        yield f"{CONTENT}{content}"
        if Path(f"{order.kept}{content}", MODEL).is_file():
            return
    for warning in made.export(order.out):
        yield f"{WARNING}{warning}"
    if order.native and made.save:
        made.save(order.out.with_name(NATIVE))


def _made(order: Order) -> Made:
    """Return the model, loaded by the framework that it is of."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # likewise: errors are exceptions here
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # files are made, and shown to agree, on the CPU
    try:
        if order.form == "tflite":
            return _of_litert(order)
        if order.form in ("keras", "h5", "saved_model"):
            return _of_tensorflow(order)
        if order.form == "factory":
            return _of_factory(order)
        return _of_torch(order)
    except ImportError as error:
        raise ModelError(f"{order.target} cannot be built: {error}", INSTALL_IT) from error


def _of_factory(order: Order) -> Made:
    from xbench_models.factory import call, is_keras

    target = _factory(order.target)
    made = call(target, order.seed)
    if is_keras(made):
        from xbench_models.tensorflow.source import of_model

        return _with_program(of_model(made, target))
    from xbench_models.pytorch.recipe import normalise

    return _with_recipe(normalise(made, target))


def _of_torch(order: Order) -> Made:
    from xbench_models.pytorch.source import recipe

    terms = (order.trusted, order.shapes, order.inputs)
    return _with_recipe(recipe(order.form, order.target, order.seed, *terms))


def _of_tensorflow(order: Order) -> Made:
    from xbench_models.tensorflow.source import program

    return _with_program(program(order.form, order.target, order.seed, order.trusted))


def _of_litert(order: Order) -> Made:
    from xbench_models.litert.export import export

    path = Path(order.target)
    return Made("litert", lambda: "", lambda out: export(path, out).warnings)


def _with_recipe(recipe: Any) -> Made:
    from xbench_models.pytorch.export import export
    from xbench_models.pytorch.source import digest

    return Made("pytorch", lambda: digest(recipe), lambda out: export(recipe, out).warnings)


def _with_program(program: Any) -> Made:
    from xbench_models.tensorflow.export import export
    from xbench_models.tensorflow.source import digest

    return Made(
        framework="keras",
        digest=lambda: digest(program),
        export=lambda out: export(program, out).warnings,
        save=lambda path: program.model.save(path),
    )


def _factory(target: str) -> str:
    """Return ``module:factory``, also where a card's name was given."""
    if ":" in target:
        return target
    from xbench_models.catalog import CATALOG

    for card in CATALOG:
        if card.name == target:
            return card.factory
    known = tuple(card.name for card in CATALOG)
    raise UnknownNameError("model", target, known, "xbench models")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m xbench_models.build")
    parser.add_argument("target", help="a name from `xbench models`, module:factory, or a path")
    parser.add_argument("--form", default="factory", help="what it is; see xbench/source.py")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: 0)")
    parser.add_argument("--trust", action="store_true", help="let a file run code")
    parser.add_argument("--shapes", default="{}", help="of inputs by name, as JSON")
    parser.add_argument("--inputs", type=Path, help="an .npz with example inputs")
    parser.add_argument("--native", action="store_true", help="save a Keras model beside it")
    parser.add_argument("--here", action="store_true", help="import from the current folder")
    parser.add_argument("--said", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kept", default="", help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    return parser


def _teller(path: Path | None) -> Callable[[str], None]:
    """Return what tells a line: to a file that nobody else writes to, or to people."""

    def to_file(line: str) -> None:
        assert path is not None
        with path.open("a") as file:
            file.write(f"{line}\n")

    def to_people(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 # a command of its own

    return to_file if path else to_people


def _end_with(descriptor: int) -> None:
    """End this process group when the one that holds the pipe's other end is gone."""
    os.read(descriptor, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
