"""Operators that are refused with a word on what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_BLOCKED = (
    "AveragePool",
    "Conv",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "MaxPool",
    "ReorderInput",
    "ReorderOutput",
    "Upsample",
)


def _refuse_blocked(operator: str) -> None:
    @lowering(operator, 1, domain="com.microsoft.nchwc")
    def refused(_: Node, to: Builder) -> NoReturn:
        to.refuse(
            "blocks of channels are laid out for one processor; "
            "save the optimised model at ORT_ENABLE_EXTENDED, not ORT_ENABLE_ALL"
        )


for _operator in _BLOCKED:
    _refuse_blocked(_operator)
