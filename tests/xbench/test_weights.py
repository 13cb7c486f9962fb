"""Numbers that slow a CPU down, or that are no numbers, are found wherever weights lie."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.xbench.graphs import FLOAT, node, save
from xbench.weights import SAMPLE_ELEMENTS, WeightsHealth, weights_health


def stored(folder: Path, weights: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Path:
    return save(
        folder,
        [node("Identity", ["x"], ["y"])],
        {"x": (FLOAT, [1])},
        {"y": (FLOAT, [1])},
        {"w": weights},
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: arrays.arrays(dtype, st.integers(1, 20))
    ),
    st.booleans(),
)
def test_health_agrees_with_numpy(
    tmp_path: Path,
    weights: np.ndarray[tuple[int], np.dtype[np.float32 | np.float64]],
    external: bool,
) -> None:
    path = stored(tmp_path, weights)
    if external:
        (tmp_path / "w.bin").unlink(missing_ok=True)
        model = onnx.load(path)
        onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)

    tiny = np.finfo(weights.dtype).tiny
    denormals = int(((weights != 0) & (np.abs(weights) < tiny)).sum())
    nonfinite = int((~np.isfinite(weights)).sum())
    assert weights_health(path) == WeightsHealth(denormals, nonfinite, weights.size, weights.size)


def test_half_precision_counts_what_stays_denormal_in_float32(tmp_path: Path) -> None:
    """The smallest float16 are normal in float32; those of bfloat16 are not."""
    half = np.array([1e-7, 1, np.inf], np.float16)
    assert weights_health(stored(tmp_path, half)) == WeightsHealth(0, 1, 3, 3)
    brain = np.array([1e-39, 1, np.nan, -1e-39], ml_dtypes.bfloat16)
    assert weights_health(stored(tmp_path, brain)) == WeightsHealth(2, 1, 4, 4)


def test_weights_in_typed_fields_are_read_too(tmp_path: Path) -> None:
    path = stored(tmp_path, np.ones(1, np.float32))
    model = onnx.load(path)
    tensor = onnx.helper.make_tensor("w", FLOAT, [3], [1e-40, 1.0, float("nan")])
    model.graph.initializer[0].CopyFrom(tensor)
    onnx.save(model, path)
    assert weights_health(path) == WeightsHealth(1, 1, 3, 3)


def test_whole_numbers_are_no_evidence(tmp_path: Path) -> None:
    health = weights_health(stored(tmp_path, np.ones(9, np.int64)))
    assert health == WeightsHealth(0, 0, 0, 0)
    assert health.denormal_share is None


@pytest.mark.parametrize("external", [False, True])
def test_large_tensors_are_sampled_evenly(tmp_path: Path, external: bool) -> None:
    """A half that is denormal is seen as a half, though not every element is looked at."""
    weights = np.ones(3 * SAMPLE_ELEMENTS + 5, np.float32)
    weights[: weights.size // 2] = 1e-40
    path = stored(tmp_path, weights)
    if external:
        model = onnx.load(path)
        onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    health = weights_health(path)
    assert health.total == weights.size
    assert SAMPLE_ELEMENTS / 2 <= health.scanned <= SAMPLE_ELEMENTS
    assert health.denormal_share == pytest.approx(0.5, abs=1e-5)
