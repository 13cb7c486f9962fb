"""The models that `xbench models` lists, and the way from a name or path to a file.

Cards are brought by plug-ins and read without a framework; a build runs in a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.adapter import Native
from xbench.building import NATIVE, build
from xbench.errors import ModelError, UnknownNameError, UsageError
from xbench.modelcache import cached, made_here
from xbench.source import FACTORY, FORMS, Terms, factory, find_source

if TYPE_CHECKING:
    from xbench.progress import Progress

GROUP = "xbench.models"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # also the name of a folder in the cache
ZOO_NEEDS = ("transformers", "torch", "onnxscript")  # for cards that do not say
FOREIGN = {
    **dict.fromkeys((".safetensors", ".bin", ".ckpt"), "weights without the model"),
    **dict.fromkeys((".pb",), "a TensorFlow graph; a SavedModel is the folder that it lies in"),
    **dict.fromkeys((".litertlm",), "a bundle for LiteRT-LM"),
    **dict.fromkeys((".engine", ".plan"), "a TensorRT engine, which holds no model any more"),
    **dict.fromkeys((".xml",), "an OpenVINO model"),
    **dict.fromkeys((".ort",), "an ONNX Runtime model"),
    **dict.fromkeys((".py", ".ipynb"), "Python code"),
}
TAKEN = (
    "Give an .onnx, .pt2, .keras or .tflite file, a SavedModel's folder, or module:factory, a "
    "function of yours that makes the model"
)


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
        factory: ``module:factory``, which returns the module and example inputs, or a Keras model.
        framework: ``keras`` where the factory makes a Keras model, which is kept and run as it is
            too; else empty, and every backend runs the ONNX file.
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
    framework: str = ""
    broken: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A model file that is there.

    Attributes:
        path: The ``.onnx`` file.
        name: What to call it.
        symbols: Lengths that its open axes have unless asked otherwise.
        native: What it was made from, where a backend runs that as it is.
    """

    path: Path
    name: str
    symbols: Mapping[str, int]
    native: Native | None = None

    @property
    def framework(self) -> str | None:
        """Return the adapter that runs the model as it was given, or None."""
        return self.native.framework if self.native else None


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


def resolve(
    model: str,
    seed: int,
    progress: Progress,
    wake_fd: int | None = None,
    terms: Terms = Terms(),  # noqa: B008 -- it is frozen
) -> Resolved:
    """Return the ONNX file behind what ``model`` names; it is made if it never was.

    Args:
        model: A path to an ``.onnx`` file, a name that `cards` has, or what `xbench.source` takes.
        seed: Of the weights of a model that is built.
        progress: Hears what takes time.
        wake_fd: Becomes readable when the user asks to stop.
        terms: What else the user says of it.

    Raises:
        UnknownNameError: If it is neither a known name nor a path.
        ModelError: If there is no such file, it cannot become ONNX, or must be trusted first.
        InterruptedRunError: If the user asked to stop.
    """
    known = cards()
    if model in known:
        return _of_card(_usable(known[model]), seed, progress, wake_fd)
    with _looking_at(model):
        source = find_source(model, seed, terms)
        if source is None:
            return Resolved(path=_existing(model, known), name=Path(model).stem, symbols={})
    name = _for_folder(source.name)
    keep = made_here if source.form.from_here else cached
    kept = keep(name, source, progress, wake_fd)
    native = source.native(kept.framework)
    return Resolved(path=kept.path, name=source.name, symbols={}, native=native)


def export(
    target: str,
    out: Path,
    progress: Progress,
    seed: int = 0,
    terms: Terms = Terms(),  # noqa: B008 -- it is frozen
) -> Path:
    """Return ``out``, to which the model ``target`` was written.

    Args:
        target: A name that `cards` has, or what `xbench.source` takes; a factory is found from
            the current folder.
        out: The file to write; what was there is replaced once the new one is complete.
        progress: Hears what takes time.
        seed: Of the weights.
        terms: What else the user says of it.

    Raises:
        UnknownNameError: If ``target`` is neither.
        ModelError: If it cannot be built, or ``out`` cannot be written.
    """
    known = cards()
    card = _usable(known[target]) if target in known else None
    with _looking_at(target):
        source = factory(card.factory, seed) if card else find_source(target, seed, terms)
        if source is None:
            path = _existing(target, known)
            raise ModelError(f"{path} is no model to be exported", "An ONNX file needs no export")
    if (terms.shapes or terms.inputs) and not source.form.shaped:
        reason = f"{target} has example inputs of its own, and takes no others"
        raise UsageError(reason, "Leave out --shape and --inputs")
    progress.phase(f"exporting {target}")
    needs = _needs(card) if card else ()
    build(source, out, progress, needs=needs, from_here=not card and source.form.from_here)
    return out


@contextmanager
def _looking_at(model: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{model[:80]} cannot be read: {error.strerror}"
        raise ModelError(reason, "Check the path") from error


def _of_card(card: ModelCard, seed: int, progress: Progress, wake_fd: int | None) -> Resolved:
    source = factory(card.factory, seed)
    own = bool(card.framework)
    kept = cached(card.name, source, progress, wake_fd, needs=_needs(card), native=own)
    saved = str(kept.path.with_name(NATIVE))
    native = Native(card.framework, "keras", saved) if own else None
    return Resolved(path=kept.path, name=card.name, symbols=card.symbols, native=native)


def _needs(card: ModelCard) -> tuple[str, ...]:
    """Return the packages that the model of a card is built with."""
    form = next((one for one in FORMS.values() if one.framework == card.framework), None)
    return form.needs if form else ZOO_NEEDS


def _existing(model: str, known: Mapping[str, ModelCard]) -> Path:
    """Return the path of a file that may well be ONNX; what is in it is read later.

    Raises:
        OSError: If it cannot be looked at.
    """
    path = Path(model)
    suffix = path.suffix.lower()
    if path.is_dir() and model.strip():
        raise ModelError(f"{model} is a folder", _inside(path))
    if path.exists() and not path.is_file():
        raise ModelError(f"{model} is not a regular file", "Give the path of an .onnx file")
    if path.is_file() and suffix in FOREIGN:
        raise ModelError(f"{model} is {FOREIGN[suffix]}", TAKEN)
    if path.is_file():
        return path
    if "/" in model or suffix:
        fix = "Check the path, or take a name that `xbench models` lists"
        raise ModelError(f"there is no such file: {model}", fix)
    raise UnknownNameError("model", model, tuple(known), "xbench models")


def _for_folder(name: str) -> str:
    """Return a name with nothing in it that a folder's name cannot have."""
    kept = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:60].lstrip("-.")
    return kept or "model"


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
