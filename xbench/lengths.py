"""The open dimensions of a model's inputs while their lengths are decided one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches

from xbench.adapter import TensorSpec
from xbench.errors import ShapeError
from xbench.symbols import evaluate, is_arithmetic
from xbench.units import format_shape

BATCH_NAME = re.compile(r"batch|^bs$", re.IGNORECASE)
OTHER_NAME = re.compile(r"seq|len|time|frame|step|token|height|width|channel", re.IGNORECASE)
IMAGE_NAME = re.compile(r"height|width|^[hw]$", re.IGNORECASE)

Specs = tuple[TensorSpec, ...]


def batch_symbols(inputs: Specs) -> tuple[str, ...]:
    """Return the symbols that stand for the batch: those named so, else open first axes."""
    named = [s for s in _symbols(inputs) if BATCH_NAME.search(s) and not is_arithmetic(s)]
    first = [spec.shape[0] for spec in inputs if spec.shape]
    leading = [s for s in first if isinstance(s, str) and not OTHER_NAME.search(s)]
    return tuple(dict.fromkeys(named or [s for s in leading if not is_arithmetic(s)]))


def batch_length(inputs: Specs, bound: Specs) -> int | None:
    """Return how many samples one inference takes, or None where the model does not tell.

    The length that the batch's axis was given; without one, the first axis that all inputs
    share.

    Args:
        inputs: The model's inputs, open dimensions as symbols.
        bound: The same inputs, every dimension decided.
    """
    symbols = batch_symbols(inputs)
    for own, decided in zip(inputs, bound, strict=True):
        for mine, length in zip(own.shape, decided.shape, strict=True):
            if mine in symbols:
                return int(length)
    first = {int(spec.shape[0]) for spec in bound if spec.shape}
    return first.pop() if len(first) == 1 else None


class Lengths:
    """What is known so far; `xbench.model.bind` asks for it in the order that counts.

    Args:
        inputs: The model's inputs, open dimensions as symbols.
    """

    def __init__(self, inputs: Specs) -> None:
        self.inputs = inputs
        self.lengths: dict[str, int] = {}
        self.sources: dict[str, str] = {}

    def take_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Take an input's whole shape; what it decides of other inputs is decided."""
        spec = next((spec for spec in self.inputs if spec.name == name), None)
        if spec is None:
            raise ShapeError(f"the model has no input {name!r}", input_hint(self.inputs, name))
        own, given = format_shape(spec.shape), format_shape(shape)
        if len(shape) != len(spec.shape) or any(length < 1 for length in shape):
            reason = f"{given} does not fit input {name!r}, which is {own}"
            raise ShapeError(reason, "Give every axis a length above zero")
        for axis, (mine, length) in enumerate(zip(spec.shape, shape, strict=True)):
            if isinstance(mine, str):
                self.decide(mine, length, f"input {name!r}")
            elif mine != length:
                reason = f"axis {axis} of input {name!r} is {mine} in the model, not {length}"
                raise ShapeError(reason, f"Give it a shape that fits {own}")

    def take_batch(self, batch: int) -> None:
        """Take the batch's length, which the model must leave open or have."""
        if batch < 1:
            raise ShapeError(f"a batch of {batch} is no batch", "Ask for 1 or more")
        symbols = batch_symbols(self.inputs)
        first = {spec.shape[0] for spec in self.inputs if spec.shape}
        if not symbols and first != {batch}:
            own = ", ".join(f"{s.name}={format_shape(s.shape)}" for s in self.inputs)
            raise ShapeError(
                f"the model's batch cannot be {batch}: its inputs are {own or 'none'}",
                "Leave --batch out, or export the model with an open batch",
            )
        for symbol in symbols:
            self.decide(symbol, batch, "the batch")

    def decide(self, symbol: str, length: int, source: str) -> None:
        """Give a symbol its length; nothing may have given it another one."""
        if self.lengths.setdefault(symbol, length) != length:
            raise ShapeError(
                f"{symbol!r} is {self.lengths[symbol]} by {self.sources[symbol]}"
                f" and {length} by {source}",
                "Give both the same length",
            )
        self.sources.setdefault(symbol, source)

    def offer(self, symbol: str, length: int) -> None:
        """Give a symbol of the model a length unless it has one, or follows from others."""
        used = any(symbol in other for other in _symbols(self.inputs))
        if used and length > 0 and evaluate(symbol, self.lengths) is None:
            self.decide(symbol, length, "default")

    def decided(self) -> Specs:
        """Return the inputs with every dimension decided.

        Raises:
            ShapeError: If one is open, empty, or not what its symbol computes.
        """
        self._check_arithmetic()
        specs = tuple(replace(spec, shape=self._shape(spec)) for spec in self.inputs)
        if any(isinstance(d, str) for s in specs for d in s.shape):
            raise self._still_open(specs)
        empty = next((spec for spec in specs if any(int(d) < 1 for d in spec.shape)), None)
        if empty is not None:
            reason = f"input {empty.name!r} would be {format_shape(empty.shape)}, which is empty"
            raise ShapeError(reason, "Give every axis a length above zero")
        return specs

    def named(self) -> dict[str, int]:
        """Return the length of each dimension that the model's file names."""
        made_up = {f"{s.name}.{axis}" for s in self.inputs for axis in range(len(s.shape))}
        return {symbol: n for symbol, n in self.lengths.items() if symbol not in made_up}

    def _shape(self, spec: TensorSpec) -> tuple[int | str, ...]:
        """Return an input's shape with the lengths that are known."""
        values = [evaluate(d, self.lengths) if isinstance(d, str) else d for d in spec.shape]
        pairs = zip(spec.shape, values, strict=True)
        return tuple(own if value is None else value for own, value in pairs)

    def _check_arithmetic(self) -> None:
        """Raise `ShapeError` if a length that was given is not what its symbol computes."""
        for symbol, length in self.lengths.items():
            others = {s: value for s, value in self.lengths.items() if s != symbol}
            computed = evaluate(symbol, others)
            if computed is not None and computed != length:
                reason = f"{symbol!r} is {length} by {self.sources[symbol]}, and computes to"
                raise ShapeError(f"{reason} {computed}", "Give lengths that agree")

    def _still_open(self, specs: tuple[TensorSpec, ...]) -> ShapeError:
        """Return the error that names what is open and the options that decide it."""
        guesses = self._guesses(specs)
        options, names, decided = [], [], set[str]()
        for spec in specs:
            still = {d for d in spec.shape if isinstance(d, str)}
            if still - decided:  # an option for each input that an earlier one leaves open
                shape = tuple(guesses[d] if isinstance(d, str) else d for d in spec.shape)
                options.append(f"--shape {spec.name}={format_shape(shape)}")
                names.append(f"{spec.name!r} ({format_shape(spec.shape)})")
                decided |= still
        return ShapeError(
            f"the model leaves lengths open: {', '.join(names)}",
            f"Add {' '.join(options)}, with the lengths that you want",
        )

    def _guesses(self, specs: Specs) -> dict[str, int]:
        """Return a length such as people use for each symbol that is open, and what follows."""
        guesses = dict(self.lengths)
        for spec in specs:
            for axis, d in enumerate(spec.shape):
                image = len(spec.shape) == 4 and axis > 1  # height and width, mostly
                if isinstance(d, str) and not is_arithmetic(d):
                    guesses.setdefault(d, 224 if image or IMAGE_NAME.search(d) else 128)
        for symbol in _symbols(specs):
            guesses.setdefault(symbol, max(1, evaluate(symbol, guesses) or 128))
        return guesses


def input_hint(inputs: Specs, name: str) -> str:
    """Return what helps someone who named an input that the model does not have."""
    names = [spec.name for spec in inputs]
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}Its inputs are {', '.join(names) or 'none'}"


def _symbols(inputs: Specs) -> Iterator[str]:
    """Yield the symbol of each open dimension of the inputs, in order."""
    return (d for spec in inputs for d in spec.shape if isinstance(d, str))
