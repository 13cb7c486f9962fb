"""Operators on text in TensorFlow, and those that map labels, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adapters.pytorch.test_text import GRAMS, LABELS, ML, model, texts, words
from tests.adapters.tensorflow.suite import to_tensorflow
from tests.adapters.tensorflow.test_flow import check
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

few = settings(max_examples=12, deadline=None, derandomize=True)


def agree(operator: str, feeds: dict[str, Any], outputs: int = 1, **more: Any) -> None:
    """Check an operator against ONNX Runtime."""
    check(model(operator, feeds, outputs, **more), feeds)


def given_by(whole: Any, x: Any) -> Any:
    """Return what the imported module gives, text as text."""
    found = np.asarray(import_onnx(whole)(to_tensorflow(x))[0].numpy())
    if found.dtype != object:
        return found
    return np.array([one.decode() for one in found.reshape(-1)], object).reshape(found.shape)


@given(st.lists(words, min_size=2, max_size=2), st.lists(words, min_size=3, max_size=3))
@few
def test_text_is_joined_and_broadcast(left: list[str], right: list[str]) -> None:
    agree("StringConcat", {"a": texts(*left).reshape(2, 1), "b": texts(*right)})


@given(
    st.lists(words, min_size=1, max_size=4),
    st.sampled_from([None, "", "-", "b "]),
    st.sampled_from([None, 1, 2]),
)
@settings(few, max_examples=25)
def test_text_is_split(values: list[str], delimiter: str | None, most: int | None) -> None:
    agree("StringSplit", {"x": texts(*values)}, 2, delimiter=delimiter, maxsplit=most)


PATTERNS = [r"www\.[\w.-]+\.\bcom\b", "a|b+", "(?i)ab.*", "^x{2,3}$", "", "[[:alpha:]]+"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_match_whole_texts(pattern: str) -> None:
    x = texts("www.google.com", "www.x.org", "bb", "AB1", "ab\n", "xx", "xxxx", "", "é")
    agree("RegexFullMatch", {"x": x.reshape(3, 3)}, pattern=pattern)


def test_patterns_that_are_none_are_refused() -> None:
    with pytest.raises(UnsupportedNodeError, match="pattern"):
        import_onnx(model("RegexFullMatch", {"x": texts("a")}, pattern="(?=a)b"))


@given(
    st.lists(words, min_size=1, max_size=4),
    st.sampled_from(["NONE", "LOWER", "UPPER"]),
    st.booleans(),
    st.sampled_from([None, ["monday"], ["Monday", "a"]]),
    st.booleans(),
)
@settings(few, max_examples=20)
def test_text_is_normalized(
    values: list[str], action: str, exact: bool, stops: list[str] | None, flat: bool
) -> None:
    x = texts(*values)
    agree(
        "StringNormalizer",
        {"x": x if flat else x.reshape(1, -1)},
        case_change_action=action,
        is_case_sensitive=int(exact),
        locale="C",
        stopwords=stops,
    )


def test_letters_beyond_ascii_change_their_case_in_other_locales() -> None:
    x = texts("été", "straße")
    whole = model("StringNormalizer", {"x": x}, case_change_action="UPPER")
    assert given_by(whole, x).tolist() == ["ÉTÉ", "STRAßE"]
    turkish = model("StringNormalizer", {"x": x}, case_change_action="UPPER", locale="tr_TR")
    with pytest.raises(UnsupportedNodeError, match="locale"):
        import_onnx(turkish)


@given(
    st.sampled_from(["TF", "IDF", "TFIDF"]),
    st.tuples(st.integers(1, 3), st.integers(1, 3)).map(sorted),
    st.integers(0, 3),
    st.sampled_from(["int32", "int64", "text"]),
    st.sampled_from([(7,), (2, 7), (1, 1)]),
    st.integers(0, 99),
)
@few
def test_sequences_of_tokens_are_counted(
    mode: str, lengths: list[int], skips: int, kind: str, shape: tuple[int, ...], seed: int
) -> None:
    x = np.random.default_rng(seed).integers(2, 9, shape)
    attributes = dict(GRAMS, weights=[float(one) + 0.5 for one in range(9)])
    if kind == "text":
        attributes["pool_strings"] = [str(one) for one in attributes.pop("pool_int64s")]
        data: Any = x.astype(str).astype(object)
    else:
        data = x.astype(kind)
    attributes |= {"min_gram_length": lengths[0], "max_gram_length": lengths[1]}
    agree("TfIdfVectorizer", {"x": data}, mode=mode, max_skip_count=skips, **attributes)


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize(("attributes", "x"), LABELS[:-1])
def test_labels_are_mapped(attributes: dict[str, Any], x: Any, version: int) -> None:
    agree("LabelEncoder", {"x": x}, domain=ML, version=version, **attributes)


def test_a_missing_label_may_be_a_key_since_version_4() -> None:
    attributes, x = LABELS[-1]
    agree("LabelEncoder", {"x": x}, domain=ML, version=4, **attributes)
    with pytest.raises(UnsupportedNodeError, match="NaN"):
        import_onnx(model("LabelEncoder", {"x": x}, domain=ML, version=2, **attributes))


def test_labels_of_the_first_version_are_places_among_classes() -> None:
    classes: dict[str, Any] = {
        "classes_strings": ["a", "b"],
        "default_int64": 7,
        "default_string": "?",
    }
    numbers = model("LabelEncoder", {"x": texts("b", "c")}, domain=ML, version=1, **classes)
    assert given_by(numbers, texts("b", "c")).tolist() == [1, 7]
    names = model("LabelEncoder", {"x": np.array([1, 2])}, domain=ML, version=1, **classes)
    assert given_by(names, np.array([1, 2])).tolist() == ["b", "?"]


def test_a_key_with_two_values_is_refused() -> None:
    whole = model(
        "LabelEncoder", {"x": np.array([1])}, domain=ML, keys_int64s=[1, 1], values_int64s=[2, 3]
    )
    with pytest.raises(UnsupportedNodeError, match="two values"):
        import_onnx(whole)


@pytest.mark.parametrize("x", [texts("b", "z"), np.array([4, 5])])
def test_categories_are_mapped_both_ways(x: Any) -> None:
    cats: dict[str, Any] = {"cats_strings": ["a", "b"], "cats_int64s": [3, 4]}
    agree("CategoryMapper", {"x": x}, domain=ML, **cats)


def test_text_goes_through_a_function_as_bytes_of_utf_8() -> None:
    x = texts("é")
    module = import_onnx(model("StringConcat", {"a": x, "b": x}))
    assert module(tf.constant(x), tf.constant(x))[0].numpy().tolist() == ["éé".encode()]
