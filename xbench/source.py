"""What a model may be given as, besides ONNX: told by its name, and by what lies there.

===============  ============================================  =========
form             what                                          runs it
===============  ============================================  =========
``factory``      ``module:factory``, the user's own code       pytorch or keras
``pt2``          a program that ``torch.export.save`` wrote    pytorch
``pickle``       a module that ``torch.save`` wrote            pytorch
``keras``        a model that Keras saved                      keras
``h5``           the same in the older file format             keras
``saved_model``  a folder that TensorFlow saved                keras
``tflite``       a LiteRT flatbuffer                           litert
===============  ============================================  =========

All become ONNX for the other backends. What can run code when it is loaded is refused unless the
user says that it may: it is not theirs by naming it, as a factory is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xbench.adapter import Native
from xbench.errors import ModelError

FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
SAVED_MODEL = "saved_model.pb"

_BASE = ("xbench_models", "onnx")
_TORCH = (*_BASE, "torch", "onnxscript")
_KERAS = (*_BASE, "tensorflow", "keras", "tf2onnx")


@dataclass(frozen=True, slots=True)
class Form:
    """One way to give a model.

    Attributes:
        name: As the table of this module has it.
        what: For people, such as ``a Keras model``.
        framework: The adapter that runs it as it is; None where that shows when it is made.
        needs: Packages without which it cannot become ONNX.
        unsafe: How it could run code when it is loaded, or None.
        from_here: Whether it needs the user's own code, which may lie in the current folder.
        shaped: Whether it takes its example inputs from the user.
    """

    name: str
    what: str
    framework: str | None
    needs: tuple[str, ...]
    unsafe: str | None = None
    from_here: bool = False
    shaped: bool = False


FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form("factory", "a factory", None, _BASE, from_here=True),
        Form("pt2", "an exported PyTorch program", "pytorch", _TORCH, shaped=True),
        Form(
            "pickle",
            "a pickled PyTorch module",
            "pytorch",
            _TORCH,
            "a pickle runs whatever its author wrote into it as soon as it is loaded",
            from_here=True,
            shaped=True,
        ),
        Form("keras", "a Keras model", "keras", _KERAS),
        Form(
            "h5",
            "a Keras model in the older HDF5 format",
            "keras",
            _KERAS,
            "it can hold Python code in layers, which runs when it is loaded",
        ),
        Form("saved_model", "a SavedModel", "keras", _KERAS),
        Form("tflite", "a LiteRT model", "litert", (*_KERAS, "ai_edge_litert")),
    )
}
SUFFIXES: Mapping[str, str] = {
    ".pt2": "pt2",
    **dict.fromkeys((".pt", ".pth", ".pkl"), "pickle"),
    ".keras": "keras",
    **dict.fromkeys((".h5", ".hdf5"), "h5"),
    ".tflite": "tflite",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the user says besides the model's name.

    Attributes:
        trusted: Whether a file may run code when it is loaded.
        shapes: Shapes of inputs by name, for a form that has none of its own.
        inputs: An ``.npz`` with inputs, for the same.
    """

    trusted: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an ONNX file is made from.

    Attributes:
        target: The absolute path of a file or folder, or ``module:factory``.
        seed: Of the weights that a factory draws.
    """

    form: Form
    target: str
    seed: int = 0
    terms: Terms = Terms()

    @property
    def name(self) -> str:
        """Return what to call the model."""
        return self.target if self.form.name == "factory" else Path(self.target).stem

    def native(self, framework: str) -> Native:
        """Return what ``framework`` can run as it is."""
        return Native(framework, self.form.name, self.target, self.seed, self.terms.trusted)


def find_source(model: str, seed: int, terms: Terms) -> Source | None:
    """Return what ``model`` names, if that is no ONNX file but can become one.

    Raises:
        ModelError: If loading it may run code, and the user does not say that this may be.
        OSError: If it cannot be looked at.
    """
    form = _form(model)
    if form is None:
        return None
    if form.unsafe and not terms.trusted:
        fix = "If you trust whoever made it, add --trust"
        raise ModelError(f"{model} is {form.what}: {form.unsafe}", fix)
    target = model if form.name == "factory" else str(Path(model).absolute())
    return Source(form=form, target=target, seed=seed, terms=terms)


def factory(target: str, seed: int = 0) -> Source:
    """Return the source that ``module:factory`` is."""
    return Source(form=FORMS["factory"], target=target, seed=seed)


def _form(model: str) -> Form | None:
    path = Path(model)
    if model.strip() and path.is_dir():
        return FORMS["saved_model"] if (path / SAVED_MODEL).is_file() else None
    if path.is_file():
        name = SUFFIXES.get(path.suffix.lower())
        return FORMS[name] if name else None
    return FORMS["factory"] if FACTORY.fullmatch(model) else None
