"""The lowerings to TensorFlow: `lowering` registers one, beside the operator's schema version."""

from __future__ import annotations

from typing import Final

from xbench.graph.lowerings import Lowerings

TABLE: Final = Lowerings("TensorFlow", "xbench_adapters.tensorflow.lower")

lowering = TABLE.lowering
"""Its option ``layout="any"``: the function works element by element, in either layout."""
