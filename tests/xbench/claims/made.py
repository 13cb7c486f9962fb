"""Files of claims, machines and runs' documents, made for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.xbench.report.runs import cell, run_of, versus
from xbench.claims.claim import Claim, ClaimsFile
from xbench.claims.machine import Machine
from xbench.claims.parse import parse
from xbench.result import CellResult, Interval, Parity

Ratios: TypeAlias = Mapping[tuple[int, int], tuple[float, float, float] | None]

HEAD = """\
schema: 1
title: Two runtimes on a small network
sources:
  blog:
    title: "Fast inference on CPUs"
    url: https://example.org/fast
    date: 2024-08
    retrieved: 2026-11-26
    hardware: {architecture: x86_64, device: cpu, model: Epyc 9, cores: 8}
    software: {onnxruntime: 1.10, openvino: 2026.4.1}
    conditions: [a mean of ten]
  pi:
    title: "Slow inference on boards"
    url: https://example.org/slow
    date: unknown
    retrieved: 2026-11-26
    hardware: {architecture: aarch64, device: cpu}
    software: {}
    conditions: []
models:
  small:
    published: a small network
    run: tiny.onnx
    rebuilt: []
  other:
    published: a large network
    run: tiny.onnx
    rebuilt: [architecture, weights]
defaults: {source: blog, model: small, batch: 1, tolerance: 25%}
claims:
"""

RATIO = """
- id: a
  kind: ratio
  baseline: onnxruntime
  candidate: openvino
  ratio: 2
"""


def text_of(*claims: str) -> str:
    """Return a file with these claims under the common head, each in its own lines."""
    return HEAD + "".join(dedent(claim).strip("\n") + "\n" for claim in claims)


def file_of(*claims: str, path: Path = Path("made.yaml")) -> ClaimsFile:
    """Return such a file, read."""
    return parse(text_of(*claims).encode(), str(path), path)


def claim_of(text: str) -> Claim:
    """Return one claim."""
    return file_of(text).claims[0]


def line_of(text: str, part: str) -> int:
    """Return the first line of a text that has a part, from 1."""
    return next(at for at, line in enumerate(text.splitlines(), 1) if part in line)


HERE = Machine(
    architecture="x86_64",
    devices={"cpu": "AMD EPYC 7 Processor"},
    cores=2,
    context={
        "host_id": "0123456789ab",
        "versions": {"onnxruntime": "1.32.0", "openvino": "2026.4.1"},
    },
)


def row(number: int, backend: str, **own: Any) -> CellResult:
    """Return a row that is ok, agrees within 1e-6 and takes 1 ms an inference."""
    agrees = Parity("agrees", "onnxruntime:reference", 1e-6, 1e-6)
    return cell(number, backend, 1e6, **{"parity": agrees} | own)


def document(*rows: CellResult, ratios: Ratios | None = None, **own: Any) -> dict[str, Any]:
    """Return what a run writes: its rows, and ratios (value, low, high) by pairs of ids."""
    by_id = {one.id: one for one in rows}
    compared = tuple(
        versus(by_id[a], by_id[b], Interval(*ratio) if ratio else None, "undetermined")
        for (a, b), ratio in (ratios or {}).items()
    )
    found = run_of(rows, compared, **{"timing": {"measure_s": 10.0}} | own)
    return dict(json.loads(json.dumps(found.to_json())))


def small_network() -> onnx.ModelProto:
    """Return a convolution over an open batch of images."""
    weight = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32) / 5
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["features"]),
        ],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 8, 16, 16])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
