"""`xbench backends` and `xbench models`: what there is to choose from."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from xbench.errors import UsageError
from xbench.report.text import clean, sentence

if TYPE_CHECKING:
    from xbench.catalog import ModelCard
    from xbench.registry import BackendInfo

_MARGIN = 2
_WIDEST = 100


def backends() -> None:
    """List the backends and variants, and why one cannot run."""
    from xbench.registry import listing

    print(blocks((info.name, *_backend(info)) for info in listing()), end="")


def models() -> None:
    """List the architectures that xbench builds with seeded weights."""
    from xbench.catalog import cards

    print(blocks((name, *_model(card)) for name, card in cards().items()), end="")


def _backend(info: BackendInfo) -> Iterable[str]:
    found = info.availability
    if found.reason is None:
        source = "" if info.distribution in {"xbench", None} else f", by {info.distribution}"
        yield f"{found.version or 'version unknown'}, on {', '.join(found.devices)}{source}"
    else:
        yield f"not available: {sentence(found.reason)} {sentence(found.fix)}"
    for variant, meaning in info.variants.items():
        yield f"{f'{info.name}:{variant}' if variant else info.name}: {meaning}"


def _model(card: ModelCard) -> Iterable[str]:
    if card.broken is not None:
        yield f"not available: {sentence(card.broken)}"
        return
    yield card.summary
    size = "" if card.parameters is None else f"{card.parameters / 1e6:.3g} M parameters"
    facts = (card.task, size, f"takes {card.inputs}" if card.inputs else "")
    yield ", ".join(fact for fact in facts if fact)


def blocks(found: Iterable[tuple[str, ...]]) -> str:
    """Return names and what is said of each, in two columns that fit the terminal.

    Raises:
        UsageError: If there is none.
    """
    cleaned = [tuple(map(clean, block)) for block in found]
    if not cleaned:
        raise UsageError("none is registered", "Install xbench again: its entry points are missing")
    indent = max((len(block[0]) for block in cleaned), default=0) + _MARGIN
    width = min(max(shutil.get_terminal_size((80, 24)).columns, 40), _WIDEST) - indent
    text = []
    for name, *lines in cleaned:
        wrapped = [part for line in lines for part in _wrap(line, max(width, 20))]
        text += [f"{'' if i else name:<{indent}}{part}\n" for i, part in enumerate(wrapped)]
    return "".join(text)


def _wrap(line: str, width: int) -> list[str]:
    """Return a line in parts; commands and names are not broken, so that they can be copied."""
    return textwrap.wrap(
        line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
