"""Lowerings, one file an operator family; `registry` loads all modules here and below.

Operators of ONNX's own domain are right here, and next to them those of other domains that
are the same: `microsoft` has those that ONNX Runtime's optimisers write, `quantized` those on
whole numbers of few bits, `ml` those of ai.onnx.ml. `shared` registers none: it has what
several files are made of, and what is too long for the one file that needs it.
"""
