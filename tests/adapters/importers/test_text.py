"""Operators on text, and those of ai.onnx.ml, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.adapters import graphs
from tests.adapters.importers.chosen import few, import_onnx, ran
from tests.adapters.importers.refusals import refused
from tests.adapters.importers.test_flow import check, same
from xbench.errors import UnsupportedNodeError

ML = "ai.onnx.ml"
words = st.sampled_from(["", "a", "Ab", "a-b", "a b  c", " a", "monday", "Monday", "été", "-"])


def texts(*values: str) -> Any:
    return np.array(values, dtype=object)


def model(
    operator: str,
    feeds: dict[str, Any],
    outputs: int = 1,
    *,
    domain: str = "",
    version: int = 3,
    **attributes: Any,
) -> onnx.ModelProto:
    """Return a model of one operator whose outputs are of types that are inferred."""
    given_here = {name: one for name, one in attributes.items() if one is not None}
    names = [f"y{place}" for place in range(outputs)]
    node = helper.make_node(operator, list(feeds), names, domain=domain, **given_here)
    whole = graphs.model([node], feeds, names)
    del whole.opset_import[1:]
    whole.opset_import.append(helper.make_opsetid(ML, version))
    return whole


def agree(operator: str, feeds: dict[str, Any], outputs: int = 1, **more: Any) -> None:
    """Check an operator against ONNX Runtime."""
    check(model(operator, feeds, outputs, **more), feeds)


@given(st.lists(words, min_size=2, max_size=2), st.lists(words, min_size=3, max_size=3))
@few
def test_text_is_joined_and_broadcast(left: list[str], right: list[str]) -> None:
    feeds = {"a": texts(*left).reshape(2, 1), "b": texts(*right)}
    agree("StringConcat", feeds)


@given(
    st.lists(words, min_size=1, max_size=4),
    st.sampled_from([None, "", "-", "b "]),
    st.sampled_from([None, 1, 2]),
)
@few
def test_text_is_split(values: list[str], delimiter: str | None, most: int | None) -> None:
    agree("StringSplit", {"x": texts(*values)}, 2, delimiter=delimiter, maxsplit=most)


PATTERNS = [r"www\.[\w.-]+\.\bcom\b", "a|b+", "(?i)ab.*", "^x{2,3}$", ""]
NOT_PYTHONS = ["[[:alpha:]]+", r"\pL"]


@pytest.mark.parametrize("pattern", [*PATTERNS, *NOT_PYTHONS])
def test_patterns_match_whole_texts(pattern: str) -> None:
    x = texts("www.google.com", "www.x.org", "bb", "AB1", "ab\n", "xx", "xxxx", "", "é")
    with refused("patterns that Python reads in another way", when=pattern in NOT_PYTHONS):
        agree("RegexFullMatch", {"x": x.reshape(3, 3)}, pattern=pattern)


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "a++", "(?ié)"])
def test_patterns_that_are_none_are_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedNodeError):
        import_onnx(model("RegexFullMatch", {"x": texts("a")}, pattern=pattern))


@given(
    st.lists(words, min_size=1, max_size=4),
    st.sampled_from(["NONE", "LOWER", "UPPER"]),
    st.booleans(),
    st.sampled_from([None, ["monday"], ["Monday", "a"]]),
    st.booleans(),
)
@few
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
    same(ran(whole, {"x": x}), [texts("ÉTÉ", "STRAßE")])
    turkish = model("StringNormalizer", {"x": x}, case_change_action="UPPER", locale="tr_TR")
    with pytest.raises(UnsupportedNodeError, match="locale"):
        import_onnx(turkish)


GRAMS: dict[str, Any] = {
    "ngram_counts": [0, 4, 10],
    "ngram_indexes": [0, 1, 2, 3, 6, 5, 4, 7, 8],
    "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 5, 5, 5, 2, 3, 5],
}


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
        pool = attributes.pop("pool_int64s")
        attributes["pool_strings"] = [str(one) for one in pool]
        data: Any = x.astype(str).astype(object)
    else:
        data = x.astype(kind)
    attributes |= {"min_gram_length": lengths[0], "max_gram_length": lengths[1]}
    agree("TfIdfVectorizer", {"x": data}, mode=mode, max_skip_count=skips, **attributes)


LABELS: list[tuple[dict[str, Any], Any]] = [
    ({"keys_strings": ["a", "b"], "values_int64s": [5, 6], "default_int64": 9}, texts("b", "c")),
    ({"keys_strings": ["a", "b"], "values_strings": ["x", "y"]}, texts("b", "c")),
    ({"keys_int64s": [3, 1, 2], "values_floats": [0.5, 1.5, 2.5]}, np.array([1, 2, 3, 4])),
    ({"keys_int64s": [3, 1], "values_strings": ["x", "y"]}, np.array([[1, 2], [3, 4]])),
    ({"keys_int64s": [3, 1], "values_int64s": [7, 8]}, np.array([1, 2, 3])),
    ({"keys_floats": [1.5, -2.0], "values_int64s": [7, 8]}, np.array([1.5, -2, 0], np.float32)),
    (
        {"keys_floats": [1.5, float("nan")], "values_floats": [7.0, 8.0], "default_float": 3.0},
        np.array([1.5, np.nan, 0], np.float32),
    ),
]


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize(("attributes", "x"), LABELS[:-1])
def test_labels_are_mapped(attributes: dict[str, Any], x: Any, version: int) -> None:
    agree("LabelEncoder", {"x": x}, domain=ML, version=version, **attributes)


def test_a_missing_label_may_be_a_key_since_version_4() -> None:
    attributes, x = LABELS[-1]
    agree("LabelEncoder", {"x": x}, domain=ML, version=4, **attributes)
    with pytest.raises(UnsupportedNodeError, match="NaN"):
        import_onnx(model("LabelEncoder", {"x": x}, domain=ML, version=2, **attributes))


def test_labels_are_mapped_by_tensors() -> None:
    keys = helper.make_tensor("k", TensorProto.DOUBLE, [3], [0.5, 1.0, 2.0])
    values = helper.make_tensor("v", TensorProto.INT16, [3], [7, 8, 9])
    default = helper.make_tensor("d", TensorProto.INT16, [1], [-3])
    whole = model(
        "LabelEncoder",
        {"x": np.zeros(4)},
        domain=ML,
        version=4,
        keys_tensor=keys,
        values_tensor=values,
        default_tensor=default,
    )
    x = np.array([1.0, 2.0, 3.0, 0.5])
    same(ran(whole, {"x": x}), [np.array([8, 9, -3, 7], np.int16)])


def test_labels_of_the_first_version_are_places_among_classes() -> None:
    classes: dict[str, Any] = {
        "classes_strings": ["a", "b"],
        "default_int64": 7,
        "default_string": "?",
    }
    numbers = model("LabelEncoder", {"x": texts("b", "c")}, domain=ML, version=1, **classes)
    same(ran(numbers, {"x": texts("b", "c")}), [np.array([1, 7])])
    names = model("LabelEncoder", {"x": np.array([1, 2])}, domain=ML, version=1, **classes)
    same(ran(names, {"x": np.array([1, 2])}), [texts("b", "?")])


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
