"""Ensembles of decision trees, grown at random, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.adapters.importers.chosen import few, import_onnx, ran
from tests.adapters.importers.test_flow import same
from tests.adapters.importers.test_text import ML, agree, model
from xbench.errors import UnsupportedNodeError

FEATURES = 3
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def grown(
    seed: int, stem: str, targets: list[int], modes: list[str], *, positive: bool = False
) -> dict[str, Any]:
    """Return the attributes of three trees whose splits are whole numbers."""
    random = np.random.default_rng(seed)
    nodes: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "modes", "values")
    } | {"truenodeids": [], "falsenodeids": [], "missing_value_tracks_true": []}
    leaves: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}

    def grow(tree: int, depth: int, place: int) -> int:
        leaf = depth == 0 or random.random() < 0.2
        number = len(nodes["treeids"])
        for name, value in {
            "treeids": tree,
            "nodeids": place,
            "featureids": int(random.integers(FEATURES)),
            "modes": "LEAF" if leaf else str(random.choice(modes)),
            "values": float(random.integers(-2, 3)),
            "truenodeids": 0,
            "falsenodeids": 0,
            "missing_value_tracks_true": int(random.integers(2)),
        }.items():
            nodes[name].append(value)
        if leaf:
            for target in targets:
                weight = float(random.normal())
                leaves["treeids"].append(tree)
                leaves["nodeids"].append(place)
                leaves["ids"].append(target)
                leaves["weights"].append(abs(weight) / 3 if positive else weight)
            return place + 1
        nodes["truenodeids"][number] = place + 1
        after = grow(tree, depth - 1, place + 1)
        nodes["falsenodeids"][number] = after
        return grow(tree, depth - 1, after)

    for tree in range(3):
        grow(tree, 3, 0)
    found = {f"nodes_{name}": values for name, values in nodes.items()}
    return found | {f"{stem}_{name}": values for name, values in leaves.items()}


def rows(seed: int, dtype: str, *, missing: bool) -> Any:
    """Return features that are often just on a split, some of them missing."""
    random = np.random.default_rng(seed)
    x = random.integers(-2, 3, (8, FEATURES)).astype(dtype)
    if missing:
        x[random.random(x.shape) < 0.3] = np.nan
    return x


kinds = st.sampled_from([MODES[:1], MODES[:4], ["BRANCH_EQ", "BRANCH_LEQ"]])


@given(
    st.integers(0, 99),
    kinds,
    st.sampled_from(["SUM", "AVERAGE", "MIN", "MAX"]),
    st.sampled_from(["NONE", "LOGISTIC"]),
    st.booleans(),
    st.sampled_from(["float32", "float64", "missing"]),
)
@few
def test_regressors(
    seed: int, modes: list[str], together: str, transform: str, based: bool, dtype: str
) -> None:
    missing = dtype == "missing"
    agree(
        "TreeEnsembleRegressor",
        {"x": rows(seed, "float32" if missing else dtype, missing=missing)},
        domain=ML,
        version=1 if dtype == "float64" else 3,
        n_targets=2,
        aggregate_function=together,
        post_transform=transform,
        base_values=[0.5, -1.0] if based else None,
        **grown(seed, "target", [0, 1], modes),
    )


@given(
    st.integers(0, 99),
    kinds,
    st.sampled_from(["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["float32", "float64", "int64"]),
)
@few
def test_classifiers_of_several_classes(
    seed: int, modes: list[str], transform: str, based: bool, named: bool, dtype: str
) -> None:
    labels = (
        {"classlabels_strings": ["a", "b", "c"]} if named else {"classlabels_int64s": [4, 5, 9]}
    )
    agree(
        "TreeEnsembleClassifier",
        {"x": rows(seed, dtype, missing=False)},
        2,
        domain=ML,
        version=1,
        post_transform=transform,
        base_values=[0.5, -1.0, 0.25] if based else None,
        **labels,
        **grown(seed, "class", [0, 1, 2], modes),
    )


@given(st.integers(0, 99), st.booleans(), st.sampled_from(["NONE", "LOGISTIC"]), st.booleans())
@few
def test_classifiers_of_two_classes_by_one_score(
    seed: int, positive: bool, transform: str, based: bool
) -> None:
    agree(
        "TreeEnsembleClassifier",
        {"x": rows(seed, "float32", missing=False)},
        2,
        domain=ML,
        version=1,
        post_transform="NONE" if positive else transform,
        base_values=[0.125] if based else None,
        classlabels_int64s=[4, 5],
        **grown(seed, "class", [0], MODES[:1], positive=positive),
    )


def ensemble(together: int, dtype: type) -> onnx.ModelProto:
    """Return a model of two trees of the fifth version, one of which asks for membership."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def floats(*values: float) -> onnx.TensorProto:
        return helper.make_tensor("", kind, [len(values)], values)

    return model(
        "TreeEnsemble",
        {"x": np.zeros((5, 1), dtype)},
        domain=ML,
        version=5,
        n_targets=2,
        aggregate_function=together,
        tree_roots=[0, 1],
        nodes_modes=helper.make_tensor("", TensorProto.UINT8, [3], [0, 6, 2]),
        nodes_featureids=[0, 0, 0],
        nodes_splits=floats(2, 0, 5),
        nodes_truenodeids=[0, 2, 2],
        nodes_trueleafs=[1, 1, 1],
        nodes_falsenodeids=[1, 2, 3],
        nodes_falseleafs=[1, 0, 1],
        membership_values=floats(3, 7, float("nan")),
        leaf_targetids=[0, 1, 0, 0],
        leaf_weights=floats(1, 10, 100, 1000),
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
    same(ran(ensemble(together, dtype), {"x": x}), [np.array(wanted, dtype)])


def test_a_tree_that_leads_back_into_itself_is_refused() -> None:
    whole = ensemble(1, np.float32)
    for attribute in whole.graph.node[0].attribute:
        if attribute.name == "nodes_falsenodeids":
            attribute.ints[1] = 1
    with pytest.raises(UnsupportedNodeError, match="itself"):
        import_onnx(whole)
