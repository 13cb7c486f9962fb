"""Normalisations, products, losses and signals: every version, and what is known only later."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    built,
    close,
    normal,
    onnxruntime_says,
    reference_says,
    same,
)
from tests.adapters.importers.chosen import (
    examples,
    few,
    given_by,
)
from tests.adapters.importers.refusals import refused
from xbench.errors import UnsupportedNodeError

node = helper.make_node
OPEN: tuple[dict[str, bool], ...] = ({}, {"lengths": False}, {"ranks": False})


def ranked(openness: dict[str, bool]) -> AbstractContextManager[None]:
    """Expect what is refused where not even the rank of the input is known."""
    return refused("inputs of an unknown rank", when=not openness.get("ranks", True))


def statistics(x: Any, channels: int) -> dict[str, Any]:
    four = {name: normal(channels, seed=place) for place, name in enumerate("sbmv")}
    return {"x": x, **four, "v": np.abs(four["v"]) + 0.1}


def batch_norm(outputs: list[str], **attributes: Any) -> Any:
    return node("BatchNormalization", ["x", *"sbmv"], outputs, epsilon=1e-3, **attributes)


@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 3), (4,)])
def test_batches_of_any_rank_by_given_statistics(shape: tuple[int, ...]) -> None:
    feeds = statistics(normal(*shape), shape[1] if len(shape) > 1 else 1)
    lengths = (-1,) + (1,) * (len(shape) - 2)
    s, b, m, v = (one.reshape(lengths) for name, one in feeds.items() if name != "x")
    wanted = (feeds["x"] - m) / np.sqrt(v + 1e-3) * s + b
    for opset, attributes in ((15, {}), (9, {}), (6, {"is_test": 1})):
        for openness in OPEN:
            with ranked(openness):
                found = given_by(batch_norm(["y"], **attributes), feeds, opset, **openness)
                same(found[0], wanted, 1e-4, 1e-5)


@pytest.mark.parametrize("opset", [1, 6, 7, 9, 14, 15])
def test_training_gives_running_statistics_too(opset: int) -> None:
    feeds = statistics(normal(4, 3, 5), 3)
    outputs = ["y", "rm", "rv"] + (["sm", "sv"] if opset < 14 else [])
    attributes = (
        {"training_mode": 1} if opset >= 14 else {"consumed_inputs": [0]} if opset == 1 else {}
    )
    x, own = feeds["x"], (feeds["x"].mean((0, 2)), feeds["x"].var((0, 2)))
    wanted = [
        (x - own[0][:, None]) / np.sqrt(own[1][:, None] + 1e-3) * feeds["s"][:, None]
        + feeds["b"][:, None],
        feeds["m"] * 0.9 + own[0] * 0.1,
        feeds["v"] * 0.9 + own[1] * 0.1,
        *own,
    ]  # fmt: skip
    found = given_by(batch_norm(outputs, **attributes), feeds, opset)
    for have, want in zip(found, wanted, strict=False):
        same(have, want.astype(np.float32), 1e-4, 1e-5)


def test_statistics_for_each_feature() -> None:
    x = normal(4, 3, 2)
    feeds = {name: one.reshape(3, 2) for name, one in statistics(x, 6).items() if name != "x"}
    wanted = (x - feeds["m"]) / np.sqrt(feeds["v"] + 1e-3) * feeds["s"] + feeds["b"]
    same(given_by(batch_norm(["y"], spatial=0), {"x": x, **feeds}, 7)[0], wanted, 1e-4, 1e-5)


def test_modes_that_contradict_each_other_are_refused() -> None:
    feeds = statistics(normal(2, 3, 4), 3)
    for outputs, tests in ((["y"], 0), (["y", "rm", "rv", "sm", "sv"], 1)):
        with pytest.raises(UnsupportedNodeError, match="is_test"):
            given_by(batch_norm(outputs, is_test=tests), feeds, 6)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 1, 1)])
def test_instances_of_a_single_element_are_normalised_too(shape: tuple[int, ...]) -> None:
    feeds = {"x": normal(*shape), "s": normal(3), "b": normal(3, seed=1)}
    one = node("InstanceNormalization", ["x", "s", "b"], ["y"])
    for openness in OPEN:
        with ranked(openness):
            close(given_by(one, feeds, **openness), reference_says(built(one, feeds), feeds))


def test_weights_for_each_group_where_that_version_is_still_used() -> None:
    feeds = {"x": normal(2, 4, 3), "s": normal(2), "b": normal(2, seed=1)}
    wide = feeds["x"].reshape(2, 2, -1)
    plain = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    scale, bias = (feeds[name].reshape(1, 2, 1) for name in "sb")
    one = node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2)
    for openness in OPEN:
        with ranked(openness):
            found = given_by(one, feeds, 18, **openness)[0]
            same(found, (plain * scale + bias).reshape(2, 4, 3), 1e-4, 1e-5)


@given(st.integers(-3, 2), st.booleans(), st.booleans(), st.sampled_from(OPEN))
@few
def test_layers_with_their_mean_and_deviation(
    axis: int, biased: bool, whole: bool, openness: dict[str, bool]
) -> None:
    shape = (2, 3, 4)[axis:]
    feeds = {"x": normal(2, 3, 4), "s": normal(*shape)} | ({"b": normal(*shape)} if biased else {})
    outputs = ["y", "m", "i"] if whole else ["y"]
    one = node("LayerNormalization", [*feeds], outputs, axis=axis)
    wanted = onnxruntime_says(built(one, feeds), feeds)
    with ranked(openness):
        close(given_by(one, feeds, **openness), wanted)


@pytest.mark.parametrize(
    "operator", ["LayerNormalization", "RMSNormalization", "GroupNormalization"]
)
@pytest.mark.parametrize("stash", [1, 10, 11, 16])
def test_statistics_in_a_type_of_their_own(operator: str, stash: int) -> None:
    x = (normal(2, 4, 6) + 3).astype(np.float16)
    weights = {"s": np.ones(4, np.float16), "b": np.zeros(4, np.float16)}
    if operator != "GroupNormalization":
        weights = {"s": np.ones(6, np.float16)}
    attributes: dict[str, Any] = {"num_groups": 2} if operator == "GroupNormalization" else {}
    one = node(operator, ["x", *weights], ["y"], stash_type=stash, **attributes)
    wide = x.astype(np.float64).reshape(2, 2, -1) if attributes else x.astype(np.float64)
    centred = wide if operator[0] == "R" else wide - wide.mean(-1, keepdims=True)
    wanted = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    loose = 0.1 if stash == 16 else 1e-2
    same(
        given_by(one, {"x": x, **weights}, 23)[0],
        wanted.reshape(x.shape).astype(np.float16),
        loose,
        loose,
    )


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3), (2, 5, 3, 2), (1, 5, 2, 2, 2)])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_responses_of_an_even_number_of_channels_reach_further_back(
    shape: tuple[int, ...], size: int
) -> None:
    x = normal(*shape)
    around = np.zeros_like(x)
    for place in range(shape[1]):
        first, last = max(0, place - (size - 1) // 2), min(shape[1] - 1, place + size // 2)
        around[:, place] = (x[:, first : last + 1] ** 2).sum(1)
    wanted = x / (1.5 + 0.3 / size * around) ** 0.75
    one = node("LRN", ["x"], ["y"], size=size, alpha=0.3, beta=0.75, bias=1.5)
    for openness in OPEN:
        with ranked(openness):
            same(given_by(one, {"x": x}, **openness)[0], wanted, 1e-4, 1e-5)


@pytest.mark.parametrize("shape", [(), (5,), (3, 1), (3, 5)])
def test_products_of_first_versions(shape: tuple[int, ...]) -> None:
    feeds = {"a": normal(3, 4), "b": normal(5, 4), "c": normal(*shape)}
    one = node("Gemm", ["a", "b", "c"], ["y"], transB=1, broadcast=1, alpha=0.5, beta=2.0)
    wanted = 0.5 * feeds["a"] @ feeds["b"].T + 2 * feeds["c"]
    for opset in (1, 6):
        same(given_by(one, feeds, opset)[0], wanted.astype(np.float32), 1e-4, 1e-5)


def test_products_of_whole_numbers_are_cut_once() -> None:
    feeds = {"a": np.array([[3]]), "b": np.array([[1]]), "c": np.array([[3]])}
    same(given_by(node("Gemm", [*"abc"], ["y"], alpha=0.5, beta=0.5), feeds)[0], np.array([[3]]))
    nothing = {"a": normal(2, 2), "b": normal(2, 2), "c": np.full(2, np.nan, np.float32)}
    found = given_by(node("Gemm", [*"abc"], ["y"], beta=0.0), nothing)[0]
    same(found, nothing["a"] @ nothing["b"])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "float16", "float32"])
@pytest.mark.parametrize("equation", ["ij->i", "ij,jk->ik", "...ij, ...jk", "ii->i", "ij->"])
def test_einstein_sums_keep_the_type(equation: str, dtype: str) -> None:
    feeds = {"a": np.arange(9).reshape(3, 3).astype(dtype), "b": np.eye(3).astype(dtype)}
    feeds = feeds if "," in equation else {"a": feeds["a"]}
    wanted = np.einsum(equation, *feeds.values())
    same(given_by(node("Einsum", [*feeds], ["y"], equation=equation), feeds, 28)[0], wanted)


def test_determinants() -> None:
    x = normal(2, 3, 3, 3)
    for dtype, loose in ((np.float64, 1e-5), (np.float32, 1e-4), (np.float16, 2e-2)):
        wanted = np.linalg.det(x.astype(dtype).astype(np.float64)).astype(dtype)
        same(
            given_by(node("Det", ["x"], ["y"]), {"x": x.astype(dtype)}, 22)[0], wanted, loose, loose
        )


@given(
    st.sampled_from([1, 2]),
    st.sampled_from([None, 3, 6, 9]),
    st.sampled_from([0, 1, -2, -3]),
    st.booleans(),
    st.booleans(),
)
@examples(40)
def test_fourier_transforms(
    parts: int, length: int | None, axis: int, back: bool, half: bool
) -> None:
    parts = (2 if back else 1) if half else parts
    x = normal(5, 6, parts).astype(np.float64)
    signal = x[..., 0] if parts == 1 else x[..., 0] + 1j * x[..., 1]
    place = axis % 3
    transform: Any = {(False, False): np.fft.fft, (False, True): np.fft.rfft,
                 (True, False): np.fft.ifft, (True, True): np.fft.irfft}[back, half]  # fmt: skip
    wanted = transform(signal, length, place)
    wanted = wanted[..., None] if back and half else np.stack([wanted.real, wanted.imag], -1)
    attributes: dict[str, Any] = {"inverse": int(back), "onesided": int(half)}
    inputs = ["x", "" if length is None else "n"]
    feeds = {"x": x} | ({} if length is None else {"n": np.int64(length)})
    same(given_by(node("DFT", inputs, ["y"], axis=axis, **attributes), feeds, 17)[0], wanted)
    feeds |= {"a": np.int64(axis)}
    same(
        given_by(node("DFT", [*inputs, "a"], ["y"], **attributes), feeds, lengths=False)[0], wanted
    )


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("inputs", [["w"], ["", "n"], ["w", "n"]])
def test_transforms_of_frames(parts: int, inputs: list[str]) -> None:
    values = {"w": np.abs(normal(8)), "n": np.int64(8)}
    feeds = {"x": normal(2, 30, parts), "s": np.int64(3)} | {n: values[n] for n in inputs if n}
    signal = feeds["x"][..., 0] if parts == 1 else feeds["x"][..., 0] + 1j * feeds["x"][..., 1]
    weights = values["w"] if "w" in inputs else 1
    frames = np.stack([signal[:, at : at + 8] * weights for at in range(0, 23, 3)], 1)
    wanted = np.fft.fft(frames)[..., : 5 if parts == 1 else 8]
    one = node("STFT", ["x", "s", *inputs], ["y"], onesided=int(parts == 1))
    wanted = np.stack([wanted.real, wanted.imag], -1).astype(np.float32)
    for openness in OPEN:
        same(given_by(one, feeds, **openness)[0], wanted, 1e-4, 1e-4)


@pytest.mark.parametrize("operator", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows_of_a_length_known_at_run_time(operator: str, periodic: int) -> None:
    one = node(operator, ["n"], ["y"], periodic=periodic)
    feeds = {"n": np.array(10)}
    same(given_by(one, feeds)[0], onnxruntime_says(built(one, feeds), feeds)[0])
    double = node(operator, ["n"], ["y"], periodic=periodic, output_datatype=11)
    assert given_by(double, feeds)[0].dtype == np.float64


@pytest.mark.parametrize("bands", [4, 20])
def test_bands_of_the_mel_scale(bands: int) -> None:
    feeds = {"b": np.int64(bands), "n": np.int64(64), "r": np.int64(8000),
             "l": np.float32(100), "h": np.float32(3900)}  # fmt: skip
    one = node("MelWeightMatrix", [*feeds], ["y"])
    same(given_by(one, feeds)[0], reference_says(built(one, feeds), feeds)[0])


@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.parametrize(
    ("operator", "kept", "attributes"),
    [
        ("Adagrad", 1, {"decay_factor": 0.1, "norm_coefficient": 0.01}),
        ("Momentum", 1, {"alpha": 0.9, "beta": 0.5, "norm_coefficient": 0.01, "mode": "standard"}),
        ("Momentum", 1, {"alpha": 0.9, "beta": 0.5, "norm_coefficient": 0.01, "mode": "nesterov"}),
        ("Adam", 2, {"norm_coefficient": 0.01, "norm_coefficient_post": 0.02}),
    ],
)
def test_steps_of_optimisers(operator: str, kept: int, attributes: Any, count: int) -> None:
    names = [f"{what}{place}" for what in "xgvh"[: 2 + kept] for place in (1, 2)]
    values = {name: np.abs(normal(2, 3, seed=place)) for place, name in enumerate(names)}
    feeds = {"r": np.float32(0.1), "t": np.int64(count), **values}
    outputs = [f"{what}_{place}" for what in "xvh"[: 1 + kept] for place in (1, 2)]
    domain = "ai.onnx.preview.training"
    one = node(operator, [*feeds], outputs, domain=domain, **attributes)
    wanted = reference_says(built(one, feeds), feeds)
    close(given_by(one, feeds), [want.astype(np.float32) for want in wanted])
