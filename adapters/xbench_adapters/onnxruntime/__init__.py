"""ONNX Runtime, on the CPU and on NVIDIA GPUs. It reads ``.onnx`` files itself."""

from xbench_adapters.onnxruntime.adapter import OnnxRuntimeAdapter
from xbench_adapters.onnxruntime.said import refusal

__all__ = ["OnnxRuntimeAdapter", "refusal"]
