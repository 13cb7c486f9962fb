"""Compare inference runtimes on one ONNX model, fairly.

>>> import xbench
>>> run = xbench.compare("mobilenet_v2", backends=["onnxruntime", "openvino"])  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "compare"]

if TYPE_CHECKING:
    from xbench.comparison import compare


def __getattr__(name: str) -> Any:
    """Load `compare` when it is first asked for: `xbench --help` must not pay for numpy."""
    if name == "compare":
        from xbench.comparison import compare

        return compare
    raise AttributeError(f"module 'xbench' has no attribute {name!r}")
