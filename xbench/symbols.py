"""Names that stand for lengths, such as ``batch`` or ``past_length + length``."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Mapping

ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
EXPRESSION = re.compile(r"[\w\s()+*/-]{1,200}")  # what is worth reading as arithmetic


def evaluate(symbol: str, known: Mapping[str, int]) -> int | None:
    """Return the length that a symbol stands for, or None where ``known`` does not decide it.

    Exporters name the dimensions that follow from others by their arithmetic.
    """
    if symbol in known:
        return known[symbol]
    expression = _expression(symbol)
    try:
        return None if expression is None else _value(expression, known)
    except ZeroDivisionError:
        return None


def is_arithmetic(symbol: str) -> bool:
    """Return whether a symbol is computed from others, rather than a name of its own."""
    return isinstance(_expression(symbol), ast.BinOp)


def _expression(symbol: str) -> ast.expr | None:
    """Return a symbol as an expression, or None where it is not one."""
    if not EXPRESSION.fullmatch(symbol):
        return None
    try:
        return ast.parse(symbol.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None


def _value(node: ast.expr, known: Mapping[str, int]) -> int | None:
    """Return the value of an expression of whole numbers and known names, or None."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        left, right = _value(node.left, known), _value(node.right, known)
        if left is not None and right is not None:
            return int(ARITHMETIC[type(node.op)](left, right))
    return None
