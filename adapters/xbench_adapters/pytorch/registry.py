"""The lowerings to PyTorch: `lowering` registers one, beside the operator's schema versions."""

from __future__ import annotations

from typing import Final

from xbench.graph.lowerings import MICROSOFT, ML, Entry, Lowerings

__all__ = ["MICROSOFT", "ML", "TABLE", "Entry", "find", "handles", "lowering", "operators"]

TABLE: Final = Lowerings("PyTorch", "xbench_adapters.pytorch.lower")

lowering = TABLE.lowering
"""Its option ``raw=True``: the function takes elements of every type as they are held, text
included; others are handed stand-ins for types that PyTorch has no full arithmetic for."""

handles, find, operators = TABLE.handles, TABLE.find, TABLE.operators
