"""Operators on whole numbers of few bits: ONNX's own, and those of ONNX Runtime's quantiser."""
