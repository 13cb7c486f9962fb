"""Models of every framework as ONNX files, and known architectures with healthy seeded weights."""
