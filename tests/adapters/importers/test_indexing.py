"""Picking, placing and ordering elements, with inputs that only the run brings."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    WAYS,
    ints,
    model,
    normal,
    onnxruntime_says,
    ways,
)
from tests.adapters.importers.chosen import (
    ERRORS,
    IMPORTER,
    examples,
    few,
    import_onnx,
    ran,
    run,
    said,
)

node = helper.make_node
agree_as = partial(IMPORTER.agree_as, rtol=1e-5, atol=1e-6)


def indices(shape: tuple[int, ...], below: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return indices from either end of an axis."""
    return np.random.default_rng(seed).integers(-below, below, shape)


@given(st.integers(-3, 2), ways, st.sampled_from([np.float32, np.int8, np.bool_, np.uint64]))
@few
def test_gathering_from_axes_of_any_length(axis: int, way: str, kind: Any) -> None:
    feeds = {"x": (normal(3, 4, 5) * 9).astype(kind)}
    for shape in ((), (4,), (2, 2)):
        rest = {"i": np.asarray(indices(shape, 3, len(shape)))}
        agree_as([node("Gather", ["x", "i"], ["y"], axis=axis)], feeds, rest, way=way)
    rest = {"i": indices((2, 4, 5) if axis % 3 == 0 else (3, 4, 5), 3).astype(np.int32)}
    agree_as([node("GatherElements", ["x", "i"], ["y"], axis=axis)], feeds, rest, way=way)


@given(st.integers(0, 2), st.integers(1, 2), ways)
@few
def test_gathering_at_tuples_with_batches(batches: int, depth: int, way: str) -> None:
    assume(batches + depth <= 3)
    feeds = {"x": normal(3, 2, 4, 5)}
    rest = {"i": indices((*(3, 2, 2)[:batches], 4, depth), 2)}
    gather = node("GatherND", ["x", "i"], ["y"], batch_dims=batches)
    agree_as([gather], feeds, rest, way=way)


REDUCTIONS = ["none", "add", "mul", "max", "min"]


@given(st.sampled_from(REDUCTIONS), st.integers(-2, 1), ways, st.booleans())
@examples(60)
def test_scattering_elements(reduction: str, axis: int, way: str, whole: bool) -> None:
    kind = np.int64 if whole else np.float32
    feeds = {"x": (normal(3, 4) * 9).astype(kind), "u": (normal(2, 4, seed=1) * 9).astype(kind)}
    rows = np.random.default_rng(axis + 2).permuted(np.tile([0, 1, 2, -1], (2, 1)), axis=1)
    at = rows if reduction != "none" else np.tile([[0], [-1]], (1, 4))
    if axis % 2 == 1 and reduction == "none":
        at = np.tile([0, -1, 1, 2], (2, 1))
    scatter = node("ScatterElements", ["x", "i", "u"], ["y"], axis=axis, reduction=reduction)
    agree_as([scatter], feeds, {"i": at}, way=way)


@given(st.sampled_from(REDUCTIONS), st.integers(1, 2), ways, st.booleans())
@examples(60)
def test_scattering_slices(reduction: str, depth: int, way: str, whole: bool) -> None:
    kind = np.int32 if whole else np.float32
    at = np.array([[1, 2], [-1, 0]] if reduction == "none" else [[1, 2], [1, 2]])[:, :depth]
    shape = (2, *(4, 3, 5)[depth:])
    feeds = {"x": (normal(4, 3, 5) * 5).astype(kind), "u": (normal(*shape) * 5).astype(kind)}
    scatter = node("ScatterND", ["x", "i", "u"], ["y"], reduction=reduction)
    agree_as([scatter], feeds, {"i": at}, way=way)


@pytest.mark.parametrize("reduction", REDUCTIONS[1:])
def test_scattering_numbers_beyond_the_sign(reduction: str) -> None:
    """Of 64 bits without a sign, the largest must not be taken for the smallest."""
    x = np.array([2**63 + 5, 7, 2], np.uint64)
    feeds = {"x": x, "i": np.array([[0], [1], [1]]), "u": np.array([3, 2**63 + 1, 4], np.uint64)}
    scatter = node("ScatterND", ["x", "i", "u"], ["y"], reduction=reduction)
    (found,) = run(import_onnx(model([scatter], feeds, ["y"])), feeds)
    first, second = int(feeds["u"][1]), int(feeds["u"][2])
    wanted = {
        "add": [2**63 + 8, 7 + first + second, 2],
        "mul": [3 * (2**63 + 5), 7 * first * second, 2],
        "max": [2**63 + 5, first, 2],
        "min": [3, 4, 2],
    }[reduction]
    assert found.tolist() == [one % 2**64 for one in wanted]


@given(st.sampled_from(["linear", "circular"]), st.sampled_from([-2, -1, 1]), st.booleans())
@few
def test_writing_into_caches(mode: str, axis: int, started: bool) -> None:
    shape = [2, 3, 4, 5]
    shape[axis] = 2
    starts = [1, shape[axis]] if mode == "linear" else [3, 4]
    starts = [1, 0] if axis == 1 and mode == "linear" else starts
    feeds = {"x": normal(2, 3, 4, 5), "u": normal(*shape, seed=1)}
    rest = {"s": np.array(starts)} if started else {}
    write = node("TensorScatter", ["x", "u", *rest], ["y"], axis=axis, mode=mode)
    for way in WAYS:
        agree_as([write], feeds, rest, way=way, opset=24, reference=True)


@given(
    st.integers(-3, 2), ways, st.sampled_from([np.int64, np.float32, np.int32]), st.integers(2, 6)
)
@few
def test_one_hot_of_any_depth(axis: int, way: str, kind: Any, depth: int) -> None:
    feeds = {"i": np.array([[0, 1, -2], [5, -7, 3]], kind)}
    rest = {"d": np.asarray(depth, kind), "v": np.array([-1, 3], np.float32)}
    assume((kind, kind) != (np.int32, np.int32))  # which ONNX Runtime lacks
    agree_as([node("OneHot", ["i", "d", "v"], ["y"], axis=axis)], feeds, rest, way=way)


@given(st.integers(1, 5), st.booleans(), st.integers(-2, 1), ways, st.booleans())
@few
def test_top_k_of_any_count(count: int, largest: bool, axis: int, way: str, whole: bool) -> None:
    kind = np.int64 if whole else np.float32
    feeds = {"x": np.random.default_rng(count).integers(0, 3, (5, 5)).astype(kind)}
    top = node("TopK", ["x", "k"], ["v", "i"], axis=axis, largest=int(largest))
    agree_as([top], feeds, {"k": np.array([count])}, ["v", "i"], way=way)


@given(st.sampled_from([None, 0, 1, -1]), st.booleans(), st.booleans())
@few
def test_distinct_elements_and_slices(axis: int | None, ordered: bool, whole: bool) -> None:
    kind = np.int64 if whole else np.float32
    feeds = {"x": np.random.default_rng(4).integers(-1, 2, (5, 3)).astype(kind)}
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    names = ["y", "first", "which", "counts"]
    unique = node("Unique", ["x"], names, sorted=int(ordered), **attributes)
    for way in ("fed", "open"):
        agree_as([unique], feeds, {}, names, way=way)


@given(st.sampled_from(["CumSum", "CumProd"]), st.booleans(), st.booleans(), st.integers(-2, 1))
@few
def test_running_sums_and_products_along_any_axis(
    operator: str, exclusive: bool, reverse: bool, axis: int
) -> None:
    modes: dict[str, Any] = {"exclusive": int(exclusive), "reverse": int(reverse)}
    feeds, rest = {"x": normal(3, 4)}, {"a": np.array(axis, np.int64)}
    for way in WAYS:
        agree_as(
            [node(operator, ["x", "a"], ["y"], **modes)], feeds, rest,
            way=way, opset=26, reference=True,
        )  # fmt: skip


@given(st.sampled_from([None, 0, 1, -1]), ways)
@few
def test_slices_where_a_condition_holds(axis: int | None, way: str) -> None:
    rest = {"c": np.array([True, False, True])}
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    feeds = {"x": normal(3, 4)}
    agree_as([node("Compress", ["x", "c"], ["y"], **attributes)], feeds, rest, way=way)


@given(st.booleans(), ways)
@few
def test_sequences_in_reverse(timed_first: bool, way: str) -> None:
    axes: dict[str, Any] = {"time_axis": int(not timed_first), "batch_axis": int(timed_first)}
    feeds, rest = {"x": normal(4, 4, 2)}, {"n": np.array([1, 4, 2, 3])}
    agree_as([node("ReverseSequence", ["x", "n"], ["y"], **axes)], feeds, rest, way=way)


@given(st.integers(-4, 5), st.booleans(), ways)
@few
def test_triangles_from_any_diagonal(shift: int, upper: bool, way: str) -> None:
    feeds, rest = {"x": normal(2, 3, 4)}, {"k": np.array(shift)}
    agree_as([node("Trilu", ["x", "k"], ["y"], upper=int(upper))], feeds, rest, way=way)


def test_places_that_are_not_zero_of_any_length() -> None:
    feeds = {"x": np.array([[0, 3, 0], [1, 0, 2]])}
    for way in WAYS:
        agree_as([node("NonZero", ["x"], ["y"])], feeds, {}, way=way)
    found = said([node("NonZero", ["x"], ["y"])], {"x": np.asarray(np.float32(2))})
    assert found.shape == (0, 1)


WORDS = np.array([["b", "a", "é"], ["", "a", "long word"]], dtype=object)


@pytest.mark.parametrize(
    ("one", "arrays"),
    [
        (node("Gather", ["x", "i"], ["y"], axis=1), {"i": np.array([2, -3])}),
        (node("GatherElements", ["x", "i"], ["y"]), {"i": np.array([[1, 0, -1]])}),
        (node("GatherND", ["x", "i"], ["y"]), {"i": np.array([[1, 0], [0, -1]])}),
        (node("Compress", ["x", "c"], ["y"]), {"c": np.array([False, True, True])}),
        (node("ScatterElements", ["x", "i", "u"], ["y"]), {"i": np.array([[1, 0, 1]]),
                                                          "u": WORDS[:1]}),
        (node("ScatterND", ["x", "i", "u"], ["y"]), {"i": np.array([[1]]), "u": WORDS[:1]}),
        (node("OneHot", ["j", "d", "v"], ["y"]), {"j": np.array([1, 0]), "d": np.int64(2),
                                                 "v": WORDS[0, :2]}),
        (node("Unique", ["x"], ["y"]), {}),
        (node("Unique", ["x"], ["y"], sorted=0), {}),
    ],
)  # fmt: skip
def test_text_is_moved_as_numbers_are(one: Any, arrays: dict[str, Any]) -> None:
    feeds = {"x": WORDS} | {name: np.asarray(array) for name, array in arrays.items()}
    feeds = {name: feeds[name] for name in one.input}
    whole = model([one], feeds, ["y"])
    (want,) = onnxruntime_says(whole, feeds)
    (have,) = ran(whole, feeds)
    assert have.shape == want.shape
    assert have.tolist() == want.tolist()


def test_gathering_fewer_rows_than_there_are() -> None:
    feeds, rest = {"x": normal(4, 5)}, {"i": indices((2, 3), 5)}
    agree_as([node("GatherElements", ["x", "i"], ["y"], axis=1)], feeds, rest, way="open")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_what_lies_outside_is_never_taken_for_another(reduction: str) -> None:
    feeds = {"x": normal(3, 3), "i": np.array([[0, 4]]), "u": normal(1)}
    slices = node("ScatterND", ["x", "i", "u"], ["y"], reduction=reduction)
    with pytest.raises(ERRORS):
        said([slices], feeds)
    feeds = {"x": normal(3, 3), "i": np.array([[0, 3]]), "u": normal(1, 2)}
    elements = node("ScatterElements", ["x", "i", "u"], ["y"], axis=1, reduction=reduction)
    with pytest.raises(ERRORS):
        said([elements], feeds)
    for picked in ("Gather", "GatherElements", "GatherND"):
        with pytest.raises(ERRORS):
            said([node(picked, ["x", "i"], ["y"])], {"x": normal(3, 3), "i": np.array([[0, 5]])})


def test_top_k_of_the_least_number_and_before_its_count_was_an_input() -> None:
    top = node("TopK", ["x"], ["v", "i"], k=2)
    agree_as([top], {"x": normal(3, 4)}, {}, ["v", "i"], opset=9)
    least = np.array([-(2**63), 5, 2**63 - 1, 0])
    top = node("TopK", ["x", "k"], ["v", "i"], largest=0)
    agree_as([top], {"x": least}, {"k": ints(3)}, ["v", "i"])


@pytest.mark.parametrize("centred", [0, 1])
@pytest.mark.parametrize("way", WAYS)
def test_boxes_that_give_way_to_better_ones(centred: int, way: str) -> None:
    boxes = np.abs(normal(2, 12, 4))
    feeds = {"b": boxes, "s": np.round(normal(2, 3, 12, seed=1), 1)}
    rest = {"m": ints(4), "o": np.array([0.3], np.float32), "l": np.array([-0.5], np.float32)}
    keep = node("NonMaxSuppression", ["b", "s", *rest], ["y"], center_point_box=centred)
    agree_as([keep], feeds, rest, way=way)


def test_text_in_reverse_up_to_a_length() -> None:
    reverse = node("ReverseSequence", ["x", "n"], ["y"], time_axis=1, batch_axis=0)
    found = said([reverse], {"x": WORDS, "n": ints(2, 3)})
    assert found.reshape(-1).tolist() == ["a", "b", "é", "long word", "a", ""]


def test_features_of_a_vector_make_a_row() -> None:
    pick = node("ArrayFeatureExtractor", ["x", "i"], ["y"], domain="ai.onnx.ml")
    feeds = {"x": normal(5), "i": ints(3, 1)}
    whole = model([pick], feeds, ["y"])
    whole.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    np.testing.assert_array_equal(ran(whole, feeds)[0], feeds["x"][[3, 1]][None])
