"""Operators of `com.microsoft`: those that ONNX Runtime's optimisers write."""
