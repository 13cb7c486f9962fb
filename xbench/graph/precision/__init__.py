"""An ONNX model at another precision: the file itself computes in it, so that every runtime does.

``python -m xbench.graph.precision.convert JSON`` does it in a process of its own, for
`xbench.narrowing`. ``fp16`` and ``bf16`` are a pass of ours over the graph's types, `floats`;
``int8`` is ONNX Runtime's own quantizer, `quantize`. See ``docs/precision.md``.
"""
