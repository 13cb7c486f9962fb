"""Keras models and SavedModels: loaded, and written as ONNX files."""
