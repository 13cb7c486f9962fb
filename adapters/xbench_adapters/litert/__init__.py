"""LiteRT, which was TensorFlow Lite: `LiteRtAdapter` measures what the importer gives it."""

from __future__ import annotations

from xbench_adapters.litert.adapter import LiteRtAdapter

__all__ = ["LiteRtAdapter"]
