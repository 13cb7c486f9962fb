"""The models that `xbench models` lists: cards brought by plug-ins, read without a framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model that can be built by name.

    An entry point of the group ``xbench.models`` names an iterable of cards, in a module that
    imports no framework.

    Attributes:
        name: What `xbench compare` is given.
        summary: What it is, in one line.
        task: What it is for, such as ``image classification``.
        inputs: Names, types and axes of its inputs, for people.
        factory: ``module:factory``, which returns the module and example inputs.
        symbols: Lengths that the open axes have unless asked otherwise.
        parameters: How many weights it has.
    """

    name: str
    summary: str
    task: str
    inputs: str
    factory: str
    symbols: Mapping[str, int]
    parameters: int
