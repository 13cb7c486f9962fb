"""Writes the models of many architectures, their inputs, and what ONNX Runtime says of them.

``python -m tests.adapters.litert.exported FOLDER`` reads their names. PyTorch and TensorFlow
never share a process.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from time import perf_counter

from tests.adapters.litert.children import answer
from xbench.inputs import save_feeds


def write(name: str, folder: Path) -> str:
    """Write a model as torch's exporter writes it; return how many seconds that took."""
    import onnx

    from tests.adapters.architectures import exported, source
    from tests.adapters.graphs import onnxruntime_says

    start_s = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's and transformers' own
        whole = exported(name)
    onnx.save(whole, folder / f"{name}.onnx")
    named = (one.name for one in whole.graph.input)
    feeds = {key: one.numpy() for key, one in zip(named, source(name)[1], strict=True)}
    wanted = onnxruntime_says(whole, feeds)
    names = [one.name for one in whole.graph.output]
    save_feeds(folder / f"{name}.npz", [feeds, dict(zip(names, wanted, strict=True))])
    return f"{perf_counter() - start_s:.1f}"


if __name__ == "__main__":
    answer(lambda name: write(name, Path(sys.argv[1])))
