"""Whether a file gives what its source gives, on inputs that the file itself says it can take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.errors import ModelError
from xbench_models.comparing import compare, doubt, runner
from xbench_models.factory import one_line

if TYPE_CHECKING:
    from xbench.adapter import Array
    from xbench.model import Model

    Outputs = list[Array]
    Feeds = Mapping[str, Array]
    Lengths = Mapping[str, int]

BATCHES = (2, 3)
LENGTHS = ((64, 96), (224, 256), (16, 24))
"""Lengths of other open axes that the source is tried with: of the first set and the second."""

RANDOM = "A model that draws random numbers, or keeps state, cannot be exported"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a file and its source gave alike.

    Attributes:
        outputs: Of the source, for each of two sets of inputs.
        batches: The batch of each set; None where it is not open.
    """

    outputs: tuple[Outputs, Outputs]
    batches: tuple[int | None, int | None]

    def doubts(self) -> tuple[str, ...]:
        """Return a warning where these outputs could show no disagreement."""
        reason = doubt(*self.outputs)
        told = f"{reason}: no agreement between runtimes can be shown on this model"
        return (told,) if reason else ()


def agreed(
    path: Path,
    source: Callable[[Feeds], Outputs],
    name: str,
    largest: float,
    examples: Mapping[str, tuple[int, ...]] | None = None,
    values: Callable[[Outputs], Outputs] = lambda outputs: outputs,
) -> Agreement:
    """Return what the source gives on two sets of seeded inputs, if the file gives the same.

    Args:
        path: The file. It tells what it can take: numbers that index a table stay within it.
        source: Returns the outputs of what the file was made from.
        name: What to call the source.
        largest: The largest error of an output, as a share of its norm.
        examples: Shapes of inputs, whose lengths are tried first for open axes.
        values: Returns the numbers that outputs stand for, where they are quantised.

    Raises:
        ModelError: If it does not, or the source runs on no inputs that were tried.
    """
    run_file = runner(path)
    feeds, outputs, batches = _run(path, source, name, examples or {})
    for inputs, wanted in zip(feeds, outputs, strict=True):
        try:
            found = run_file(dict(inputs))
        except ModelError:
            raise
        except Exception as error:  # the runtime's own error, which has no public type
            reason = f"{name} became an ONNX file that fails: {one_line(error)}"
            raise ModelError(reason, "Run it with the backends that take it as it is") from error
        for place, (want, have) in enumerate(zip(values(wanted), values(found), strict=True)):
            compare(place, want, have, largest, source="model", fix=RANDOM)
    return Agreement((outputs[0], outputs[1]), batches)


def _run(
    path: Path,
    source: Callable[[Feeds], Outputs],
    name: str,
    examples: Mapping[str, tuple[int, ...]],
) -> tuple[list[Feeds], list[Outputs], tuple[int | None, int | None]]:
    """Return two sets of inputs, what the source gives for them, and their batches."""
    from xbench.inputs import seeded_feeds
    from xbench.lengths import batch_symbols
    from xbench.model import bind, read_model

    model = read_model(path)
    batches = BATCHES if batch_symbols(model.inputs) else (None, None)
    failed: Exception | None = None
    for pair in _lengths(model, examples):
        try:
            feeds: list[Feeds] = []
            for seed, (batch, lengths) in enumerate(zip(batches, pair, strict=True)):
                bound = bind(model, batch=batch, defaults=lengths)
                feeds += seeded_feeds(model, bound, seed, 1)[0]
            return feeds, [source(one) for one in feeds], batches
        except ModelError:
            raise
        except Exception as error:  # the source may refuse a length in any way
            failed = failed or error
    assert failed is not None
    raise ModelError(
        f"{name} runs on no inputs that were tried: {one_line(failed)}",
        "Return example inputs from a factory, or save it with fixed shapes",
    ) from failed


def _lengths(
    model: Model, examples: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[Lengths, Lengths]]:
    """Yield pairs of lengths for the open axes besides the batch, by symbol."""
    from xbench.lengths import batch_symbols

    opened = {d: one for one in model.inputs for d in one.shape if isinstance(d, str)}
    for symbol in batch_symbols(model.inputs):
        del opened[symbol]
    given = {
        symbol: examples[one.name][one.shape.index(symbol)]
        for symbol, one in opened.items()
        if one.name in examples
    }
    if given:
        yield given, given
    if given or opened:
        yield from (
            (dict.fromkeys(opened, first), dict.fromkeys(opened, second))
            for first, second in LENGTHS
        )
    else:
        yield {}, {}
