"""Where TensorFlow has run each operation: it places those without a kernel elsewhere, silently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tensorflow.python.eager import context  # nothing public tells of what was executed

from xbench.adapter import Fallback

NAMED = 5
BOOKKEEPING = frozenset({
    "_Arg", "_Retval", "_DeviceArg", "_DeviceRetval", "_Send", "_Recv", "_HostSend", "_HostRecv",
    "Const", "Identity", "NoOp", "Enter", "Exit", "Merge", "Switch", "NextIteration", "LoopCond",
})  # fmt: skip
"""Nodes that compute nothing: ends, transfers, and what a loop is made of."""


def watched(run: Callable[[], Sequence[Any]], device: str) -> tuple[Sequence[Any], Fallback | None]:
    """Return what the first run of a function gives, and what of it ran off ``device``.

    Of a function that XLA compiles as a whole no part is told: all of it runs in one place, which
    its results tell. None is no answer.

    Args:
        run: Calls the function for the first time in this process.
        device: Such as ``/GPU:0``.
    """
    here = context.context()
    here.enable_graph_collection()
    try:
        found = run()
        told = here.export_run_metadata()
    finally:
        here.disable_graph_collection()
    nodes = [
        node
        for function in told.function_graphs
        for graph in function.partition_graphs
        for node in graph.node
    ]
    if not nodes:
        whole = all(short(one.backing_device) == short(device) for one in found)
        return found, Fallback(0, (), short(device)) if whole else None
    return found, off(nodes, device)


def off(nodes: Iterable[Any], device: str) -> Fallback:
    """Return the operations that were placed off ``device``, with their count.

    Args:
        nodes: Of graphs that were executed, each of one device.
        device: Such as ``/GPU:0``.
    """
    wanted = short(device)
    strayed = [
        node for node in nodes if node.op not in BOOKKEEPING and short(node.device) != wanted
    ]
    names = tuple(node.name for node in strayed[:NAMED])
    where = ", ".join(sorted({short(node.device) for node in strayed}))
    return Fallback(len(strayed), names, where or wanted)


def short(device: str) -> str:
    """Return a device without its place among machines: ``GPU:0``."""
    return device.rpartition("/")[2].removeprefix("device:")
