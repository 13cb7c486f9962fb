"""TensorFlow at each precision: what is computed is right, and what it is computed in is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import helper

from tests.adapters.graphs import model, normal, onnxruntime_says
from tests.adapters.narrow import halved, quantised
from tests.adapters.tensorflow.test_adapter import python
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.errors import UsageError
from xbench.testing.conformance import infer
from xbench_adapters.tensorflow import TensorFlowAdapter, import_onnx
from xbench_adapters.tensorflow.precision import hlo_operated_in, operated_in

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(threads=1)
FEEDS = {"x": normal(1, 8, 8, 8)}
WEIGHTS = {
    "k": normal(16, 8, 3, 3, seed=1) / 8,
    "d": normal(16, 1, 3, 3, seed=2) / 3,
    "s": 1 + np.abs(normal(16, seed=3)),
    "b": normal(16, seed=4),
    "w": normal(16 * 16, 10, seed=5) / 16,
}
NODES = [
    helper.make_node("Conv", ["x", "k"], ["c"]),
    helper.make_node("BatchNormalization", ["c", "s", "b", "b", "s"], ["n"]),
    helper.make_node("Relu", ["n"], ["r"]),
    helper.make_node("Conv", ["r", "d"], ["e"], group=16),
    helper.make_node("Flatten", ["e"], ["f"]),
    helper.make_node("MatMul", ["f", "w"], ["p"]),
    helper.make_node("Softmax", ["p"], ["y"]),
]
ALONE = {
    "convolution": helper.make_node("Conv", ["x", "k"], ["y"]),
    "each channel": helper.make_node("Conv", ["x", "d"], ["y"], group=8),
    "product": helper.make_node("MatMul", ["x", "m"], ["y"]),
    "sum": helper.make_node("Add", ["x", "x"], ["y"]),
}
ALONE_WEIGHTS = {
    "k": WEIGHTS["k"], "d": normal(16, 1, 3, 3, seed=2), "m": normal(8, 4, seed=6),
}  # fmt: skip
STEP = {"fp16": 2.0**-10, "bf16": 2.0**-7}


def bound(whole: onnx.ModelProto, folder: Path) -> BoundModel:
    onnx.save(whole, folder / "m.onnx")
    specs = tuple(TensorSpec(name, "float32", one.shape) for name, one in FEEDS.items())
    return BoundModel(folder / "m.onnx", specs, ("y",), {})


def load(whole: onnx.ModelProto, folder: Path, precision: str, variant: str = "") -> Any:
    return TensorFlowAdapter(variant).load(bound(whole, folder), LIMITS, precision)


def one(name: str, precision: str) -> onnx.ModelProto:
    """Return a model of one node in a narrow type."""
    node = ALONE[name]
    weights = {key: ALONE_WEIGHTS[key] for key in node.input if key != "x"}
    return halved([node], FEEDS, ["y"], weights, precision)


@pytest.mark.parametrize("variant", ["", "xla"])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_narrow_net_is_near_the_whole_one(tmp_path: Path, precision: str, variant: str) -> None:
    """It rounds as its type does: not less, or it were not that type, and not much more."""
    session = load(halved(NODES, FEEDS, ["y"], WEIGHTS, precision), tmp_path, precision, variant)
    found = infer(session, FEEDS)["y"]
    (wanted,) = onnxruntime_says(model(NODES, FEEDS, ["y"], WEIGHTS), FEEDS)
    off = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert found.dtype == np.float32
    assert STEP[precision] / 100 < off < STEP[precision] * 10


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", ALONE)
def test_what_multiplies_is_told(tmp_path: Path, name: str, precision: str) -> None:
    """On CPUs, what TensorFlow's kernels would sum in too few bits is widened, and says fp32."""
    session = load(one(name, precision), tmp_path, precision)
    infer(session, FEEDS)
    wide = name in ("product", "each channel")
    assert session.facts().precision == ("fp32" if wide else precision)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", ["convolution", "product"])
def test_what_xla_makes_of_it_is_read_from_what_it_compiles(
    tmp_path: Path, name: str, precision: str
) -> None:
    """For these CPUs XLA widens narrow products, whatever the function says."""
    session = load(one(name, precision), tmp_path, precision, "xla")
    infer(session, FEEDS)
    assert session.facts().precision == "fp32"


WITH_ONEDNN = """
import sys
from pathlib import Path
import numpy as np
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.testing.conformance import infer
from xbench_adapters.tensorflow import TensorFlowAdapter
limits = Limits(threads=1)
adapter = TensorFlowAdapter("onednn")
adapter.prepare(limits)
given = np.load(sys.argv[1])
specs = (TensorSpec("x", "float32", given["x"].shape),)
for path, precision, told in zip(*[iter(sys.argv[2:])] * 3):
    session = adapter.load(BoundModel(Path(path), specs, ("y",), {}), limits, precision)
    found = infer(session, {"x": given["x"]})["y"]
    assert session.facts().precision == told, (precision, session.facts())
    assert np.abs(found - given["y"]).max() < 2e-2 * np.abs(given["y"]).max(), precision
"""


def test_with_onednn_bfloat16_is_multiplied_as_such_and_float16_is_not(tmp_path: Path) -> None:
    """In a process of its own: which kernels compute is the process's."""
    product = model([ALONE["product"]], FEEDS, ["y"], {"m": ALONE_WEIGHTS["m"]}, 21)
    np.savez(tmp_path / "feeds.npz", y=onnxruntime_says(product, FEEDS)[0], x=FEEDS["x"])
    files = {"fp32": product, **{kind: one("product", kind) for kind in ("fp16", "bf16")}}
    arguments = [str(tmp_path / "feeds.npz")]
    for precision, told in (("fp32", "fp32"), ("fp16", "fp32"), ("bf16", "bf16")):
        onnx.save(files[precision], tmp_path / f"{precision}.onnx")
        arguments += [str(tmp_path / f"{precision}.onnx"), precision, told]
    python(WITH_ONEDNN, arguments=arguments, TF_ENABLE_ONEDNN_OPTS="0")


def test_several_precisions_are_all_told(tmp_path: Path) -> None:
    session = load(halved(NODES, FEEDS, ["y"], WEIGHTS, "fp16"), tmp_path, "fp16")
    assert session.facts().precision == "fp16+fp32"


@pytest.mark.parametrize("variant", ["", "xla"])
def test_a_quantised_net_is_computed_in_float32_and_says_so(tmp_path: Path, variant: str) -> None:
    """TensorFlow has no kernels for it: floats are rounded to what int8 would hold."""
    nodes = [*NODES[:1], *NODES[2:]]
    nodes[1] = helper.make_node("Relu", ["c"], ["r"])
    kept = {name: WEIGHTS[name] for name in ("k", "d", "w")}
    whole = model(nodes, FEEDS, ["y"], kept, 21)
    made = quantised(whole, [{"x": normal(1, 8, 8, 8, seed=seed)} for seed in range(7, 11)])
    session = load(made, tmp_path, "int8", variant)
    found = infer(session, FEEDS)["y"]
    assert session.facts().precision == "fp32"
    wanted, exact = (onnxruntime_says(each, FEEDS)[0] for each in (made, whole))
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()
    assert np.abs(found - exact).max() > 1e-4 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["product", "each channel"])
def test_where_kernels_sum_in_enough_bits_nothing_is_widened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """On GPUs halves are multiplied as such, by the graph that is traced where one is seen."""
    whole = one(name, "fp16")
    for module in ("lower.widths", "lower.convolution", "builder"):
        monkeypatch.setattr(f"xbench_adapters.tensorflow.{module}.gpu_is_on", lambda: True)
    traced = import_onnx(whole).traced()
    assert operated_in(traced) == {"fp16"}
    found = traced(tf.constant(FEEDS["x"]))[0].numpy()
    (wanted,) = onnxruntime_says(whole, FEEDS)
    np.testing.assert_allclose(found, wanted, rtol=0.01, atol=0.01)


def test_products_within_branches_are_seen() -> None:
    weight = tf.constant(normal(8, 8), tf.float16)

    def branch(x: Any) -> Any:
        return tf.cond(x[0, 0] > 0, lambda: tf.linalg.matmul(x, weight), lambda: x)

    spec = [tf.TensorSpec([8, 8], tf.float16)]
    traced = tf.function(branch, input_signature=spec, autograph=False).get_concrete_function()
    assert operated_in(traced) == {"fp16"}


GPU_HLO = """
%fused (p0: f16[8,8], p1: f16[8,4]) -> f32[8,4] {
  %p0 = f16[8,8]{1,0} parameter(0)
  %p1 = f16[8,4]{1,0} parameter(1)
  ROOT %dot.1 = f32[8,4]{1,0} dot(%p0, %p1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
ENTRY %main (a: bf16[8,8]) -> bf16[8,8] {
  %a = bf16[8,8]{1,0} parameter(0)
  %scores = (f32[8,8]{1,0}, s8[64]{0}) custom-call(%a, %a), custom_call_target="__cublas$gemm"
  ROOT %twice = bf16[8,8]{1,0} add(%a, %a)
}
"""


def test_the_type_of_a_product_is_that_of_what_is_multiplied() -> None:
    """Sums of halves in float32 are products of halves; a library's products count as well."""
    assert hlo_operated_in(GPU_HLO) == {"fp16", "bf16"}
    assert hlo_operated_in("  ROOT %twice = bf16[8,8]{1,0} add(%a, %a)") == {"bf16"}
    assert hlo_operated_in("nothing") == set()


@pytest.mark.parametrize("variant", ["", "xla"])
def test_a_default_that_narrows_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    """The row of an fp32 model tells what numbers show, not what was asked for."""
    found = tf.linalg.matmul

    def rounded(x: Any, other: Any) -> Any:
        return found(tf.cast(tf.cast(x, tf.bfloat16), tf.float32), other)

    whole = model([ALONE["product"]], FEEDS, ["y"], {"m": ALONE_WEIGHTS["m"]}, 21)
    monkeypatch.setattr(tf.linalg, "matmul", rounded)
    assert load(whole, tmp_path, "fp32", variant).facts().precision == "bf16"
    monkeypatch.undo()
    assert load(whole, tmp_path, "fp32", variant).facts().precision == "fp32"


def test_tf32_is_not_to_be_had_on_cpus(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tf32"):
        load(one("sum", "fp16"), tmp_path, "tf32")
