"""SavedModels that do more than compute are refused before they are loaded; imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.tensorflow.keras_models import tagger
from xbench.errors import ModelError
from xbench_models.tensorflow.source import program
from xbench_models.tensorflow.trust import computes, refuse_unsafe

SPEC = tf.TensorSpec((None, 3), tf.float32, name="x")


def save(folder: Path, call: Callable[[Any], Any], module: Any = None) -> Path:
    """Write a SavedModel that serves a function of one input."""
    module = tf.Module() if module is None else module
    module.weight = tf.Variable(2.0)
    served = tf.function(lambda x: call(x) * module.weight, input_signature=[SPEC])
    tf.saved_model.save(module, str(folder), signatures=served)
    return folder


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Return a file that is written if something runs."""
    return tmp_path / "ran"


def writes(marker: Path, x: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file(str(marker), "ran")]):
        return tf.identity(x)


def in_a_branch(marker: Path, x: Any) -> Any:
    return tf.cond(tf.reduce_sum(x) > 0, lambda: writes(marker, x), lambda: x)


def reads(marker: Path, x: Any) -> Any:
    return x * tf.cast(tf.strings.length(tf.io.read_file(str(marker))), tf.float32)


def by_a_reader(marker: Path, x: Any) -> Any:
    queue = tf.raw_ops.FIFOQueueV2(component_types=[tf.string])
    reader = tf.raw_ops.WholeFileReaderV2()
    value = tf.raw_ops.ReaderReadV2(reader_handle=reader, queue_handle=queue).value
    return x * tf.cast(tf.strings.length(value), tf.float32)


def in_a_constant(marker: Path, x: Any) -> Any:
    """A graph in a graph, as bytes: lists of what is dangerous do not see it."""
    with tf.Graph().as_default() as graph:
        writes(marker, tf.constant(1.0))
    hidden = tf.raw_ops.DatasetFromGraph(graph_def=graph.as_graph_def().SerializeToString())
    cardinality = tf.raw_ops.DatasetCardinality(input_dataset=hidden)
    return x * tf.cast(cardinality, tf.float32)


def in_python(marker: Path, x: Any) -> Any:
    return tf.ensure_shape(tf.py_function(lambda one: one, [x], tf.float32), [None, 3])


def as_a_checkpoint(marker: Path, x: Any) -> Any:
    """With the operation that saves variables, which every SavedModel holds."""
    names, slices = tf.constant(["x"]), tf.constant([""])
    tf.raw_ops.SaveV2(prefix=str(marker), tensor_names=names, shape_and_slices=slices, tensors=[x])
    return x


def prints_to_a_file(marker: Path, x: Any) -> Any:
    tf.print("ran", output_stream=f"file://{marker}")
    return x


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (writes, "WriteFile"),
        (in_a_branch, "WriteFile"),
        (reads, "ReadFile"),
        (by_a_reader, "WholeFileReaderV2"),
        (in_a_constant, "DatasetFromGraph"),
        (in_python, "EagerPyFunc"),
        (as_a_checkpoint, "SaveV2"),
        (prints_to_a_file, "PrintV2"),
    ],
)
def test_what_reaches_outside_is_named_and_not_loaded(
    tmp_path: Path, marker: Path, call: Callable[[Path, Any], Any], named: str
) -> None:
    folder = save(tmp_path / "saved", lambda x: call(marker, x))
    assert not marker.exists()
    with pytest.raises(ModelError, match=named) as raised:
        program("saved_model", str(folder), 0, trusted=False)
    assert "--trust" in raised.value.fix
    assert not list(tmp_path.glob("ran*")), "it ran"


def test_who_trusts_it_may_load_it(tmp_path: Path, marker: Path) -> None:
    found = program(
        "saved_model", str(save(tmp_path / "saved", lambda x: writes(marker, x))), 0, trusted=True
    )
    found.traced()(tf.ones((1, 3)))
    assert marker.exists()


class Initialised(tf.Module):  # type: ignore[misc] # TensorFlow ships no types
    """Reads a table from a file as soon as it is loaded."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        whole = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        kinds = tf.string, whole[0], tf.int64, whole[1]
        self.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(str(file), *kinds), 0)


def test_what_loading_runs_is_seen(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    folder = save(tmp_path / "saved", lambda x: x + 1, Initialised(tmp_path / "words.txt"))
    with pytest.raises(ModelError, match="InitializeTableFromTextFileV2"):
        refuse_unsafe(folder)


def test_a_function_that_saves_is_not_called_by_others(tmp_path: Path) -> None:
    """The checkpoint's machinery is let through where it stands, and not behind a signature."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    folder = save(tmp_path / "saved", lambda x: x + 1)
    refuse_unsafe(folder)
    path = folder / "saved_model.pb"
    saved = SavedModel.FromString(path.read_bytes())
    graph = saved.meta_graphs[0].graph_def
    saver = next(f for f in graph.library.function if "traced_save" in f.signature.name)
    served = next(f for f in graph.library.function if "signature_wrapper" in f.signature.name)
    call = next(n for n in served.node_def if n.op == "StatefulPartitionedCall")
    call.attr["f"].func.name = saver.signature.name
    path.write_bytes(saved.SerializeToString())
    with pytest.raises(ModelError, match="MergeV2Checkpoints, SaveV2"):
        refuse_unsafe(folder)


def test_a_name_given_twice_hides_nothing(tmp_path: Path, marker: Path) -> None:
    """A harmless function cannot stand before a harmful one of its name."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    folder = save(tmp_path / "saved", lambda x: writes(marker, x))
    path = folder / "saved_model.pb"
    saved = SavedModel.FromString(path.read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    for function in list(functions):
        functions.add(signature=function.signature)
    path.write_bytes(saved.SerializeToString())
    with pytest.raises(ModelError, match="WriteFile"):
        refuse_unsafe(folder)


def test_what_computes_is_let_through(tmp_path: Path) -> None:
    """Recurrent layers with their loops, a table of numbers, and random numbers."""
    tagger().export(tmp_path / "tagger", verbose=False)
    refuse_unsafe(tmp_path / "tagger")
    keys, values = np.arange(3, dtype=np.int64), np.arange(3, dtype=np.float32)
    module = tf.Module()
    pairs = tf.lookup.KeyValueTensorInitializer(keys, values)
    module.table = tf.lookup.StaticHashTable(pairs, 0.0)
    looked = save(
        tmp_path / "table",
        lambda x: module.table.lookup(tf.cast(x, tf.int64)) + tf.random.normal([3]),
        module,
    )
    refuse_unsafe(looked)


def test_a_model_that_was_trained_is_let_through(tmp_path: Path) -> None:
    """Its optimiser's variables and its training come along."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    refuse_unsafe(tmp_path / "saved")


@pytest.mark.parametrize("operation", ["MatMul", "While", "TensorListStack", "ResourceApplyAdam"])
def test_operations_that_compute_are_known(operation: str) -> None:
    assert computes(operation)


@pytest.mark.parametrize(
    "operation", ["NoSuchOp", "PyFuncStateless", "MatchingFiles", "ImmutableConst", "RemoteCall"]
)
def test_operations_that_do_more_or_that_nobody_knows_are_not(operation: str) -> None:
    assert not computes(operation)
