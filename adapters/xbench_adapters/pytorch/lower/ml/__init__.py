"""Operators of `ai.onnx.ml`: features, labels and trees."""
