"""Operators of ai.onnx.ml that map labels: numbers or text to numbers or text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from torch import nn

from xbench_adapters.pytorch.lower.shared.tables import looked_up, numbered
from xbench_adapters.pytorch.lower.text import each_text
from xbench_adapters.pytorch.registry import ML, lowering
from xbench_adapters.pytorch.tensors import as_text, tensor_of

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder

_KINDS = (("strings", object), ("int64s", np.int64), ("floats", np.float32))


class Table(nn.Module):
    """Numbers for numbers; a default for those that are not in the table."""

    keys: torch.Tensor
    values: torch.Tensor
    default: torch.Tensor
    unknown: torch.Tensor

    def __init__(self, keys: Array, values: Array, default: Array) -> None:
        super().__init__()
        known = keys == keys
        order = np.argsort(keys[known], kind="stable")
        self.register_buffer("keys", tensor_of(keys[known][order]))
        self.register_buffer("values", tensor_of(values[known][order]))
        self.register_buffer("default", tensor_of(np.asarray(default, values.dtype).reshape(())))
        nan = values[~known][-1:] if (~known).any() else np.asarray([default], values.dtype)
        self.register_buffer("unknown", tensor_of(nan.reshape(())))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the value of each key."""
        default = self.default.expand(x.shape)
        if x.is_floating_point():
            default = torch.where(torch.isnan(x), self.unknown, default)
        if not self.keys.shape[0]:
            return default
        places, found = looked_up(self.keys, x.to(self.keys.dtype))
        return torch.where(found, self.values[places], default)


class Words(nn.Module):
    """Numbers for text, or text for numbers or text; a default for what is not in the table."""

    def __init__(self, words: Mapping[Any, Any], default: Any, dtype: np.dtype[Any]) -> None:
        super().__init__()
        self.words = dict(words)
        self.default = default
        self.dtype = dtype

    def forward(self, x: Any) -> Any:
        """Return the value of each key."""
        keys = x.tolist() if isinstance(x, torch.Tensor) else x
        flat = np.array(keys, dtype=object).reshape(-1)
        found = [self._value(key) for key in flat]
        if self.dtype == object:
            return each_text(str, np.array(found, dtype=object).reshape(tuple(x.shape)))
        array = np.array(found, self.dtype).reshape(tuple(x.shape))
        device = x.device if isinstance(x, torch.Tensor) else None
        return tensor_of(array).to(device)

    def _value(self, key: Any) -> Any:
        return self.words.get("nan" if key != key else key, self.default)


class Categories(nn.Module):
    """One for the category that a label is in, zero for all others."""

    cats: torch.Tensor

    def __init__(self, cats: list[Any], *, zeros: bool) -> None:
        super().__init__()
        self.words = {word: place for place, word in enumerate(cats)}
        self.text = isinstance(cats[0], str)
        numbers = list(range(len(cats))) if self.text else cats
        self.register_buffer("cats", torch.tensor(numbers, dtype=torch.int64))
        self.zeros = zeros

    def forward(self, x: Any) -> torch.Tensor:
        """Return a new last axis with a place for each category."""
        if self.text:
            x = numbered(self.words, x, self.cats.device)
        found: torch.Tensor = x.long().unsqueeze(-1) == self.cats
        if not self.zeros and not bool(found.any(-1).all()):
            raise ValueError("a label is in none of the categories")
        return found.to(torch.float32)


def _given(node: Node, stem: str, to: Builder) -> Array:
    """Return the keys or the values of a node, in whichever attribute they are."""
    for kind, dtype in _KINDS:
        found = node.attributes.get(f"{stem}_{kind}")
        if found:
            return np.array(found, dtype)
    tensor = node.attributes.get(f"{stem}_tensor")
    if tensor is None:
        to.refuse(f"it has no {stem}")
    return np.asarray(tensor).reshape(-1)


def _default(node: Node, values: Array) -> Any:
    tensor = node.attributes.get("default_tensor")
    if node.attributes.get("values_tensor") is None or tensor is None:
        names = {"O": "default_string", "i": "default_int64", "u": "default_int64"}
        return node.attributes[names.get(values.dtype.kind, "default_float")]
    return np.asarray(tensor).reshape(-1)[0]


def mapping(to: Builder, keys: Array, values: Array, default: Any) -> nn.Module:
    """Return a module that maps keys to values."""
    pairs: dict[Any, Any] = {}
    for key, value in zip(_plain(keys), _plain(values), strict=True):
        if pairs.setdefault("nan" if key != key else key, value) != value:
            to.refuse(f"{key!r} has two values")
    if keys.dtype != object and values.dtype != object:
        return Table(keys, values, default)
    return Words(pairs, as_text(default) if values.dtype == object else default, values.dtype)


def _plain(array: Array) -> list[Any]:
    return [as_text(one) for one in array] if array.dtype == object else array.tolist()


@lowering("LabelEncoder", 2, domain=ML, raw=True)
def label_encoder(node: Node, to: Builder) -> torch.fx.Node:
    """Return the value of each key."""
    keys, values = _given(node, "keys", to), _given(node, "values", to)
    if len(keys) != len(values):
        to.refuse(f"{len(keys)} keys and {len(values)} values")
    if node.version < 4 and keys.dtype != object and (keys != keys).any():
        to.refuse("a key that is NaN, which runtimes look up in different ways")
    module = mapping(to, keys, values, _default(node, values))
    return to.module(module, to.value(node.inputs[0]))


def _both_ways(node: Node, to: Builder, words: list[str], numbers: list[int]) -> torch.fx.Node:
    """Return numbers for text, or text for numbers, by the type of the input."""
    name = node.inputs[0]
    dtype = to.graph.value(name).dtype
    if dtype is None:
        to.refuse(f"the element type of {name!r} must be known")
    texts, codes = np.array(words, dtype=object), np.array(numbers, np.int64)
    if dtype.kind == "O":
        module = mapping(to, texts, codes, node.attributes["default_int64"])
    else:
        module = mapping(to, codes, texts, node.attributes["default_string"])
    return to.module(module, to.value(name))


@lowering("LabelEncoder", 1, 1, domain=ML, raw=True)
def label_places(node: Node, to: Builder) -> torch.fx.Node:
    """Return the place of each label among the classes, or the class at each place."""
    classes = list(node.attributes.get("classes_strings", []))
    return _both_ways(node, to, classes, list(range(len(classes))))


@lowering("CategoryMapper", domain=ML, raw=True)
def category_mapper(node: Node, to: Builder) -> torch.fx.Node:
    """Return the number of each category's name, or the name of each number."""
    words, numbers = (list(node.attributes.get(f"cats_{k}", [])) for k in ("strings", "int64s"))
    if len(words) != len(numbers):
        to.refuse(f"{len(words)} names and {len(numbers)} numbers")
    return _both_ways(node, to, words, numbers)


@lowering("OneHotEncoder", domain=ML, raw=True)
def one_hot_encoder(node: Node, to: Builder) -> torch.fx.Node:
    """Return one for the category that each label is in, zero for all others."""
    cats = list(node.attributes.get("cats_int64s") or node.attributes.get("cats_strings") or [])
    if not cats or len(set(cats)) < len(cats):
        to.refuse("categories that are missing or given twice")
    dtype = to.graph.value(node.inputs[0]).dtype
    if dtype is None or (dtype.kind == "O") != isinstance(cats[0], str):
        to.refuse("categories of another type than the labels")
    module = Categories(cats, zeros=bool(node.attributes["zeros"]))
    return to.module(module, to.value(node.inputs[0]))
