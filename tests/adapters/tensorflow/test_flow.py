"""Loops in TensorFlow: which are written out, and what XLA takes."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.adapters.graphs import normal, onnxruntime_says
from tests.adapters.importers.test_flow import COUNTING, check, counted, parsed, same
from tests.adapters.tensorflow.importer import kinds_of, read
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx
from xbench_adapters.tensorflow.lower import turns
from xbench_adapters.tensorflow.xla import compile_module


@pytest.mark.parametrize("count", [0, 1, 4, 300])
def test_loops_of_a_known_count(count: int) -> None:
    """A few turns are written out, many go through a loop."""
    feeds = {"x": normal(2)}
    module = check(counted(count), feeds)
    assert any(one.endswith("While") for one in kinds_of(module)) == (2 * count > turns.NODES)
    found = compile_module(module)(tf.constant(feeds["x"]))
    same(read(found), onnxruntime_says(counted(count), feeds))


def test_a_loop_whose_rows_only_the_run_counts_is_refused_for_xla() -> None:
    """XLA would stack as many rows as the first turn has: none."""
    with pytest.raises(UnsupportedNodeError, match="Loop"):
        compile_module(import_onnx(parsed(COUNTING)))


def test_branches_of_sequences_of_different_lengths_are_refused_at_import() -> None:
    text = """
    g (bool c, float[3] x) => (seq(float[3]) y) {
        y = If(c) <
            then_branch = t () => (seq(float[3]) a) { a = SequenceConstruct(x) },
            else_branch = e () => (seq(float[3]) b) { b = SequenceConstruct(x, x) }
        >
    }
    """
    with pytest.raises(UnsupportedNodeError, match="branches"):
        import_onnx(parsed(text))
