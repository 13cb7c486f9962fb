"""What TensorFlow's side has on disk or a factory makes, as a program; nothing unsafe is loaded."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xbench.errors import ModelError
from xbench_models.factory import call, is_keras, one_line
from xbench_models.quiet import quiet
from xbench_models.tensorflow.program import Program, of_keras, of_signature

TRUST_IT = "If you trust whoever made it, add --trust"
RETURN_IT = "The factory must return a Keras model, or `(model, example_inputs)`"
SAFE_KERAS = (3, 14)  # below: known faults in the loading of models
UNSAFE = ("safe_mode", "unsafe")
"""What Keras says when it refuses a layer that holds code."""


def program(form: str, target: str, seed: int, trusted: bool) -> Program:
    """Return the program that a file, a folder or a factory holds.

    Args:
        form: ``keras``, ``h5``, ``saved_model`` or ``factory``; see `xbench.source`.
        target: The path, or ``module:factory``.
        seed: Of the weights that a factory draws.
        trusted: Whether the user allows what may run code when it is loaded.

    Raises:
        ModelError: If it cannot be loaded, or must not be without the user's trust.
    """
    _choose_backend()
    if form == "factory":
        return of_model(call(target, seed), target)
    if not Path(target).exists():
        raise ModelError(f"there is no {target}", "Look at how it is spelled")
    if form == "saved_model":
        return _saved_model(Path(target), trusted)
    if form == "h5" and not trusted:
        reason = f"{target} is of Keras's older format, which can hold code that runs when loaded"
        raise ModelError(reason, f"{TRUST_IT}; or save it as .keras")
    return of_keras(_keras_file(target, trusted), Path(target).name)


def of_model(made: Any, target: str) -> Program:
    """Return the program in what a factory made: a Keras model, alone or with example inputs.

    Raises:
        ModelError: If it is something else, or nobody can say what it takes.
    """
    model, *examples = made if isinstance(made, tuple) and made else (made,)
    if not is_keras(model) or len(examples) > 1:
        raise ModelError(f"{target} returned {type(made).__name__}, not a Keras model", RETURN_IT)
    with quiet():
        return of_keras(model, target, *examples)


def digest(program: Program) -> str:
    """Return the SHA-256 of all that the program's ONNX file depends on, in hexadecimal.

    It is that of the graph with its weights in it, of its ends and of the versions of what
    converts it. Two equal ones convert alike; two programs that compute the same may differ.
    """
    from xbench_models.tensorflow.freeze import frozen

    found = hashlib.sha256()
    packages = [(name, version(name)) for name in ("keras", "tf2onnx", "onnx")]
    ends = (program.inputs, program.outputs, _tensorflow_version(), packages)
    found.update(repr(ends).encode())
    found.update(frozen(program).graph.as_graph_def().SerializeToString(deterministic=True))
    return found.hexdigest()


def _tensorflow_version() -> str:
    import tensorflow as tf

    return str(tf.__version__)


def _choose_backend() -> None:
    """Have Keras compute with TensorFlow, and TensorFlow keep quiet.

    Raises:
        ModelError: If Keras was imported with another backend.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # likewise
    import keras

    if keras.backend.backend() != "tensorflow":
        reason = f"Keras runs on {keras.backend.backend()} in this process"
        raise ModelError(reason, "Start a new one, with KERAS_BACKEND=tensorflow")


def _keras_file(target: str, trusted: bool) -> Any:
    """Return the model in a file; layers that hold code only where the user trusts it."""
    import keras

    if not trusted and tuple(map(int, keras.__version__.split(".")[:2])) < SAFE_KERAS:
        reason = f"Keras {keras.__version__} can be made to run code by a file that it calls safe"
        fix = "Install Keras 3.14 or newer; or, if you trust whoever made the file, add --trust"
        raise ModelError(reason, fix)
    try:
        with quiet():
            return keras.models.load_model(target, compile=False, safe_mode=not trusted)
    except Exception as error:  # Keras raises whatever the layers' own code makes it
        name = Path(target).name
        said = " ".join(str(error).split())
        if not trusted and any(word in said for word in UNSAFE):
            what = said.partition(". ")[0][:300]
            reason = f"{name} holds code that would run when it is loaded: {what}"
            raise ModelError(reason, TRUST_IT) from error
        raise ModelError(
            f"{name} cannot be loaded: {one_line(error)}",
            "A model with layers of your own is given as module:factory, or as the folder that "
            "model.export writes",
        ) from error


def _saved_model(folder: Path, trusted: bool) -> Program:
    import tensorflow as tf

    from xbench_models.tensorflow.trust import refuse_unsafe

    if not trusted:
        refuse_unsafe(folder)
    try:
        with quiet():
            loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # a damaged one raises whatever it makes of it
        reason = f"{folder.name} cannot be loaded: {one_line(error)}"
        raise ModelError(reason, "Save it again") from error
    signatures = loaded.signatures
    name = "serving_default" if "serving_default" in signatures else None
    if name is None and len(signatures) == 1:
        name = next(iter(signatures))
    if name is None:
        listed = ", ".join(signatures) or "none"
        raise ModelError(
            f"{folder.name} has no signature serving_default, and those it has are: {listed}",
            "Save it with tf.saved_model.save(model, folder, signatures=function), or with "
            "model.export",
        )
    with quiet():
        return of_signature(signatures[name], folder.name, loaded)
