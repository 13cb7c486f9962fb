"""TensorRT on NVIDIA GPUs, 10.x and 11.x: an engine of its own for each model and GPU."""

from __future__ import annotations

from xbench_adapters.tensorrt.adapter import TensorRtAdapter

__all__ = ["TensorRtAdapter"]
