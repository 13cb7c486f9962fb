"""LiteRT's flatbuffers, written as ONNX files."""
