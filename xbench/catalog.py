"""The models that `xbench models` lists, and the way from a name or path to a file.

Cards are brought by plug-ins and read without a framework; a build runs in a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.building import BUILDERS, build
from xbench.errors import ModelError, UnknownNameError
from xbench.modelcache import cached

if TYPE_CHECKING:
    from xbench.progress import Progress

GROUP = "xbench.models"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # also the name of a folder in the cache
FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
EXPORT_IT = "Make an ONNX file of it: xbench export MODULE:FACTORY --out model.onnx"
FOREIGN = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".safetensors"), "PyTorch weights"),
    **dict.fromkeys((".h5", ".hdf5", ".keras", ".pb"), "a TensorFlow or Keras model"),
    **dict.fromkeys((".tflite", ".litertlm"), "a LiteRT model"),
    **dict.fromkeys((".engine", ".plan"), "a TensorRT engine"),
    **dict.fromkeys((".xml",), "an OpenVINO model"),
    **dict.fromkeys((".ort",), "an ONNX Runtime model"),
    **dict.fromkeys((".py", ".ipynb"), "Python code"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model that can be built by name.

    An entry point of the group ``xbench.models`` names an iterable of cards, in a module that
    imports no framework.

    Attributes:
        name: What `xbench compare` is given: letters, digits, dots, dashes and underscores.
        summary: What it is, in one line; or why it cannot be had.
        task: What it is for, such as ``image classification``.
        inputs: Names, types and axes of its inputs, for people.
        factory: ``module:factory``, which returns the module and example inputs.
        symbols: Lengths that the open axes have unless asked otherwise.
        parameters: How many weights it has.
        broken: Why the plug-in cannot be used, or None.
    """

    name: str
    summary: str
    task: str = ""
    inputs: str = ""
    factory: str = ""
    symbols: Mapping[str, int] = field(default_factory=dict)
    parameters: int | None = None
    broken: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A model file that is there.

    Attributes:
        path: The ``.onnx`` file.
        name: What to call it.
        symbols: Lengths that its open axes have unless asked otherwise.
    """

    path: Path
    name: str
    symbols: Mapping[str, int]


def cards() -> Mapping[str, ModelCard]:
    """Return every card by name; a plug-in that fails has one that says why."""
    found: dict[str, ModelCard] = {}
    for point in sorted(set(entry_points(group=GROUP)), key=_ours_first):
        for card in _load(point):
            if found.get(card.name) == card:  # an editable install may list a plug-in twice
                continue
            if card.name in found:
                card = _broken(point, f"{card.name} is also the name of another one's model")
            found.setdefault(point.value if card.name in found else card.name, card)
    return found


def resolve(model: str, seed: int, progress: Progress, wake_fd: int | None = None) -> Resolved:
    """Return the file behind a path, or behind a name; it is built if it never was.

    Args:
        model: A path to an ``.onnx`` file, or a name that `cards` has.
        seed: Of the weights of a model that is built.
        progress: Hears what takes time.
        wake_fd: Becomes readable when the user asks to stop.

    Raises:
        UnknownNameError: If it is neither a known name nor a path.
        ModelError: If there is no such file, it is no ONNX file, or it cannot be built.
        InterruptedRunError: If the user asked to stop.
    """
    known = cards()
    if model not in known:
        return Resolved(path=_existing(model, known), name=Path(model).stem, symbols={})
    card = _usable(known[model])
    path = cached(card.name, card.factory, seed, progress, wake_fd)
    return Resolved(path=path, name=card.name, symbols=card.symbols)


def export(target: str, out: Path, progress: Progress, seed: int = 0) -> Path:
    """Return ``out``, to which the model ``target`` was written.

    Args:
        target: A name that `cards` has, or ``module:factory``, found from the current folder.
        out: The file to write; what was there is replaced once the new one is complete.
        progress: Hears what takes time.
        seed: Of the weights.

    Raises:
        UnknownNameError: If ``target`` is neither.
        ModelError: If it cannot be built, or ``out`` cannot be written.
    """
    known = cards()
    if target in known:
        factory = _usable(known[target]).factory
        progress.phase(f"building {target}")
        return build(factory, out, seed, progress, needs=BUILDERS)
    if not FACTORY.fullmatch(target):
        raise UnknownNameError("model or module:factory", target, tuple(known), "xbench models")
    progress.phase(f"exporting {target}")
    return build(target, out, seed, progress, from_here=True)


def _existing(model: str, known: Mapping[str, ModelCard]) -> Path:
    """Return the path of a file that may well be ONNX; what is in it is read later."""
    path = Path(model)
    suffix = path.suffix.lower()
    try:
        if path.is_dir() and model.strip():
            raise ModelError(f"{model} is a folder", _inside(path))
        if path.exists() and not path.is_file():
            raise ModelError(f"{model} is not a regular file", "Give the path of an .onnx file")
        if path.is_file() and suffix in FOREIGN:
            raise ModelError(f"{model} is {FOREIGN[suffix]}, not an ONNX file", EXPORT_IT)
        if path.is_file():
            return path
    except OSError as error:
        raise ModelError(
            f"{model[:80]} cannot be read: {error.strerror}", "Check the path"
        ) from error
    if FACTORY.fullmatch(model):
        fix = f"Make an ONNX file of it first: xbench export {model} --out model.onnx"
        raise ModelError(f"{model} is a factory, not a model file", fix)
    if "/" in model or suffix:
        fix = "Check the path, or take a name that `xbench models` lists"
        raise ModelError(f"there is no such file: {model}", fix)
    raise UnknownNameError("model", model, tuple(known), "xbench models")


def _inside(folder: Path) -> str:
    """Return what to do about a folder that was given for a file."""
    first = min(folder.glob("*.onnx"), default=None)
    return f"Give the file in it: {first}" if first else "Give the path of an .onnx file"


def _usable(card: ModelCard) -> ModelCard:
    if card.broken is not None:
        raise ModelError(f"{card.name} is not available: {card.broken}", "Repair the plug-in")
    return card


def _ours_first(point: EntryPoint) -> tuple[bool, str, str]:
    return not point.value.startswith("xbench_models."), point.name, point.value


def _load(point: EntryPoint) -> Iterator[ModelCard]:
    """Return the cards of one plug-in, each of them usable or marked as broken."""
    try:
        found = list(point.load())
    except (Exception, SystemExit) as error:  # another's code may raise anything
        yield _broken(point, f"{type(error).__name__}: {error}")
        return
    for card in found:
        fault = _fault(card)
        yield _broken(point, fault) if fault else card


def _fault(card: object) -> str | None:
    if not isinstance(card, ModelCard):
        return f"it lists {type(card).__name__}, not ModelCard"
    if not NAME.fullmatch(card.name):
        return f"{card.name!r} cannot be the name of a model"
    if not FACTORY.fullmatch(card.factory):
        return f"the factory of {card.name} is not module:factory"
    return None


def _broken(point: EntryPoint, reason: str) -> ModelCard:
    said = " ".join(reason.split())
    return ModelCard(
        name=point.name,
        summary=f"not available: the plug-in {point.value} is broken: {said}",
        broken=f"the plug-in {point.value} is broken: {said}",
    )
