"""Operators of ai.onnx.ml that map labels: numbers or text to numbers or text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower.lookup import as_text, table_of, text_array
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.tensors import held

if TYPE_CHECKING:
    from xbench.graph.plain import Array

_ML = "ai.onnx.ml"
_KINDS = (("strings", object), ("int64s", np.int64), ("floats", np.float32))


def _given(node: Node, stem: str, to: Builder) -> Array:
    """Return the keys or the values of a node, in whichever attribute they are."""
    for kind, dtype in _KINDS:
        found = node.attributes.get(f"{stem}_{kind}")
        if found:
            return text_array(found) if dtype is object else np.array(found, dtype)
    tensor = node.attributes.get(f"{stem}_tensor")
    if tensor is None:
        to.refuse(f"it has no {stem}")
    array = np.asarray(tensor).reshape(-1)
    return text_array(array) if array.dtype == object else array


def _default(node: Node, values: Array) -> Any:
    tensor = node.attributes.get("default_tensor")
    if node.attributes.get("values_tensor") is None or tensor is None:
        names = {"O": "default_string", "i": "default_int64", "u": "default_int64"}
        return node.attributes[names.get(values.dtype.kind, "default_float")]
    return np.asarray(tensor).reshape(-1)[0]


def mapped(to: Builder, x: Any, keys: Array, values: Array, default: Any) -> Any:
    """Return the value of each key, or the default where there is none."""
    pairs: dict[Any, int] = {}
    for place, key in enumerate(keys.tolist()):
        first = pairs.setdefault("nan" if key != key else key, place)
        if values[first] != values[place]:
            to.refuse(f"{key!r} has two values")
    nan = pairs.pop("nan", None) if keys.dtype.kind == "f" else None
    chosen = np.array(sorted(pairs.values()), np.int64)
    fill = np.array([as_text(default) if values.dtype == object else default], values.dtype)
    every = np.concatenate([values[chosen], fill, fill if nan is None else values[[nan]]])
    try:
        table = table_of(keys[chosen])
    except ValueError as error:
        to.refuse(str(error))
    places, there = table.places(x)
    places = tf.where(there, places, len(chosen))
    if x.dtype.is_floating:
        places = tf.where(tf.math.is_nan(x), tf.constant(len(chosen) + 1, tf.int64), places)
    return tf.gather(tf.constant(held(every)), places)


@lowering("LabelEncoder", 2, domain=_ML, raw=True)
def label_encoder(node: Node, to: Builder) -> Any:
    """Return the value of each key."""
    keys, values = _given(node, "keys", to), _given(node, "values", to)
    if len(keys) != len(values):
        to.refuse(f"{len(keys)} keys and {len(values)} values")
    if node.version < 4 and keys.dtype != object and (keys != keys).any():
        to.refuse("a key that is NaN, which runtimes look up in different ways")
    x = to.value(node.inputs[0])
    if (x.dtype == tf.string) != (keys.dtype == object):
        to.refuse("keys of another type than the labels")
    return mapped(to, x, keys, values, _default(node, values))


def _both_ways(node: Node, to: Builder, words: list[str], numbers: list[int]) -> Any:
    """Return numbers for text, or text for numbers, by the type of the input."""
    x = to.value(node.inputs[0])
    texts, codes = text_array(words), np.array(numbers, np.int64)
    if x.dtype == tf.string:
        return mapped(to, x, texts, codes, node.attributes["default_int64"])
    return mapped(to, x, codes, texts, node.attributes["default_string"])


@lowering("LabelEncoder", 1, 1, domain=_ML, raw=True)
def label_places(node: Node, to: Builder) -> Any:
    """Return the place of each label among the classes, or the class at each place."""
    classes = list(node.attributes.get("classes_strings", []))
    return _both_ways(node, to, classes, list(range(len(classes))))


@lowering("CategoryMapper", domain=_ML, raw=True)
def category_mapper(node: Node, to: Builder) -> Any:
    """Return the number of each category's name, or the name of each number."""
    words, numbers = (list(node.attributes.get(f"cats_{k}", [])) for k in ("strings", "int64s"))
    if len(words) != len(numbers):
        to.refuse(f"{len(words)} names and {len(numbers)} numbers")
    return _both_ways(node, to, words, numbers)
