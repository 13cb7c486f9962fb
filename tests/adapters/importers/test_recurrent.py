"""Recurrent networks against ONNX Runtime: every attribute, known and given as they run."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import close, model, normal, onnxruntime_says
from tests.adapters.importers.chosen import agree, examples, import_onnx, run
from xbench.errors import UnsupportedNodeError

node = helper.make_node
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
NAMES = [
    "Affine", "Elu", "HardSigmoid", "LeakyRelu", "Relu", "ScaledTanh",
    "Sigmoid", "Softplus", "Softsign", "Tanh",
]  # fmt: skip
BOTH, ALPHA = ("Affine", "HardSigmoid", "ScaledTanh"), ("Elu", "LeakyRelu")
operators = st.sampled_from(["LSTM", "GRU", "RNN"])
directions = st.sampled_from(["forward", "reverse", "bidirectional"])


def tensors(operator: str, direction: str, extras: list[str]) -> dict[str, Any]:
    """Return inputs by name: 5 steps, a batch of 2, 3 in, 4 out."""
    both, gates = 2 if direction == "bidirectional" else 1, GATES[operator]
    shapes = {
        "x": (5, 2, 3),
        "w": (both, gates * 4, 3),
        "r": (both, gates * 4, 4),
        "b": (both, gates * 8),
        "lens": (2,),
        "h0": (both, 2, 4),
        "c0": (both, 2, 4),
        "p": (both, 12),
    }
    wanted = ["x", "w", "r", *extras]
    found = {name: 0.5 * normal(*shapes[name], seed=len(name) + ord(name[0])) for name in wanted}
    if "lens" in found:
        found["lens"] = np.array([3, 5], np.int32)
    return {
        name: one.astype(np.int32 if name == "lens" else np.float32) for name, one in found.items()
    }


def network(operator: str, arrays: dict[str, Any], **attributes: Any) -> tuple[Any, list[str]]:
    """Return a node over the arrays, and its outputs."""
    inputs = [name if name in arrays else "" for name in ("x", "w", "r", "b", "lens", "h0")]
    outputs = ["y", "h"]
    if operator == "LSTM":
        inputs += [name if name in arrays else "" for name in ("c0", "p")]
        outputs.append("c")
    return node(operator, inputs, outputs, hidden_size=4, **attributes), outputs


def split(arrays: dict[str, Any], known: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is fed and what is held: all but the input, or nothing."""
    held = {name: one for name, one in arrays.items() if known and name != "x"}
    return {name: one for name, one in arrays.items() if name not in held}, held


@given(st.data(), operators, directions, st.booleans())
@examples(60)
def test_every_combination_of_inputs_and_options(
    data: st.DataObject, operator: str, direction: str, known: bool
) -> None:
    options = ["b", "lens", "h0"] + ["c0", "p"] * (operator == "LSTM")
    extras = data.draw(st.lists(st.sampled_from(options), unique=True))
    attributes: dict[str, Any] = {"direction": direction}
    if data.draw(st.booleans()):
        attributes["clip"] = 0.6
    variant = {"GRU": "linear_before_reset", "LSTM": "input_forget"}.get(operator)
    if variant:
        attributes[variant] = data.draw(st.integers(0, 1))
    arrays = tensors(operator, direction, extras)
    one, outputs = network(operator, arrays, **attributes)
    feeds, held = split(arrays, known)
    agree([one], feeds, outputs, held, opset=data.draw(st.sampled_from([7, 14, 22])))


@given(st.data(), operators, directions)
@examples(40)
def test_every_activation_with_its_own_alpha_and_beta(
    data: st.DataObject, operator: str, direction: str
) -> None:
    """Those that take an alpha or a beta take the next one of the list."""
    both = 2 if direction == "bidirectional" else 1
    count = ACTIVATIONS[operator] * both
    # ONNX Runtime counts RNN's by direction: of one kind, both readings are the same.
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=count, max_size=count))
    names = names[:1] * count if operator == "RNN" else names
    alphas = [0.3 + 0.1 * place for place, one in enumerate(names) if one in BOTH + ALPHA]
    betas = [0.4 + 0.1 * place for place, one in enumerate(names) if one in BOTH]
    attributes: dict[str, Any] = {"activations": names, "direction": direction}
    if alphas and (len(alphas) < count or set(names) <= {*BOTH, *ALPHA}):
        attributes["activation_alpha"] = alphas
    if betas and (len(betas) < count or set(names) <= set(BOTH)):
        attributes["activation_beta"] = betas
    arrays = tensors(operator, direction, ["b"])
    one, outputs = network(operator, arrays, **attributes)
    agree([one], *split(arrays, True)[:1], outputs, split(arrays, True)[1])


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("variant", [0, 1])
def test_the_batch_may_come_first(operator: str, direction: str, variant: int) -> None:
    """ONNX Runtime has no such layout: the result is that of the other one, turned."""
    extras = ["b", "h0"] + ["c0"] * (operator == "LSTM")
    arrays = tensors(operator, direction, extras)
    attributes: dict[str, Any] = {"direction": direction}
    if operator == "GRU":
        attributes["linear_before_reset"] = variant
    one, outputs = network(operator, arrays, **attributes)
    wanted = onnxruntime_says(model([one], arrays, outputs), arrays)
    turned = {
        name: np.ascontiguousarray(array.swapaxes(0, 1)) if name in ("x", "h0", "c0") else array
        for name, array in arrays.items()
    }
    one, _ = network(operator, arrays, layout=1, **attributes)
    found = run(import_onnx(model([one], turned, outputs)), turned)
    np.testing.assert_allclose(found[0], wanted[0].transpose(2, 0, 1, 3), rtol=1e-4, atol=1e-5)
    for have, want in zip(found[1:], wanted[1:], strict=True):
        np.testing.assert_allclose(have, want.swapaxes(0, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("variant", [0, 1])
def test_steps_and_batch_may_be_open(operator: str, direction: str, variant: int) -> None:
    arrays = tensors(operator, direction, ["b"])
    attributes = {"linear_before_reset": variant} if operator == "GRU" else {}
    one, outputs = network(operator, arrays, direction=direction, **attributes)
    feeds, held = split(arrays, True)
    whole = model([one], feeds, outputs, held)
    for place, name in enumerate(("steps", "batch")):
        whole.graph.input[0].type.tensor_type.shape.dim[place].dim_param = name
    module = import_onnx(whole)
    for steps, batch in ((5, 2), (1, 3)):
        fed = {"x": normal(steps, batch, 3)}
        close(run(module, fed), onnxruntime_says(whole, fed))


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
def test_sequence_lengths_may_differ_from_run_to_run(operator: str) -> None:
    arrays = tensors(operator, "bidirectional", ["b", "lens", "h0"])
    one, outputs = network(operator, arrays, direction="bidirectional")
    module = agree([one], arrays, outputs)
    for lengths in ([1, 4], [5, 5], [2, 2]):
        feeds = arrays | {"lens": np.array(lengths, np.int32)}
        close(run(module, feeds), onnxruntime_says(model([one], feeds, outputs), feeds))


@pytest.mark.parametrize("operator", ["LSTM", "GRU"])
def test_a_sequence_of_no_steps_ends_with_zeros(operator: str) -> None:
    arrays = tensors(operator, "forward", ["h0", "lens"])
    arrays["lens"] = np.array([0, 5], np.int32)
    one, outputs = network(operator, arrays)
    agree([one], arrays, outputs)


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
def test_the_first_version_is_the_same_network(operator: str) -> None:
    """Its default direction is misspelt, and its outputs are all given."""
    arrays = tensors(operator, "forward", ["b"])
    one, outputs = network(operator, arrays)
    wanted = onnxruntime_says(model([one], arrays, outputs, opset=7), arrays)
    close(run(import_onnx(model([one], arrays, outputs, opset=1)), arrays), wanted)


@pytest.mark.parametrize(
    ("attributes", "detail"),
    [
        ({"activations": ["Sigmoid", "Cosine", "Tanh"]}, "activations"),
        ({"activations": ["Sigmoid", "Tanh"]}, "activations"),
        ({"activations": ["Sigmoid", "ThresholdedRelu", "Tanh"]}, "activation_alpha"),
        (
            {"activations": ["Sigmoid", "Elu", "Tanh"], "activation_alpha": [0.1, 0.2, 0.3]},
            "activation_alpha",
        ),
        ({"clip": 0.0}, "clip"),
        ({"direction": "sideways"}, "direction"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(attributes: dict[str, Any], detail: str) -> None:
    arrays = tensors("LSTM", "forward", [])
    one, outputs = network("LSTM", arrays, **attributes)
    with pytest.raises(UnsupportedNodeError, match=detail):
        import_onnx(model([one], arrays, outputs))


def test_half_and_double_floats_keep_their_type() -> None:
    for dtype, tolerance in ((np.float16, 2e-2), (np.float64, 1e-5)):
        arrays = tensors("LSTM", "forward", ["b", "lens"])
        one, outputs = network("LSTM", arrays)
        wanted = onnxruntime_says(model([one], arrays, outputs), arrays)
        cast = {
            name: array if name == "lens" else array.astype(dtype) for name, array in arrays.items()
        }
        found = run(import_onnx(model([one], cast, outputs)), cast)
        close(found, [want.astype(dtype) for want in wanted], tolerance, tolerance)


def test_outputs_that_nobody_wants_are_not_asked_for() -> None:
    arrays = tensors("LSTM", "forward", ["b"])
    one = node("LSTM", ["x", "w", "r", "b"], ["", "", "c"], hidden_size=4)
    assert isinstance(one, onnx.NodeProto)
    agree([one], arrays, ["c"])


def many_steps(operator: str, direction: str, extras: list[str]) -> Any:
    """Return a network over 150 steps, after it agreed."""
    arrays = tensors(operator, direction, ["b", "h0", *extras])
    arrays["x"] = normal(150, 2, 3)
    if extras:
        arrays["lens"] = np.array([70, 150], np.int32)
    one, outputs = network(operator, arrays, direction=direction)
    feeds, held = split(arrays, True)
    return agree([one], feeds, outputs, held)


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("extras", [[], ["lens"]])
def test_many_steps(operator: str, direction: str, extras: list[str]) -> None:
    many_steps(operator, direction, extras)
