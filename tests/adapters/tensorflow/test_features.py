"""Operators of ai.onnx.ml on features, and ensembles of trees, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adapters.pytorch.graphs import few, normal, onnxruntime_says
from tests.adapters.pytorch.test_text import ML, model, texts
from tests.adapters.pytorch.test_trees import MODES, ensemble, grown, kinds, rows
from tests.adapters.tensorflow.graphs import run
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

few = settings(few, max_examples=10)


def agree(operator: str, feeds: dict[str, Any], outputs: int = 1, **more: Any) -> None:
    """Check an operator against ONNX Runtime."""
    whole = model(operator, feeds, outputs, domain=ML, **more)
    found = run(import_onnx(whole), feeds)
    for want, have in zip(onnxruntime_says(whole, feeds), found, strict=True):
        if have.dtype == object:
            assert [one.decode() for one in have] == list(want)
            continue
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
def test_features_are_scaled(dtype: str) -> None:
    x = (normal(3, 2) * 5).astype(dtype)
    agree("Scaler", {"x": x}, offset=[0.5, -2.0], scale=[2.0, 0.25])
    agree("Scaler", {"x": x}, offset=[0.5], scale=[2.0])


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_features_are_normalized(norm: str) -> None:
    agree("Normalizer", {"x": normal(4, 3)}, norm=norm)
    agree("Normalizer", {"x": np.zeros((3,), np.float32)}, norm=norm)


@pytest.mark.parametrize("replaced", [0.0, float("nan")])
@pytest.mark.parametrize("values", [[7.0], [7.0, 8.0]])
def test_missing_features_are_filled(replaced: float, values: list[float]) -> None:
    x = np.array([[0, np.nan], [1, 0], [np.nan, 2]], np.float32)
    agree("Imputer", {"x": x}, imputed_value_floats=values, replaced_value_float=replaced)
    whole = np.array([[0, 1], [2, 0]])
    agree("Imputer", {"x": whole}, imputed_value_int64s=[7, 8], replaced_value_int64=0)


def test_features_stand_side_by_side() -> None:
    feeds = {"a": normal(2, 3), "b": normal(2, 2, seed=1)}
    agree("FeatureVectorizer", feeds, inputdimensions=[3, 2])


def test_categories() -> None:
    agree("OneHotEncoder", {"x": np.array([[3, 1], [4, 9]])}, cats_int64s=[1, 3, 4])
    agree("OneHotEncoder", {"x": texts("b", "z")}, cats_strings=["a", "b"])
    x = np.array([1, 7])
    strict = import_onnx(model("OneHotEncoder", {"x": x}, domain=ML, cats_int64s=[1], zeros=0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="categories"):
        strict(tf.constant(x))


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
def test_linear_models(transform: str) -> None:
    shared = {
        "coefficients": normal(12, seed=1).tolist(),
        "intercepts": normal(3, seed=2).tolist(),
        "post_transform": transform,
    }
    feeds = {"x": normal(5, 4)}
    agree("LinearRegressor", feeds, targets=3, **shared)
    agree("LinearClassifier", feeds, 2, classlabels_ints=[7, 8, 9], **shared)
    agree("LinearClassifier", feeds, 2, classlabels_strings=["a", "b", "c"], **shared)


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
def test_support_vectors(kernel: str) -> None:
    agree(
        "SVMRegressor",
        {"x": normal(5, 2)},
        kernel_type=kernel,
        kernel_params=[0.3, 0.5, 2.0],
        n_supports=3,
        coefficients=[0.5, -1.0, 2.0],
        rho=[0.25],
        support_vectors=normal(6, seed=1).tolist(),
    )


@given(
    st.integers(0, 99),
    kinds,
    st.sampled_from(["SUM", "AVERAGE", "MIN", "MAX"]),
    st.booleans(),
    st.sampled_from(["float32", "float64", "missing"]),
)
@few
def test_regressors(seed: int, modes: list[str], together: str, based: bool, dtype: str) -> None:
    missing = dtype == "missing"
    agree(
        "TreeEnsembleRegressor",
        {"x": rows(seed, "float32" if missing else dtype, missing=missing)},
        version=1 if dtype == "float64" else 3,
        n_targets=2,
        aggregate_function=together,
        base_values=[0.5, -1.0] if based else None,
        **grown(seed, "target", [0, 1], modes),
    )


@given(
    st.integers(0, 99),
    kinds,
    st.sampled_from(["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]),
    st.booleans(),
    st.sampled_from(["float32", "float64", "int64"]),
)
@few
def test_classifiers_of_several_classes(
    seed: int, modes: list[str], transform: str, named: bool, dtype: str
) -> None:
    labels: dict[str, Any] = {"classlabels_int64s": [4, 5, 9]}
    if named:
        labels = {"classlabels_strings": ["a", "b", "c"]}
    agree(
        "TreeEnsembleClassifier",
        {"x": rows(seed, dtype, missing=False)},
        2,
        version=1,
        post_transform=transform,
        base_values=[0.5, -1.0, 0.25],
        **labels,
        **grown(seed, "class", [0, 1, 2], modes),
    )


@given(st.integers(0, 99), st.booleans(), st.sampled_from(["NONE", "LOGISTIC"]))
@few
def test_classifiers_of_two_classes_by_one_score(seed: int, positive: bool, transform: str) -> None:
    agree(
        "TreeEnsembleClassifier",
        {"x": rows(seed, "float32", missing=False)},
        2,
        version=1,
        post_transform="NONE" if positive else transform,
        classlabels_int64s=[4, 5],
        **grown(seed, "class", [0], MODES[:1], positive=positive),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("together", "wanted"),
    [
        (0, [[500.5, 0], [50, 5], [50, 5], [50, 5], [500, 5]]),
        (1, [[1001, 0], [100, 10], [100, 10], [100, 10], [1000, 10]]),
        (2, [[1, 0], [100, 10], [100, 10], [100, 10], [1000, 10]]),
        (3, [[1000, 0], [100, 10], [100, 10], [100, 10], [1000, 10]]),
    ],
)
def test_trees_whose_leaves_are_listed_apart(together: int, wanted: Any, dtype: type) -> None:
    x: Any = np.array([[2], [3], [7], [6], [4]], dtype)
    (found,) = run(import_onnx(ensemble(together, dtype)), {"x": x})
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wanted)


def test_a_tree_that_leads_back_into_itself_is_refused() -> None:
    whole = ensemble(1, np.float32)
    for attribute in whole.graph.node[0].attribute:
        if attribute.name == "nodes_falsenodeids":
            attribute.ints[1] = 1
    with pytest.raises(UnsupportedNodeError, match="itself"):
        import_onnx(whole)
