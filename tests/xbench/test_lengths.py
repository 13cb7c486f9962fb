"""Every open dimension is decided, the same wherever its symbol stands, or the user is told."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.adapter import TensorSpec
from xbench.errors import ShapeError
from xbench.lengths import batch_length
from xbench.model import Model, bind
from xbench.symbols import evaluate
from xbench.units import parse_shape

SYMBOLS = ("batch", "length", "s0", "height.0", "a b", "x")

ARITHMETIC = ("length + s0", "2*batch", "batch*past")

lengths = st.integers(1, 512)


def model_of(**inputs: tuple[int | str, ...]) -> Model:
    specs = tuple(TensorSpec(name, "float32", shape) for name, shape in inputs.items())
    outputs = (TensorSpec("y", "float32", ("batch",)),)
    return Model(
        path=Path("model.onnx"),
        name="model",
        sha256="",
        opset=18,
        opsets={"": 18},
        inputs=specs,
        outputs=outputs,
    )


@st.composite
def models(draw: st.DrawFn, symbols: tuple[str, ...] = SYMBOLS) -> Model:
    dims = st.one_of(lengths, st.sampled_from(symbols))
    shapes = draw(st.lists(st.lists(dims, max_size=4).map(tuple), min_size=1, max_size=4))
    return model_of(**{f"input{index}": shape for index, shape in enumerate(shapes)})


def resolved(spec: TensorSpec, known: dict[str, int]) -> tuple[int, ...]:
    return tuple(known[d] if isinstance(d, str) else d for d in spec.shape)


@given(models(), st.fixed_dictionaries(dict.fromkeys(SYMBOLS, lengths)))
def test_shapes_decide_every_dimension_of_their_symbols(
    model: Model, known: dict[str, int]
) -> None:
    """Whole shapes of all inputs give back just these, and each symbol its one length."""
    shapes = {spec.name: resolved(spec, known) for spec in model.inputs}

    bound = bind(model, shapes=shapes)

    assert bound.shapes == shapes
    assert bound.symbols.items() <= known.items()
    assert bound.outputs == ("y",)


@given(models(), st.fixed_dictionaries(dict.fromkeys(SYMBOLS, lengths)), st.data())
def test_one_symbol_has_one_length_whoever_decides_it(
    model: Model, known: dict[str, int], data: st.DataObject
) -> None:
    """Any part may come from shapes and the rest from defaults."""
    some = data.draw(st.sets(st.sampled_from([spec.name for spec in model.inputs])))
    shapes = {spec.name: resolved(spec, known) for spec in model.inputs if spec.name in some}

    bound = bind(model, shapes=shapes, defaults=known)

    assert bound.shapes == {spec.name: resolved(spec, known) for spec in model.inputs}


@given(models(SYMBOLS + ARITHMETIC))
def test_what_stays_open_is_an_error_whose_options_close_it(model: Model) -> None:
    """The message is followed to the letter, and then the model is bound."""
    shapes: dict[str, tuple[int, ...]] = {}
    with suppress(ShapeError):
        bind(model)
        return
    with pytest.raises(ShapeError) as caught:
        bind(model)
    options = caught.value.fix.removeprefix("Add ").partition(", with")[0]
    shapes = dict(parse_shape(word) for word in options.split("--shape ") if word)
    assert set(shapes) <= {spec.name for spec in model.inputs}
    assert all(isinstance(d, int) for spec in bind(model, shapes=shapes).inputs for d in spec.shape)


@given(models(), st.data())
def test_a_shape_that_does_not_fit_is_refused(model: Model, data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(model.inputs))
    shape = [d if isinstance(d, int) else 7 for d in spec.shape]
    wrongs = ["rank", *(["zero"] if shape else [])]
    wrongs += ["fixed"] if any(isinstance(d, int) for d in spec.shape) else []
    wrong = data.draw(st.sampled_from(wrongs))
    if wrong == "rank":
        shape.append(1)
    elif wrong == "zero":
        shape[data.draw(st.integers(0, len(shape) - 1))] = data.draw(st.integers(-3, 0))
    else:
        at = next(axis for axis, d in enumerate(spec.shape) if isinstance(d, int))
        shape[at] += 1
    with pytest.raises(ShapeError, match=spec.name) as caught:
        bind(model, shapes={spec.name: tuple(shape)})
    assert caught.value.fix


def test_the_batch_is_one_unless_asked() -> None:
    model = model_of(x=("batch", 3), z=("batch", 2, "batch"))
    assert bind(model).shapes == {"x": (1, 3), "z": (1, 2, 1)}
    assert bind(model, 8).shapes == {"x": (8, 3), "z": (8, 2, 8)}
    assert bind(model, 8).symbols == {"batch": 8}
    assert bind(model, None, {"x": (4, 3)}).shapes == {"x": (4, 3), "z": (4, 2, 4)}


def test_an_open_first_axis_is_the_batch_whatever_its_name() -> None:
    """Each unnamed one too; and made-up symbols are not told as the file's."""
    model = model_of(x=("x.0", 3), z=("z.0", 2), scalar=())
    assert bind(model, 8).shapes == {"x": (8, 3), "z": (8, 2), "scalar": ()}
    assert bind(model, 8).symbols == {}


def test_a_batch_that_is_named_so_is_found_on_any_axis() -> None:
    """Recurrent models put the sequence first: its length is not the batch."""
    model = model_of(x=("length", "batch", 3))
    assert bind(model, 8, defaults={"length": 16}).shapes == {"x": (16, 8, 3)}


def test_a_sequence_on_the_first_axis_is_not_taken_for_a_batch() -> None:
    with pytest.raises(ShapeError, match="leaves lengths open"):
        bind(model_of(x=("seq_len", 3)))


def test_a_fixed_batch_may_be_asked_for_and_no_other() -> None:
    model = model_of(x=(1, 3))
    assert bind(model, 1).shapes == {"x": (1, 3)}
    with pytest.raises(ShapeError, match="cannot be 8: its inputs are x=1x3"):
        bind(model, 8)
    with pytest.raises(ShapeError, match="its inputs are none"):
        bind(model_of(), 2)
    with pytest.raises(ShapeError, match="1 or more"):
        bind(model, 0)


def test_shapes_that_contradict_are_refused_with_both_sources() -> None:
    model = model_of(ids=("batch", "length"), mask=("batch", "length"))
    with pytest.raises(ShapeError, match=r"'length' is 5 by input 'ids' and 6 by input 'mask'"):
        bind(model, shapes={"ids": (1, 5), "mask": (1, 6)})
    with pytest.raises(ShapeError, match=r"'batch' is 2 by input 'ids' and 3 by the batch"):
        bind(model, 3, {"ids": (2, 5)})


def test_an_unknown_input_is_refused_with_a_guess() -> None:
    with pytest.raises(ShapeError, match=r"Did you mean 'input_ids'\? Its inputs are input_ids"):
        bind(model_of(input_ids=("batch",)), shapes={"inputs_id": (1,)})


def test_the_option_to_add_is_spelled_out_once_for_each_symbol() -> None:
    model = model_of(ids=("batch", "length"), mask=("batch", "length"), x=("batch", 3, "h", "w"))
    with pytest.raises(ShapeError) as caught:
        bind(model, 2)
    assert caught.value.reason == "the model leaves lengths open: 'ids' (2xlength), 'x' (2x3xhxw)"
    assert caught.value.fix.startswith("Add --shape ids=2x128 --shape x=2x3x224x224,")


def test_defaults_fill_only_what_nothing_else_decides() -> None:
    model = model_of(ids=("batch", "length"))
    defaults = {"batch": 4, "length": 128, "other": 9}
    assert bind(model, None, {}, defaults).shapes == {"ids": (4, 128)}
    assert bind(model, 2, {}, defaults).shapes == {"ids": (2, 128)}
    assert bind(model, None, {"ids": (3, 7)}, defaults).shapes == {"ids": (3, 7)}
    assert bind(model, None, {}, defaults).symbols == {"batch": 4, "length": 128}


def test_a_symbol_that_is_arithmetic_follows_from_others() -> None:
    model = model_of(ids=("batch", "length"), mask=("batch", "past + length"), past=("2*past",))
    bound = bind(model, shapes={"ids": (1, 4)}, defaults={"past": 16})
    assert bound.shapes == {"ids": (1, 4), "mask": (1, 20), "past": (32,)}
    with pytest.raises(ShapeError, match="computes to 20"):
        bind(model, shapes={"ids": (1, 4), "mask": (1, 21), "past": (32,)}, defaults={"past": 16})


def test_arithmetic_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ShapeError, match="which is empty"):
        bind(model_of(ids=("batch", "length"), rest=("length - 4",)), shapes={"ids": (1, 4)})


@given(st.text(max_size=60), st.dictionaries(st.text(max_size=5), lengths))
def test_no_symbol_does_worse_than_stay_unknown(symbol: str, known: dict[str, int]) -> None:
    value = evaluate(symbol, known)
    assert value is None or isinstance(value, int)


@pytest.mark.parametrize(
    ("symbol", "value"),
    [
        ("2*batch", 8),
        ("(batch + 2) // 3", 2),
        ("a b", 7),
        ("batch - 1 + batch", 7),
        ("batch // 0", None),
        ("batch ** 9", None),
        ("__import__('os')", None),
        ("other", None),
        ("1.5", None),
        ("(" * 300, None),
    ],
)
def test_symbols_are_read_as_arithmetic_and_nothing_else(symbol: str, value: int | None) -> None:
    assert evaluate(symbol, {"batch": 4, "a b": 7}) == value


@pytest.mark.parametrize(
    ("own", "decided", "length"),
    [
        ((("batch", 3),), ((4, 3),), 4),
        ((("seq", "batch"), ("batch",)), ((7, 2), (2,)), 2),
        (((1, 3, 8, 8),), ((1, 3, 8, 8),), 1),
        (((1, 3), (2, 3)), ((1, 3), (2, 3)), None),
        ((), (), None),
    ],
)
def test_the_batch_is_what_one_inference_takes(
    own: tuple[tuple[int | str, ...], ...],
    decided: tuple[tuple[int, ...], ...],
    length: int | None,
) -> None:
    def specs(shapes: tuple[tuple[int | str, ...], ...]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(f"x{i}", "float32", shape) for i, shape in enumerate(shapes))

    assert batch_length(specs(own), specs(decided)) == length
