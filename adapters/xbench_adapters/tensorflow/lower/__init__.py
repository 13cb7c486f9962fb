"""Functions that lower operators of ONNX to TensorFlow, in files by family."""
