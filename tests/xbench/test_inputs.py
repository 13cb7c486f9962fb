"""Inputs are valid, the same everywhere and unlike each other; the user's are taken or refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.xbench.graphs import BOOL, FLOAT, INT64, UINT8, node, save
from xbench.adapter import Array, TensorSpec
from xbench.errors import ShapeError, UsageError
from xbench.inputs import (
    InputsInfo,
    feeds_sha256,
    load_feeds,
    save_feeds,
    seeded_feeds,
    user_feeds,
)
from xbench.model import Model, bind, read_model

fixture_is_fine = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def model_of(
    tables: dict[str, int] | None = None, **inputs: tuple[str, tuple[int | str, ...]]
) -> Model:
    specs = tuple(TensorSpec(name, dtype, shape) for name, (dtype, shape) in inputs.items())
    return Model(
        path=Path("model.onnx"),
        name="model",
        sha256="",
        opset=18,
        opsets={"": 18},
        inputs=specs,
        outputs=(),
        tables=tables or {},
    )


def drawn(model: Model, seed: int = 0, **lengths: int) -> tuple[dict[str, Array], InputsInfo]:
    (feeds,), info = seeded_feeds(model, bind(model, defaults=lengths), seed, 1)
    return feeds, info


def test_a_language_model_gets_what_it_is_made_for() -> None:
    shape = ("batch", "length")
    model = model_of(
        {"input_ids": 50, "token_type_ids": 2, "position_ids": 512},
        input_ids=("int64", shape),
        attention_mask=("int64", shape),
        token_type_ids=("int32", shape),
        position_ids=("int64", shape),
        past_key_0=("float16", ("batch", 2, "past", 4)),
    )
    feeds, info = drawn(model, batch=2, length=200, past=3)

    assert info.doubts == ()
    assert (feeds["input_ids"].min(), feeds["input_ids"].max()) == (0, 49)
    assert (feeds["attention_mask"] == 1).all()
    assert (feeds["token_type_ids"] == 0).all()
    assert (feeds["position_ids"] == np.arange(200)).all()
    assert abs(feeds["past_key_0"].astype(np.float64)).max() > 0.5
    for spec in bind(model, defaults={"batch": 2, "length": 200, "past": 3}).inputs:
        assert feeds[spec.name].shape == spec.shape
        assert feeds[spec.name].dtype.name == spec.dtype


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "complex64"])
def test_floats_are_normal_with_deviation_one(dtype: str) -> None:
    feeds, _ = drawn(model_of(x=(dtype, (200, 500))))
    assert feeds["x"].dtype.name == dtype
    values = feeds["x"].astype(np.complex128)
    for part in [values.real, values.imag] if dtype == "complex64" else [values.real]:
        assert part.mean() == pytest.approx(0, abs=0.02)
        assert part.std() == pytest.approx(1, abs=0.02)
        assert (np.abs(part) < 1).mean() == pytest.approx(0.6827, abs=0.01)


def test_pixels_take_the_whole_range_of_their_type() -> None:
    feeds, info = drawn(model_of(image=("uint8", (1, 64, 64, 3)), quant=("int8", (3, 64, 64))))
    assert (feeds["image"].min(), feeds["image"].max()) == (0, 255)
    assert (feeds["quant"].min(), feeds["quant"].max()) == (-128, 127)
    assert info.doubts == ()


def test_what_can_only_be_guessed_is_told() -> None:
    model = model_of(
        x=("float32", ("batch", "frames", 8)),
        x_lengths=("int64", ("batch",)),
        numbers=("int32", ("batch", 50)),
        use_cache=("bool", ()),
        keep=("bool", ("batch", 50)),
        pad_mask=("bool", ("batch", 50)),
    )
    feeds, info = drawn(model, batch=2, frames=30)

    assert feeds["x_lengths"].tolist() == [30, 30]
    assert set(feeds["numbers"].ravel().tolist()) == {0, 1}
    assert feeds["use_cache"].tolist() is False
    assert set(feeds["keep"].ravel().tolist()) == {False, True}
    assert feeds["pad_mask"].all()
    told = {line.partition(":")[0] for line in info.doubts}
    assert told == {"x_lengths", "numbers", "use_cache", "keep"}


def test_positions_stay_within_their_table() -> None:
    feeds, _ = drawn(model_of({"position_ids": 4}, position_ids=("int64", (1, 10))))
    assert feeds["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 0, 1]]


def test_text_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match=r"is of text.*--inputs feeds\.npz"):
        drawn(model_of(words=("object", (1,))))


def test_inputs_that_do_not_fit_in_memory_are_refused_before_they_are_drawn() -> None:
    with pytest.raises(UsageError, match=r"2 sets of inputs would take .* TiB"):
        seeded_feeds(model := model_of(x=("float32", ("batch", 2**20, 2**20))), bind(model), 0, 2)


def test_sets_differ_and_the_seed_decides_them() -> None:
    model = model_of({"ids": 1000}, x=("float32", (4, 4)), ids=("int64", (4, 4)))
    bound = bind(model)
    one, _ = seeded_feeds(model, bound, 0, 4)
    again, _ = seeded_feeds(model, bound, 0, 4)
    other, _ = seeded_feeds(model, bound, 1, 4)
    fewer, _ = seeded_feeds(model, bound, 0, 2)

    for name in ("x", "ids"):
        assert len({feeds[name].tobytes() for feeds in (*one, *other)}) == 8
    assert feeds_sha256(one) == feeds_sha256(again)
    assert feeds_sha256(one) != feeds_sha256(other)
    assert feeds_sha256(one[:2]) == feeds_sha256(fewer)


def test_an_input_has_its_numbers_whatever_stands_beside_it() -> None:
    alone, _ = drawn(model_of(x=("float32", (4,))))
    beside, _ = drawn(model_of(a=("float32", (9,)), x=("float32", (4,))))
    assert alone["x"].tobytes() == beside["x"].tobytes()


def test_another_process_draws_the_same_bytes(tmp_path: Path) -> None:
    """Also with another hash seed and locale: nothing may depend on either."""
    path = save(
        tmp_path, [node("Identity", ["x"], ["y"])], {"x": (FLOAT, [7])}, {"y": (FLOAT, [7])}
    )
    code = (
        "import sys; from xbench.model import bind, read_model as r;"
        "from xbench.inputs import feeds_sha256, seeded_feeds as s;"
        "m = r(sys.argv[1]); print(feeds_sha256(s(m, bind(m), 3, 2)[0]))"
    )
    model = read_model(path)
    own = feeds_sha256(seeded_feeds(model, bind(model), 3, 2)[0])
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "LC_ALL": "C", "PYTHONPATH": ":".join(sys.path)}
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == own


stored_arrays = st.one_of(
    arrays.arrays(
        st.one_of(
            arrays.boolean_dtypes(),
            arrays.integer_dtypes(),
            arrays.floating_dtypes(),
            arrays.complex_number_dtypes(),
        ),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    st.lists(st.floats(-9, 9), max_size=4).map(lambda v: np.array(v, ml_dtypes.bfloat16)),
    st.lists(st.integers(-8, 7), max_size=4).map(lambda v: np.array(v, ml_dtypes.int4)),
    st.lists(st.text(st.characters(exclude_characters="\0"), max_size=3), min_size=1).map(
        lambda v: np.array(v, object)
    ),
)


@fixture_is_fine
@given(st.lists(st.dictionaries(st.text(max_size=8), stored_arrays, max_size=3), max_size=3))
def test_arrays_survive_being_kept_whatever_their_names_and_types(
    tmp_path: Path, feeds: list[dict[str, Array]]
) -> None:
    path = tmp_path / "feeds"
    save_feeds(path, feeds)
    again = load_feeds(path)

    assert [list(one) for one in again] == [list(one) for one in feeds]
    for own, kept in zip(feeds, again, strict=True):
        for name, array in own.items():
            assert kept[name].dtype == array.dtype.newbyteorder("=")
            assert kept[name].shape == array.shape
            assert kept[name].tolist() == array.tolist() or np.isnan(array).any()
    assert feeds_sha256(again) == feeds_sha256(feeds)


def test_the_hash_is_of_names_types_shapes_and_values() -> None:
    array = np.zeros((2, 3), np.float32)
    variants: list[dict[str, Array]] = [
        {"x": array},
        {"z": array},
        {"x": array.astype(np.int32)},
        {"x": array.reshape(3, 2)},
        {"x": array + 1},
        {"x": array.astype(ml_dtypes.bfloat16)},
    ]
    assert len({feeds_sha256([variant]) for variant in variants}) == len(variants)
    assert feeds_sha256([{"x": array}]) != feeds_sha256([{"x": array}] * 2)
    assert feeds_sha256([{"x": array, "z": array}]) == feeds_sha256([{"z": array, "x": array}])


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A model of an image, ids and a fixed float."""
    return read_model(
        save(
            tmp_path,
            [node("Identity", [name], [f"{name}_out"]) for name in ("x", "ids", "image", "flag")],
            {
                "x": (FLOAT, ["batch", 3]),
                "ids": (INT64, ["batch", "n"]),
                "image": (UINT8, [2, 2]),
                "flag": (BOOL, []),
            },
            {
                "x_out": (FLOAT, ["batch", 3]),
                "ids_out": (INT64, ["batch", "n"]),
                "image_out": (UINT8, [2, 2]),
                "flag_out": (BOOL, []),
            },
        )
    )


def good() -> dict[str, Array]:
    return {
        "x": np.ones((4, 3), np.float32),
        "ids": np.arange(20).reshape(4, 5),
        "image": np.full((2, 2), 200, np.uint8),
        "flag": np.array(True),
    }


def written(path: Path, **changes: Array) -> Path:
    with path.open("wb") as file:
        np.savez(file, **{**good(), **changes})  # type: ignore[arg-type] # no key is its flag
    return path


def test_the_users_arrays_are_the_inputs(tmp_path: Path, model: Model) -> None:
    feeds, info = user_feeds(written(tmp_path / "f.npz"), model)
    assert feeds_sha256(feeds) == feeds_sha256([good()])
    assert info == InputsInfo()
    bound = bind(model, shapes={name: array.shape for name, array in feeds[0].items()})
    assert bound.symbols == {"batch": 4, "n": 5}


def test_one_more_axis_counts_the_sets_and_the_rest_serves_all(
    tmp_path: Path, model: Model
) -> None:
    x = np.arange(36, dtype=np.float32).reshape(3, 4, 3)
    feeds, _ = user_feeds(written(tmp_path / "f.npz", x=x), model)
    assert len(feeds) == 3
    for index, one in enumerate(feeds):
        assert (one["x"] == x[index]).all()
        assert (one["ids"] == good()["ids"]).all()


def test_sets_that_do_not_match_are_refused(tmp_path: Path, model: Model) -> None:
    x, ids = np.ones((3, 4, 3), np.float32), np.ones((2, 4, 5), np.int64)
    with pytest.raises(UsageError, match="holds 2 and 3 sets"):
        user_feeds(written(tmp_path / "f.npz", x=x, ids=ids), model)
    with pytest.raises(UsageError, match="holds 0 sets"):
        user_feeds(written(tmp_path / "f.npz", x=x[:0]), model)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("x", np.ones((4, 3), np.float64) / 3),
        ("x", np.ones((4, 3), np.int8)),
        ("x", np.ones((4, 3), np.float16)),
        ("ids", np.ones((4, 5), np.int32)),
        ("ids", np.ones((4, 5), bool)),
        ("image", np.full((2, 2), 255, np.int64)),
        ("flag", np.array(False)),
        ("x", np.ones((4, 3), ">f4")),
    ],
)
def test_types_are_changed_where_no_value_is_lost_and_that_is_told(
    tmp_path: Path, model: Model, name: str, array: Array
) -> None:
    feeds, info = user_feeds(written(tmp_path / "f.npz", **{name: array}), model)
    spec = next(spec for spec in model.inputs if spec.name == name)
    assert feeds[0][name].dtype == np.dtype(spec.dtype)
    assert np.allclose(feeds[0][name], array, rtol=1e-7)
    converted = array.dtype != np.dtype(spec.dtype)
    assert [line.partition(":")[0] for line in info.doubts] == [name] * converted


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("x", np.full((4, 3), 1e300)),
        ("x", np.full((4, 3), 2**24 + 1)),
        ("x", np.ones((4, 3), np.complex64)),
        ("ids", np.ones((4, 5), np.float32)),
        ("image", np.full((2, 2), 256)),
        ("image", np.full((2, 2), -1)),
        ("flag", np.array(2)),
        ("x", np.full((4, 3), "one")),
        ("x", np.zeros((4, 3), [("a", "f4")])),
        ("x", np.zeros((4, 3), "M8[s]")),
    ],
)
def test_a_change_of_value_is_refused(
    tmp_path: Path, model: Model, name: str, array: Array
) -> None:
    with pytest.raises(UsageError, match=f"input '{name}'.* without a change of value"):
        user_feeds(written(tmp_path / "f.npz", **{name: array}), model)


def test_types_that_numpy_does_not_keep_are_recognised(tmp_path: Path) -> None:
    kind = onnx.TensorProto.BFLOAT16
    path = save(tmp_path, [node("Identity", ["x"], ["y"])], {"x": (kind, [2])}, {"y": (kind, [2])})
    array = np.array([1.5, -2], ml_dtypes.bfloat16)
    np.savez(tmp_path / "raw.npz", x=array.view("V2"))
    np.savez(tmp_path / "wide.npz", x=array.astype(np.float32))
    for name in ("raw", "wide"):
        feeds, _ = user_feeds(tmp_path / f"{name}.npz", read_model(path))
        assert feeds[0]["x"].dtype == array.dtype
        assert feeds[0]["x"].tolist() == [1.5, -2]


def test_values_that_are_no_numbers_are_told(tmp_path: Path, model: Model) -> None:
    x = np.full((4, 3), np.nan, np.float32)
    _, info = user_feeds(written(tmp_path / "f.npz", x=x), model)
    assert info.doubts == ("x: holds values that are infinite or not a number",)


def test_wrong_names_are_refused_with_a_guess(tmp_path: Path, model: Model) -> None:
    with pytest.raises(UsageError, match=r"for no input: 'imge'\. Did you mean 'image'\?"):
        user_feeds(written(tmp_path / "f.npz", imge=np.ones(3)), model)
    np.savez(tmp_path / "g.npz", **{k: v for k, v in good().items() if k != "ids"})  # type: ignore[arg-type] # no key is its flag
    with pytest.raises(UsageError, match="holds no array for input 'ids'"):
        user_feeds(tmp_path / "g.npz", model)


def test_wrong_shapes_are_refused(tmp_path: Path, model: Model) -> None:
    """The count of axes at once; their lengths by `bind`, which knows what else was asked."""
    with pytest.raises(UsageError, match="12 does not fit input 'x', which is batchx3"):
        user_feeds(written(tmp_path / "f.npz", x=np.ones(12, np.float32)), model)
    feeds, _ = user_feeds(written(tmp_path / "f.npz", x=np.ones((4, 7), np.float32)), model)
    with pytest.raises(ShapeError, match="is 3 in the model, not 7"):
        bind(model, shapes={name: array.shape for name, array in feeds[0].items()})


class Trap:
    """Leaves a file behind when a pickle of it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_inside_is_never_opened(tmp_path: Path, model: Model) -> None:
    sprung = tmp_path / "sprung"
    np.savez(tmp_path / "f.npz", x=np.array([Trap(sprung)], object))
    with pytest.raises(UsageError, match="holds Python objects"):
        user_feeds(tmp_path / "f.npz", model)
    (tmp_path / "f.npz").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(UsageError, match=r"is not an \.npz file"):
        user_feeds(tmp_path / "f.npz", model)
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Trap(sprung)))
    with pytest.raises(UsageError):
        user_feeds(tmp_path / "f.npz", model)
    assert not sprung.exists()


def test_what_is_no_archive_is_refused(tmp_path: Path, model: Model) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        user_feeds(tmp_path / "none.npz", model)
    with pytest.raises(UsageError, match=r"not an \.npz file"):
        user_feeds(tmp_path, model)
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(UsageError, match=r"not an \.npz file"):
        user_feeds(tmp_path / "one.npy", model)


@fixture_is_fine
@given(data=st.data())
def test_a_damaged_archive_is_refused_or_read_and_nothing_worse(
    tmp_path: Path, model: Model, data: st.DataObject
) -> None:
    content = bytearray(written(tmp_path / "f.npz").read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 3)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "f.npz").write_bytes(content)
    try:
        feeds, _ = user_feeds(tmp_path / "f.npz", model)
    except UsageError as error:
        assert error.fix  # noqa: PT017 -- either outcome is right
    else:
        assert feeds[0].keys() == good().keys()


@pytest.mark.parametrize(("place", "value"), [(6, 255), (8, 1), (8, 32), (10, 77)])
def test_an_archive_of_a_strange_kind_is_refused(
    tmp_path: Path, model: Model, place: int, value: int
) -> None:
    """A version to come, encryption, patches, an unknown compression: all in its directory."""
    content = bytearray(written(tmp_path / "f.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + place] = value
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(UsageError, match="damaged"):
        user_feeds(tmp_path / "f.npz", model)


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(
    tmp_path: Path, model: Model
) -> None:
    """The archive says what it would unpack to; 1 KiB may claim terabytes."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"0" * 64)
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (2**32 - 2).to_bytes(4, "little")
    entry = bytes(content[directory : content.index(b"PK\x05\x06")])
    end = bytearray(content[content.index(b"PK\x05\x06") :])
    count = 60  # of the same entry: 240 GiB
    end[8:12] = count.to_bytes(2, "little") * 2
    end[12:16] = (len(entry) * count).to_bytes(4, "little")
    path.write_bytes(content[:directory] + entry * count + end)
    with pytest.raises(UsageError, match="would take 240 GiB of memory"):
        user_feeds(path, model)
