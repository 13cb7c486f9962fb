"""Casts as in ONNX's reference, and every element type moved unharmed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference.ops.op_cast import cast_to

from tests.adapters.graphs import (
    ints,
    model,
    normal,
)
from tests.adapters.importers.chosen import (
    examples,
    holds,
    import_onnx,
    ran,
    said,
)
from xbench.errors import ModelError, UnsupportedNodeError

node = helper.make_node


CAST: Any = cast_to
"""ONNX's own cast, of arrays."""


NAMES = {
    "FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16",
    "BOOL": "bool", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT4": "int4", "UINT4": "uint4", "INT2": "int2", "UINT2": "uint2",
    "FLOAT4E2M1": "float4_e2m1fn", "FLOAT8E8M0": "float8_e8m0fnu",
    "FLOAT8E4M3FN": "float8_e4m3fn", "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
    "FLOAT8E5M2": "float8_e5m2", "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip
"""ONNX's element types and NumPy's."""


def code_of(name: str) -> int:
    return int(TensorProto.DataType.Value(next(one for one, at in NAMES.items() if at == name)))


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(code_of(name)))


def numbers_of(name: str) -> Any:
    """Return numbers of a type, the odd ones among them."""
    dtype = dtype_of(name)
    if name.startswith(("float", "bfloat")):
        odd = [0.0, -0.0, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, -5.0, 6.5, 7.0, 1e-7, -1e-7]
        many = [240.0, 247.9, 448.0, 464.0, 465.0, 480.0, 5e4, 57344.0, 61440.0, 1.0 + 2.0**-11]
        plain = np.array([*odd, *many, *(normal(40) * 5)], np.float64)
        return plain.astype(np.float32).astype(dtype)
    if name == "bool":
        return np.array([True, False])
    low, high = (0, 16) if name.startswith("u") else (-8, 8)
    return np.arange(low, high).astype(dtype)


def fits(values: Any, source: str, name: str) -> Any:
    """Return the numbers whose cast ONNX defines: whole types take no floats out of range."""
    if not source.startswith(("float", "bfloat")) or name.startswith(("float", "bfloat", "bool")):
        return values[values >= 0] if name == "float8_e8m0fnu" else values
    low, high = (0, 4) if name.startswith("u") else (-2, 2)
    wide = values.astype(np.float64)
    return values[(wide >= low) & (wide < high)]


def check(found: Any, wanted: Any) -> None:
    """Check that the same elements come out, in the type in which the importer holds them."""
    want = holds(wanted)
    assert (found.dtype, found.shape) == (want.dtype, want.shape)
    exact = np.float64 if want.dtype.name not in ("int64", "uint64") else want.dtype
    np.testing.assert_array_equal(found.astype(exact), want.astype(exact))


@pytest.mark.parametrize("name", ["float32", "int64", "bfloat16", "uint64", "float8_e5m2", "int4"])
def test_a_tensor_of_one_value_has_any_type(name: str) -> None:
    value = np.array([3], np.float32).astype(dtype_of(name))
    fill = node("ConstantOfShape", ["s"], ["y"], value=onnx.numpy_helper.from_array(value))
    check(said([fill], {"s": ints(2, 3)}, opset=23), np.full((2, 3), value[0]))


@given(
    st.sampled_from(sorted(NAMES.values())), st.sampled_from(sorted(NAMES.values())), st.booleans()
)
@examples(330)
def test_casts_are_as_in_the_reference(source: str, name: str, saturate: bool) -> None:
    values = fits(numbers_of(source), source, name)
    cast = node("Cast", ["x"], ["y"], to=code_of(name), saturate=int(saturate))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            wanted = CAST(values, code_of(name), saturate)
        except TypeError:
            assume(False)  # the reference has no cast between some small types
        found = said([cast], {"x": values}, opset=25)
        check(found, wanted)


@pytest.mark.parametrize("round_mode", ["up", "down", "nearest"])
@pytest.mark.parametrize("saturate", [0, 1])
def test_casts_to_exponents_round_as_asked(round_mode: str, saturate: int) -> None:
    values = np.array([0, 1, 1.4, 1.5, 1.6, 3.4e38, 1e-39, np.inf, np.nan, 0.124], np.float32)
    cast = node(
        "Cast", ["x"], ["y"], to=code_of("float8_e8m0fnu"), saturate=saturate, round_mode=round_mode
    )
    wanted = CAST(values, code_of("float8_e8m0fnu"), bool(saturate), round_mode)
    check(said([cast], {"x": values}, opset=25), wanted)


def test_a_double_is_rounded_to_few_bits_once() -> None:
    """By way of a float it would be halfway, and go to the even number."""
    values = np.array([1 + 2.0**-11 + 2.0**-40, -1 - 2.0**-11 - 2.0**-40, 1e300, np.inf, np.nan])
    cast = node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)
    with np.errstate(all="ignore"):
        wanted = values.astype(np.float16)
    np.testing.assert_array_equal(said([cast], {"x": values}), wanted)


def test_text_becomes_numbers() -> None:
    texts = np.array([["3.25", "-1e3"], ["INF", "nan"]], object)
    to_float = node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    np.testing.assert_array_equal(
        said([to_float], {"x": texts}), np.array([[3.25, -1e3], [np.inf, np.nan]], np.float32)
    )
    for name, wanted in (("int8", [7, -8, 3]), ("int64", [7, -8, 3])):
        to_int = node("Cast", ["x"], ["y"], to=code_of(name))
        assert said([to_int], {"x": np.array(["7", "-8", "3.9"], object)}).tolist() == wanted


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "int8", "uint64", "bool"])
def test_numbers_become_text_as_numpy_spells_them(name: str) -> None:
    odd = [0.0, -0.0, 0.5, -2.0, 1e-7, 123456.789, 0.1, 1e-4, 9.9e-5, 1e15, 1e16, 1.5e20, 3.4e38]
    plain = np.array([*odd, 16777217.0, 1 / 3, np.inf, -np.inf, np.nan, *(normal(40) * 50)])
    if not name.startswith("float"):
        plain = np.array([0, 1, 7, 120])
    with np.errstate(all="ignore"):
        values = plain.astype(name)
    found = said([node("Cast", ["x"], ["y"], to=TensorProto.STRING)], {"x": values})
    assert found.tolist() == values.astype(np.str_).tolist()


def test_whole_numbers_become_text_with_their_sign() -> None:
    to_text = node("Cast", ["x"], ["y"], to=TensorProto.STRING)
    assert said([to_text], {"x": ints(7, -8)}).tolist() == ["7", "-8"]


def test_which_text_is_true_is_refused() -> None:
    cast = node("Cast", ["x"], ["y"], to=TensorProto.BOOL)
    with pytest.raises(UnsupportedNodeError, match="true"):
        import_onnx(model([cast], {"x": np.array(["a"], object)}, ["y"]))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("float32", "uint32"),
        ("bfloat16", "int16"),
        ("int64", "float64"),
        ("int8", "float8_e5m2"),
        ("uint8", "float8_e4m3fnuz"),
        ("float8_e4m3fnuz", "uint8"),
        ("float8_e5m2fnuz", "int8"),
        ("float8_e8m0fnu", "uint8"),
        ("bool", "uint8"),
        ("int4", "uint4"),
        ("uint4", "float4_e2m1fn"),
        ("float4_e2m1fn", "int4"),
        ("int2", "uint2"),
    ],
)
def test_bits_are_read_as_another_type(source: str, name: str) -> None:
    values = numbers_of(source)
    if source == "float8_e8m0fnu":
        values = np.arange(256).astype(np.uint8).view(dtype_of(source))
    found = said([node("BitCast", ["x"], ["y"], to=code_of(name))], {"x": values}, opset=26)
    check(found, values.view(dtype_of(name)))


def test_bits_of_another_number_are_refused() -> None:
    cast = node("BitCast", ["x"], ["y"], to=TensorProto.UINT4)
    whole = model([cast], {"x": np.zeros(2, np.int8)}, ["y"], opset=26)
    with pytest.raises(ModelError, match="same bit"):
        import_onnx(whole)


TEXT = np.array([["a", "b", "c"], ["d", "e", "f"]], object)


MOVED: dict[str, tuple[list[Any], dict[str, Any], Any]] = {
    "Reshape": ([ints(-1, 2)], {}, TEXT.reshape(3, 2)),
    "Transpose": ([], {}, TEXT.T),
    "Flatten": ([], {"axis": 0}, TEXT.reshape(1, 6)),
    "Unsqueeze": ([ints(0)], {}, TEXT[None]),
    "Squeeze": ([], {}, TEXT),
    "Expand": ([ints(2, 1, 3)], {}, np.stack([TEXT, TEXT])),
    "Tile": ([ints(1, 2)], {}, np.tile(TEXT, (1, 2))),
    "Slice": ([ints(-1), ints(-9), ints(1), ints(-2)], {}, TEXT[:, ::-2]),
    "Concat": ([TEXT], {"axis": 1}, np.concatenate([TEXT, TEXT], 1)),
    "Pad": ([ints(0, 1, 0, 0), np.array(["z"], object)], {}, np.insert(TEXT, 0, "z", axis=1)),
    "CenterCropPad": ([ints(1, 3)], {}, TEXT[:1]),
    "Identity": ([], {}, TEXT),
}  # fmt: skip


@pytest.mark.parametrize("operator", MOVED)
def test_text_is_moved_as_numbers_are(operator: str) -> None:
    told, attributes, wanted = MOVED[operator]
    feeds = {"x": TEXT, **{f"i{place}": one for place, one in enumerate(told)}}
    found = said([node(operator, list(feeds), ["y"], **attributes)], feeds)
    assert found.shape == wanted.shape
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    "name", ["uint16", "uint32", "uint64", "int8", "float8_e4m3fn", "int4", "bool", "bfloat16"]
)
@pytest.mark.parametrize(
    "operator", ["Concat", "Tile", "Slice", "Pad", "SpaceToDepth", "Expand", "Transpose"]
)
def test_any_type_is_moved(operator: str, name: str) -> None:
    small = name.startswith(("float8", "int4"))
    if small and operator not in ("Pad", "Transpose"):
        pytest.skip("ONNX has no such type for it")
    values = (np.arange(16).reshape(1, 1, 4, 4) % 4).astype(np.float32).astype(dtype_of(name))
    plain = values.astype(np.float64)
    told: dict[str, Any] = {
        "Concat": {"z": values},
        "Tile": {"r": ints(1, 2, 1, 1)},
        "Slice": {"s": ints(3), "e": ints(-9), "a": ints(3), "t": ints(-1)},
        "Pad": {"p": ints(0, 0, 0, 1, 0, 0, 0, 0), "v": values.reshape(-1)[3]},
        "SpaceToDepth": {},
        "Transpose": {},
        "Expand": {"s": ints(2, 1, 1, 1)},
    }[operator]
    attributes: Any = {"Concat": {"axis": 0}, "SpaceToDepth": {"blocksize": 2}}.get(operator, {})
    wanted = {
        "Concat": np.concatenate([plain, plain]),
        "Tile": np.tile(plain, (1, 2, 1, 1)),
        "Slice": plain[..., ::-1],
        "Pad": np.pad(
            plain, ((0, 0),) * 3 + ((1, 0),), constant_values=float(plain.reshape(-1)[3])
        ),
        "SpaceToDepth": plain.reshape(2, 2, 2, 2).transpose(1, 3, 0, 2).reshape(1, 4, 2, 2),
        "Transpose": plain.T,
        "Expand": np.broadcast_to(plain, (2, 1, 4, 4)),
    }[operator]
    feeds = {"x": values, **told}
    whole = model([node(operator, list(feeds), ["y"], **attributes)], feeds, ["y"], opset=25)
    (found,) = ran(whole, feeds)
    assert found.dtype == holds(values).dtype
    np.testing.assert_array_equal(found.astype(np.float64), wanted)
