"""What ``module:factory`` makes, its random numbers seeded; imports no framework itself."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from xbench.errors import ModelError

MOST_SEED = 2**32  # NumPy takes no larger one
RETURN_IT = "The factory must return `(module, example_inputs)`, or a Keras model"
TRANSFORMERS = "transformers"
FRAMEWORKS = frozenset({"torch", "tensorflow", "keras"})


def call(target: str, seed: int) -> Any:
    """Return what the factory ``module:factory`` makes, whichever framework it is of.

    Of ``transformers`` the names of models, of configs and of types of models are taken too.

    Raises:
        ModelError: If there is no such factory, or it fails.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported
    factory = _find(target)
    before = FRAMEWORKS & sys.modules.keys()
    made = _seeded(factory, target, seed)
    late = (FRAMEWORKS & sys.modules.keys()) - before
    if late - ({"torch"} if is_keras(made) else set()):
        # It imported a framework itself: too late to be seeded, or after that had drawn numbers.
        made = _seeded(factory, target, seed)
    return made


def is_keras(made: Any) -> bool:
    """Return whether a factory made a Keras model, alone or with example inputs."""
    model = made[0] if isinstance(made, tuple) and made else made
    return any(
        kind.__module__.partition(".")[0] == "keras" and kind.__name__ == "Model"
        for kind in type(model).__mro__
    )


def one_line(error: BaseException) -> str:
    """Return the kind and the first line of an error."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0].rstrip('.')}" if said else type(error).__name__


def _seeded(factory: Callable[[], Any], target: str, seed: int) -> Any:
    """Return what the factory makes after every generator at hand is seeded.

    Keras draws its seeds from Python's, and so does what it makes.
    """
    random.seed(seed)
    np.random.seed(seed % MOST_SEED)  # the one that a user's factory draws from
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(seed)
    try:
        return factory()
    except ModelError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        reason = f"{target} failed: {one_line(error)}"
        raise ModelError(reason, "Call it in Python to see the whole error") from error


def _find(target: str) -> Callable[[], Any]:
    module_name, _, path = target.partition(":")
    try:
        found: Any = import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        reason = f"{module_name} cannot be imported: {one_line(error)}"
        fix = "Run where it can be imported, or add its folder to PYTHONPATH"
        raise ModelError(reason, fix) from error
    if module_name == TRANSFORMERS:
        from xbench_models.pytorch.architecture import maker

        return maker(path)
    try:
        for part in path.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise ModelError(f"there is no {path!r} in {module_name}", RETURN_IT) from error
    if not callable(found):
        raise ModelError(f"{target} is no function", RETURN_IT)
    factory: Callable[[], Any] = found
    return factory
