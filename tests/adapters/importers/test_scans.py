"""Scans against ONNX Runtime, in all directions and along all axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.graphs import (
    normal,
)
from tests.adapters.importers.chosen import (
    examples,
)
from tests.adapters.importers.test_flow import check, parsed


def scan(back: int, out: int, axis: int, place: int, *, known: bool = True) -> onnx.ModelProto:
    """Return a scan of two states, two inputs and two outputs, its length known or open."""
    long = "3" if known else "n"
    return parsed(f"""
    g (float[2] s, float[1] t, float[{f"{long}, 2" if axis in (0, -2) else f"2, {long}"}] x,
       float[{long}, 2] y) =>
      (float[2] a, float[1] b, float[k, l] p, float[m, n, o] q) <float[2] w = {{2, 3}}> {{
        a, b, p, q = Scan <
            num_scan_inputs = 2, scan_input_axes = [{axis}, 0],
            scan_input_directions = [{back}, {1 - back}],
            scan_output_axes = [{place % 2}, {place}], scan_output_directions = [{out}, {1 - out}],
            body = body (float[2] si, float[1] ti, float[2] xi, float[2] yi) =>
                (float[2] so, float[1] to, float[2] po, float[2, 1] qo) {{
                u = Mul(xi, w)
                so = Add(si, u)
                v = ReduceSum <keepdims = 0> (yi)
                to = Add(ti, v)
                po = Sub(so, yi)
                axes = Constant <value = int64[1] {{1}}> ()
                qo = Unsqueeze(po, axes)
            }}
        > (s, t, x, y)
    }}
    """)


def scanned(axis: int, seed: int = 0) -> dict[str, Any]:
    """Return what `scan` takes."""
    return {
        "s": normal(2, seed=seed),
        "t": normal(1, seed=seed + 1),
        "x": normal(*((3, 2) if axis in (0, -2) else (2, 3)), seed=seed + 2),
        "y": normal(3, 2, seed=seed + 3),
    }


signs = st.integers(0, 1)


@given(st.integers(0, 9), signs, signs, st.integers(-2, 1), st.integers(-3, 2), st.booleans())
@examples(40)
def test_scans(seed: int, back: int, out: int, axis: int, place: int, known: bool) -> None:
    """In all directions and along all axes."""
    check(scan(back, out, axis, place, known=known), scanned(axis, seed))


@pytest.mark.parametrize("lengths", [None, [3, 1], [2, 3]])
@pytest.mark.parametrize("back", [0, 1])
def test_scans_over_a_batch(lengths: list[int] | None, back: int) -> None:
    """Version 8: an entry of the batch at a time, each as long as it is said to be."""
    text = f"""
    g ({"int64[2] n," if lengths else ""} float[2, 2] s, float[2, 3, 2] x) =>
      (float[2, 2] a, float[2, 3, 2] p) {{
        a, p = Scan <num_scan_inputs = 1, directions = [{back}],
            body = body (float[2] si, float[2] xi) => (float[2] so, float[2] po) {{
                so = Add(si, xi)
                po = Mul(so, xi)
            }}
        > ({"n" if lengths else '""'}, s, x)
    }}
    """
    feeds: dict[str, Any] = {"n": np.array(lengths)} if lengths else {}
    check(parsed(text, 8), feeds | {"s": normal(2, 2), "x": normal(2, 3, 2, seed=1)})
