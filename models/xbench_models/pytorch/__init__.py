"""PyTorch's modules, programs and pickles: loaded, and written as ONNX files."""
