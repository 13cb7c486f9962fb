"""Operators on text: NumPy arrays of `str` objects when a module runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder

_UNLIKE = re.compile(
    r"\(\?(?:<?[=!]|>|\(|P=|P>|#|\^)"  # looks around, groups taken whole or again
    r"|\(\?[a-zA-Z-]*[aLuxU]"  # flags that only one of the two has
    r"|\\[1-9pPQECXRKGZzhHvVNk]"  # groups taken again, classes and escapes of one of the two
    r"|\[\[?\^?:"  # classes such as [:alpha:]
    r"|[*+?}]\+"  # repetitions that give nothing back
    r"|\$(?![|)]|$)|\\s|\\S"  # the end of a line within, and what counts as space
)
"""What RE2, whose patterns ONNX asks for, and Python read in different ways."""


def each_text(function: Callable[..., str], *arrays: Array) -> Array:
    """Return what ``function`` makes of each piece of text, arrays broadcast to each other."""
    spread = np.broadcast_arrays(*arrays)
    found = np.empty(spread[0].shape, dtype=object)
    flat = [function(*each) for each in zip(*(one.reshape(-1) for one in spread), strict=True)]
    found.reshape(-1)[:] = flat
    return found


def _joined(left: str, right: str) -> str:
    return left + right


def concatenated(left: Array, right: Array) -> Array:
    """Return each text followed by the other."""
    return each_text(_joined, left, right)


def split_text(x: Array, delimiter: str | None, most: int) -> tuple[Array, torch.Tensor]:
    """Return the parts of each text, filled up with empty text, and how many each has."""
    parts = [one.split(delimiter, most) for one in x.reshape(-1)]
    counts = [len(one) for one in parts]
    width = max(counts, default=0)
    found = np.full((len(parts), width), "", dtype=object)
    for row, one in zip(found, parts, strict=True):
        row[: len(one)] = one
    return found.reshape(*x.shape, width), torch.tensor(counts, dtype=torch.int64).reshape(x.shape)


def matched(x: Array, pattern: str) -> torch.Tensor:
    """Return whether a pattern matches the whole of each text."""
    whole = re.compile(pattern, re.ASCII).fullmatch
    flat = [whole(one) is not None for one in x.reshape(-1)]
    return torch.tensor(flat, dtype=torch.bool).reshape(x.shape)


def normalized(
    x: Array, action: str, stopwords: tuple[str, ...], exact: bool, narrow: bool
) -> Array:
    """Return the texts that are no stop words, in the case asked for.

    Args:
        x: Texts along the last axis; one before it must be of length 1.
        action: ``LOWER``, ``UPPER`` or ``NONE``.
        stopwords: What is left out.
        exact: Whether a stop word is one only in the case that it is written in.
        narrow: Whether letters beyond ASCII have no case.
    """
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[0] != 1):
        raise ValueError(f"texts must be of shape [C] or [1, C], not {x.shape}")
    compared = "NONE" if exact else "LOWER"
    left_out = {_cased(one, compared, narrow) for one in stopwords}
    kept = [one for one in x.reshape(-1) if _cased(one, compared, narrow) not in left_out]
    texts = [_cased(one, action, narrow) for one in kept] or [""]
    found = np.empty(len(texts), dtype=object)
    found[:] = texts
    return found if x.ndim == 1 else found.reshape(1, -1)


def _cased(text: str, action: str, narrow: bool) -> str:
    """Return text with each character in another case, if it has one of one character."""
    if action == "NONE":
        return text
    changed = (one.lower() if action == "LOWER" else one.upper() for one in text)
    return "".join(
        new if len(new) == 1 and (old.isascii() or not narrow) else old
        for new, old in zip(changed, text, strict=True)
    )


@lowering("StringConcat", raw=True)
def string_concat(node: Node, to: Builder) -> torch.fx.Node:
    """Return each text followed by the other."""
    return to.call(concatenated, *map(to.value, node.inputs))


@lowering("StringSplit", raw=True)
def string_split(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the parts of each text, and how many there are."""
    delimiter = node.attributes.get("delimiter") or None
    most = node.attributes.get("maxsplit")
    found = to.call(split_text, to.value(node.inputs[0]), delimiter, -1 if most is None else most)
    return to.items(found, 2)


@lowering("RegexFullMatch", raw=True)
def regex_full_match(node: Node, to: Builder) -> torch.fx.Node:
    """Return whether a pattern matches the whole of each text."""
    pattern = str(node.attributes.get("pattern", ""))
    odd = _UNLIKE.search(pattern)
    if odd is not None:
        to.refuse(f"Python may not read {odd[0]!r} in its pattern as RE2 does")
    if "(?" in pattern and not pattern.isascii():
        to.refuse("flags with a pattern that is not ASCII")
    try:
        re.compile(pattern, re.ASCII)
    except re.error as error:
        to.refuse(f"its pattern: {error}")
    return to.call(matched, to.value(node.inputs[0]), pattern)


@lowering("StringNormalizer", raw=True)
def string_normalizer(node: Node, to: Builder) -> torch.fx.Node:
    """Return the texts that are no stop words, in the case asked for."""
    attributes: Any = node.attributes
    action, exact = attributes["case_change_action"], bool(attributes["is_case_sensitive"])
    folds = action != "NONE" or not exact
    locale = str(attributes.get("locale", ""))
    if folds and locale[:2] in ("tr", "az", "lt"):
        to.refuse("a locale with an order of cases of its own")
    stopwords = tuple(attributes.get("stopwords", []))
    narrow = locale in ("C", "POSIX")
    return to.call(normalized, to.value(node.inputs[0]), action, stopwords, exact, narrow)
