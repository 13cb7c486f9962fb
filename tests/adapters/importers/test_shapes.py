"""Operators that move, cut, join and fill, told how at run time too."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.adapters.graphs import WAYS, ints, model, normal, onnxruntime_says, opened, ways
from tests.adapters.importers.chosen import ERRORS, IMPORTER, agree, few, import_onnx, ran, said
from tests.adapters.importers.refusals import refused
from xbench.errors import UnsupportedNodeError

node = helper.make_node


def agree_as(
    way: str, nodes: list[onnx.NodeProto], x: Any, told: dict[str, Any], opset: int = 20
) -> None:
    """Check the outputs, named ``y...``, to be just those of ONNX Runtime; see `Importer`."""
    names = [name for one in nodes for name in one.output if name.startswith("y")]
    IMPORTER.agree_as(nodes, {"x": x}, told, names, way=way, opset=opset, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("way", ["known", "fed", "open"])
@pytest.mark.parametrize(
    ("shape", "aim"),
    [((4, 3, 6), [0, -1]), ((4, 3, 6), [-1]), ((2, 3, 6), [4, 0, 3]), ((2, 3), [0, 0, 1, 1])],
)
def test_reshape(way: str, shape: tuple[int, ...], aim: list[int]) -> None:
    agree_as(way, [node("Reshape", ["x", "s"], ["y"])], normal(*shape), {"s": ints(*aim)})


def test_reshape_takes_a_length_of_0_literally_when_asked() -> None:
    reshape = node("Reshape", ["x", "s"], ["y"], allowzero=1)
    agree_as("open", [reshape], np.zeros((0, 3), np.float32), {"s": ints(3, 0, 2)})


def test_a_shape_computed_from_open_lengths_is_followed() -> None:
    nodes = [
        node("Shape", ["x"], ["whole"]),
        node("Gather", ["whole", "first"], ["batch"]),
        node("Concat", ["batch", "rest"], ["aim"], axis=0),
        node("Reshape", ["x", "aim"], ["y1"]),
        node("Shape", ["y1"], ["y2"], start=1),
        node("Size", ["x"], ["y3"]),
    ]
    agree_as("open", nodes, normal(3, 4, 5), {"first": ints(0), "rest": ints(2, -1)})


bounds = st.one_of(st.integers(-9, 9), st.sampled_from([-(2**31), 2**31 - 1, 2**62]))


@given(
    ways,
    st.lists(st.tuples(bounds, bounds, st.sampled_from([-3, -1, 1, 2])), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from([np.float32, np.uint16, np.bool_]),
)
@few
def test_slices(way: str, cuts: list[tuple[int, int, int]], back: bool, dtype: type) -> None:
    assume(not any(step < 0 and end == 2**31 - 1 for _, end, step in cuts))
    assume(dtype is not np.uint16 or way != "fed")
    starts, ends, steps = (np.array(one) for one in zip(*cuts, strict=True))
    axes = np.array([place - 3 if back else place for place in range(len(cuts))])
    told = {"s": starts, "e": ends, "a": axes, "t": steps}
    x: Any = (normal(4, 5, 6) * 9).astype(np.int64).astype(dtype)
    if dtype is np.uint16:  # ONNX Runtime's slices take no such type
        index = [slice(None)] * 3
        assume(all(step > 0 for _, _, step in cuts))
        for axis, (start, end, step) in enumerate(cuts):
            index[axis] = slice(start, end, step)
        found = said([node("Slice", ["x", *told], ["y"])], {"x": x, **told})
        np.testing.assert_array_equal(found, x[tuple(index)])
        return
    agree_as(way, [node("Slice", ["x", *told], ["y"])], x, told)


def test_a_slice_backwards_to_the_largest_number_is_refused_or_raises() -> None:
    told = {"s": ints(3), "e": ints(2**31 - 1), "a": ints(0), "t": ints(-1)}
    cut = node("Slice", ["x", *told], ["y"])
    with pytest.raises(UnsupportedNodeError, match="runtimes differ"):
        import_onnx(model([cut], {"x": normal(4)}, ["y"], told))
    with pytest.raises(ERRORS, match="runtimes differ"):
        said([cut], {"x": normal(4), **told})


@given(ways, st.data(), st.sampled_from(["constant", "edge", "reflect", "wrap"]), st.booleans())
@few
def test_pads(way: str, data: st.DataObject, mode: str, chosen: bool) -> None:
    axes = [0, -1] if chosen else [0, 1, 2]
    least = -1 if mode == "constant" else 0
    lengths = st.lists(st.integers(least, 3), min_size=2 * len(axes), max_size=2 * len(axes))
    told: dict[str, Any] = {"p": ints(*data.draw(lengths))}
    told |= {"v": np.float32(1.5)} if mode == "constant" else {}
    names = ["x", "p", "v" if mode == "constant" else ""]
    told |= {"a": ints(*axes)} if chosen else {}
    told = {name: np.asarray(one) for name, one in told.items()}
    pad = node("Pad", [*names, *(["a"] if chosen else [])], ["y"], mode=mode)
    agree_as(way, [pad], normal(4, 5, 6), told)


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
def test_padding_by_more_than_there_is_goes_on_as_in_numpy(mode: Any) -> None:
    x, told = normal(3, 1), {"p": ints(7, 2, 8, 3)}
    pad, wanted = node("Pad", ["x", "p"], ["y"], mode=mode), np.pad(x, ((7, 8), (2, 3)), mode=mode)
    np.testing.assert_array_equal(said([pad], {"x": x, **told}), wanted)
    (found,) = ran(model([pad], {"x": x}, ["y"], told), {"x": x})
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("way", ["known", "fed"])
@pytest.mark.parametrize("fill", [2**62 + 1, -(2**63), 2**63 - 1])
def test_padding_by_large_whole_numbers_is_exact(way: str, fill: int) -> None:
    told: dict[str, Any] = {"p": ints(1, 2), "v": np.int64(fill)}
    feeds = {"x": ints(1, 2)} if way == "known" else {"x": ints(1, 2), **told}
    pad = node("Pad", ["x", "p", "v"], ["y"])
    whole = model([pad], feeds, ["y"], told if way == "known" else None)
    (found,) = ran(whole, feeds)
    assert found.tolist() == [fill, 1, 2, fill, fill]


@given(ways, st.sampled_from([([1, 3], 0), ([2, 0, 2], 0), ([1, 1, 1, 1, 2], -1)]))
@few
def test_split_by_lengths(way: str, asked: tuple[list[int], int]) -> None:
    outputs = [f"y{place}" for place in range(len(asked[0]))]
    part = node("Split", ["x", "l"], outputs, axis=asked[1])
    agree_as(way, [part], normal(4, 6), {"l": ints(*asked[0])})


@pytest.mark.parametrize("way", ["known", "open"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_split_evenly(way: str, count: int) -> None:
    outputs = [f"y{place}" for place in range(count)]
    agree_as(way, [node("Split", ["x"], outputs, num_outputs=count)], normal(7, 2), {})


def test_split_into_more_parts_than_there_are_lengths_raises() -> None:
    part = node("Split", ["x", "l"], ["y0", "y1"])
    feeds = {"x": normal(3), "l": ints(1, 1, 1)}
    with pytest.raises(ERRORS, match=r"2 parts|[Ss]plit"):
        ran(model([part], feeds, ["y0", "y1"]), feeds)


SIMPLE: dict[str, tuple[str, tuple[int, ...], dict[str, Any], dict[str, Any]]] = {
    "squeeze": ("Squeeze", (1, 3, 1, 4), {"a": ints(0, -2)}, {}),
    "squeeze all": ("Squeeze", (1, 3, 1, 4), {}, {}),
    "unsqueeze": ("Unsqueeze", (3, 4), {"a": ints(-1, 0, 2)}, {}),
    "expand": ("Expand", (3, 1, 4), {"s": ints(2, 1, 5, 1)}, {}),
    "expand to less": ("Expand", (3, 1, 4), {"s": ints(2, 4)}, {}),
    "tile": ("Tile", (3, 4), {"r": ints(2, 3)}, {}),
    "tile by 0": ("Tile", (3, 4), {"r": ints(2, 0)}, {}),
    "flatten": ("Flatten", (2, 3, 4), {}, {"axis": -1}),
    "flatten at the end": ("Flatten", (2, 3, 4), {}, {"axis": 3}),
    "flatten nothing": ("Flatten", (0, 3, 0), {}, {"axis": 1}),
    "transpose": ("Transpose", (2, 3, 4), {}, {}),
    "transpose by order": ("Transpose", (2, 3, 4), {}, {"perm": [1, 2, 0]}),
    "transpose a length of 1": ("Transpose", (2, 1, 4), {}, {"perm": [1, 0, 2]}),
    "crop and pad": ("CenterCropPad", (8, 3, 5), {"s": ints(5, 6, 5)}, {}),
    "crop and pad axes": ("CenterCropPad", (8, 3, 5), {"s": ints(6, 4)}, {"axes": [-1, 0]}),
    "depth to space": ("DepthToSpace", (2, 8, 3, 5), {}, {"blocksize": 2}),
    "depth to space, columns": ("DepthToSpace", (2, 8, 3, 5), {}, {"blocksize": 2, "mode": "CRD"}),
    "space to depth": ("SpaceToDepth", (2, 3, 4, 6), {}, {"blocksize": 2}),
    "eye": ("EyeLike", (3, 5), {}, {"k": 1}),
    "shape": ("Shape", (3, 4, 5), {}, {"start": -2, "end": 9}),
    "size": ("Size", (3, 4, 5), {}, {}),
}


@pytest.mark.parametrize("way", ["known", "fed", "open"])
@pytest.mark.parametrize("case", SIMPLE)
def test_shapes_and_axes_are_taken_at_run_time(case: str, way: str) -> None:
    operator, shape, told, attributes = SIMPLE[case]
    one = node(operator, ["x", *told], ["y"], **attributes)
    agree_as(way, [one], normal(*shape), told)


@pytest.mark.parametrize(
    ("operator", "shape", "told"),
    [("Squeeze", (2, 1), ints(0)), ("Squeeze", (1, 1), ints()), ("Unsqueeze", (2,), ints(1, 1))],
)
def test_axes_that_cannot_be_raise(operator: str, shape: tuple[int, ...], told: Any) -> None:
    feeds = {"x": normal(*shape), "a": told}
    with pytest.raises(ERRORS, match=operator):
        ran(opened(model([node(operator, ["x", "a"], ["y"])], feeds, ["y"])), feeds)


@pytest.mark.parametrize(
    ("start", "limit", "delta", "dtype"),
    [
        (3, 9, 2, np.int64),
        (9, 3, -4, np.int32),
        (5, 2, 1, np.int64),
        (1, 8, 3, np.int16),
        (0.5, 3.0, 0.25, np.float32),
        (3.0, -1.0, -0.3, np.float64),
        (1.0, 0.0, 0.5, np.float32),
    ],
)
def test_ranges_at_run_time(start: float, limit: float, delta: float, dtype: Any) -> None:
    told = {
        name: np.array(one, dtype) for name, one in zip("sld", (start, limit, delta), strict=True)
    }
    agree([node("Range", list(told), ["y"])], told, ["y"])


def test_first_versions_take_what_later_ones_take_as_inputs() -> None:
    x = normal(2, 4)
    reshape = node("Reshape", ["x"], ["y"], shape=[0, 2, -1])
    assert said([reshape], {"x": x}, opset=1).shape == (2, 2, 2)
    join = node("Concat", ["x", "z"], ["y"])
    assert said([join], {"x": x, "z": x}, opset=1).shape == (2, 8)
    tile = node("Tile", ["x", "t", "a"], ["y"])
    told = {"t": np.float32(3), "a": np.float32(1)}
    assert said([tile], {"x": x, **told}, opset=1).shape == (2, 12)
    cast = node("Cast", ["x"], ["y"], to="INT32")
    assert said([cast], {"x": x}, opset=1).dtype == np.int32
    part = node("Split", ["x", "l"], ["y"])
    found = said([part], {"x": x, "l": np.array([2.0], np.float32)}, opset=1)
    np.testing.assert_array_equal(found, x)
    cut = node("Slice", ["x"], ["y"], starts=[1], ends=[9], axes=[1])
    np.testing.assert_array_equal(said([cut], {"x": x}, opset=1), x[:, 1:])
    pad = node("Pad", ["x"], ["y"], paddings=[0, 1, 0, 2], value=2.5)
    wanted = np.pad(x, ((0, 0), (1, 2)), constant_values=2.5)
    np.testing.assert_array_equal(said([pad], {"x": x}, opset=1), wanted)


def test_a_sparse_constant_is_filled_with_zeros() -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [2], [5.0, 7.0])
    places = helper.make_tensor("i", TensorProto.INT64, [2], [1, 4])
    sparse = helper.make_sparse_tensor(values, places, [2, 3])
    constant = node("Constant", [], ["c"], sparse_value=sparse)
    add, join = node("Add", ["x", "c"], ["s"]), node("Concat", ["c", "s"], ["y"], axis=0)
    found = said([constant, add, join], {"x": np.ones((2, 3), np.float32)})
    assert found.tolist() == [[0, 5, 0], [0, 7, 0], [1, 6, 1], [1, 8, 1]]


@pytest.mark.parametrize(
    ("shape", "pads", "mode"), [((0,), (1, 1), "edge"), ((4,), (-5, 3), "constant")]
)
def test_padding_what_is_not_there_raises(shape: Any, pads: Any, mode: str) -> None:
    x, told = np.zeros(shape, np.float32), {"p": ints(*pads)}
    pad = node("Pad", ["x", "p"], ["y"], mode=mode)
    with pytest.raises(ERRORS):
        ran(opened(model([pad], {"x": x, **told}, ["y"])), {"x": x, **told})
    with pytest.raises(ERRORS):
        said([pad], {"x": x, **told})


@pytest.mark.parametrize(
    "case", ["squeeze", "squeeze all", "unsqueeze", "expand", "tile", "flatten", "transpose"]
)
def test_not_even_the_rank_need_be_known(case: str) -> None:
    operator, shape, told, attributes = SIMPLE[case]
    feeds = {"x": normal(*shape)}
    whole = model([node(operator, ["x", *told], ["y"], **attributes)], feeds, ["y"], told)
    (wanted,) = onnxruntime_says(whole, feeds)
    (found,) = ran(opened(whole, ranks=False), feeds)
    np.testing.assert_array_equal(found, wanted)


def test_a_slice_of_any_rank() -> None:
    told = {"s": ints(-1, 1), "e": ints(0, 9), "a": ints(-1, 0), "t": ints(-2, 1)}
    feeds = {"x": normal(3, 4, 5)}
    whole = model([node("Slice", ["x", *told], ["y"])], feeds, ["y"], told)
    (found,) = ran(opened(whole, ranks=False), feeds)
    np.testing.assert_array_equal(found, feeds["x"][1:, :, :0:-2])


def test_ranks_of_seven_and_nine() -> None:
    x = normal(2, 1, 2, 1, 2, 1, 2)
    wide = {"s": ints(2, 3, 2, 3, 2, 3, 2)}
    pads = {"p": ints(*[1, 0, 1, 0, 2, 1, 1] * 2)}
    for way in WAYS:
        agree_as(way, [node("Expand", ["x", "s"], ["y"])], x, wide)
        agree_as(way, [node("Pad", ["x", "p"], ["y"])], x, pads)
    text = np.array(["a", "b"], object).reshape(1, 2, *[1] * 7)
    turn = node("Transpose", ["x"], ["y"], perm=[0, 3, 1, 4, 2, 5, 8, 7, 6])
    with refused("text of nine axes that is turned"):
        wanted = text.transpose(0, 3, 1, 4, 2, 5, 8, 7, 6)
        assert said([turn], {"x": text}).tolist() == wanted.tolist()
