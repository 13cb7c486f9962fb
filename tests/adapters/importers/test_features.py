"""Operators of ai.onnx.ml on features, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.adapters.graphs import normal
from tests.adapters.importers.chosen import ERRORS, import_onnx, ran
from tests.adapters.importers.test_text import ML, agree, model, texts
from xbench.errors import UnsupportedNodeError


@pytest.mark.parametrize(
    "x", [np.array([[4, 5], [3, 9]]), np.array([3, 4], np.float32), np.array([4.0, 9])]
)
def test_numbers_are_one_among_categories(x: Any) -> None:
    agree("OneHotEncoder", {"x": x}, domain=ML, cats_int64s=[3, 4, 8])


def test_text_is_one_among_categories_or_an_error() -> None:
    x = texts("b", "z")
    agree("OneHotEncoder", {"x": x}, domain=ML, cats_strings=["a", "b"])
    strict = model("OneHotEncoder", {"x": x}, domain=ML, cats_strings=["a", "b"], zeros=0)
    with pytest.raises(ERRORS, match="categories"):
        ran(strict, {"x": x})
    numbers = {"x": np.array([1, 7])}
    strict = model("OneHotEncoder", numbers, domain=ML, cats_int64s=[1], zeros=0)
    with pytest.raises(ERRORS, match="categories"):
        ran(strict, numbers)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
def test_features_are_scaled(dtype: str) -> None:
    x = (normal(3, 2) * 5).astype(dtype)
    agree("Scaler", {"x": x}, domain=ML, offset=[0.5, -2.0], scale=[2.0, 0.25])
    agree("Scaler", {"x": x}, domain=ML, offset=[0.5], scale=[2.0])


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
@pytest.mark.parametrize("shape", [(4, 3), (3,)])
def test_features_are_normalized(norm: str, shape: tuple[int, ...]) -> None:
    agree("Normalizer", {"x": normal(*shape)}, domain=ML, norm=norm)
    agree("Normalizer", {"x": np.zeros(shape, np.float32)}, domain=ML, norm=norm)


@pytest.mark.parametrize("replaced", [0.0, float("nan")])
@pytest.mark.parametrize("values", [[7.0], [7.0, 8.0]])
def test_missing_features_are_filled(replaced: float, values: list[float]) -> None:
    x = np.array([[0, np.nan], [1, 0], [np.nan, 2]], np.float32)
    agree(
        "Imputer", {"x": x}, domain=ML, imputed_value_floats=values, replaced_value_float=replaced
    )
    whole = np.array([[0, 1], [2, 0]])
    agree("Imputer", {"x": whole}, domain=ML, imputed_value_int64s=[7, 8], replaced_value_int64=0)


def test_features_stand_side_by_side() -> None:
    feeds = {"a": normal(2, 3), "b": normal(2, 2, seed=1)}
    agree("FeatureVectorizer", feeds, domain=ML, inputdimensions=[3, 2])


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("targets", [2, 3])
def test_linear_models(transform: str, targets: int) -> None:
    coefficients = normal(targets * 4, seed=1).tolist()
    shifts = normal(targets, seed=2).tolist()
    shared = {"coefficients": coefficients, "intercepts": shifts, "post_transform": transform}
    feeds = {"x": normal(5, 4)}
    agree("LinearRegressor", feeds, domain=ML, targets=targets, **shared)
    numbers = list(range(7, 7 + targets))
    agree("LinearClassifier", feeds, 2, domain=ML, classlabels_ints=numbers, **shared)
    names = [f"class {one}" for one in numbers]
    agree("LinearClassifier", feeds, 2, domain=ML, classlabels_strings=names, **shared)


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
def test_support_vectors(kernel: str) -> None:
    agree(
        "SVMRegressor",
        {"x": normal(5, 2)},
        domain=ML,
        kernel_type=kernel,
        kernel_params=[0.3, 0.5, 2.0],
        n_supports=3,
        coefficients=[0.5, -1.0, 2.0],
        rho=[0.25],
        support_vectors=normal(6, seed=1).tolist(),
    )


@pytest.mark.parametrize("operator", ["ZipMap", "DictVectorizer"])
def test_maps_are_refused(operator: str) -> None:
    """Nothing stands for a map from names to numbers."""
    whole = model(operator, {"x": normal(2, 2)}, domain=ML, classlabels_int64s=[4, 5])
    given = whole.graph.input[0].type
    if operator == "DictVectorizer":
        given.map_type.key_type = TensorProto.INT64
        given.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
        whole.graph.node[0].attribute[0].name = "int64_vocabulary"
    with pytest.raises(UnsupportedNodeError):
        import_onnx(whole)
