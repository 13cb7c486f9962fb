"""What the adapter's source asks of TensorRT and of CUDA's runtime, read from its syntax tree.

Which object is of which class is not declared anywhere: a variable gets the class of what is
assigned to it, as the bindings' own documentation says what a call returns, and the few that are
handed in from outside are listed here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.adapters.tensorrt.bindings import Surface

MODULES = {"trt": "tensorrt", "cudart": "cuda"}
HANDED_IN = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "refused": "ParserError",
    "first": "ParserError",
    "layer": "ILayer",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "tensor": "ITensor",
    "element": "DataType",
    "cache": "ITimingCache",
}
"""Parameters, and variables of loops, by name: in every file they are of one class."""

RETURNED = re.compile(r"-> (?:\w+[.:]+)*(\w+)")
ALIASES = {"IParserError": "ParserError"}  # the parser's documentation has the name of C++


@dataclass(frozen=True, slots=True)
class Use:
    """Something of a class or module that is used.

    Attributes:
        owner: ``tensorrt``, ``cuda``, or the name of a class of TensorRT.
        name: What of it, such as ``set_flag``, or ``BuilderFlag.TF32``.
        positional: How many arguments stand in their places, where it is called; else None.
        keywords: The names of the others.
        where: The file and line.
    """

    owner: str
    name: str
    positional: int | None
    keywords: tuple[str, ...]
    where: str


def uses(folder: Path, tensorrt: Surface) -> list[Use]:
    """Return all that the files of a folder use of both modules."""
    found = []
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text())
        found += list(_File(path.name, tree, tensorrt).uses())
    return found


class _File:
    def __init__(self, name: str, tree: ast.Module, tensorrt: Surface) -> None:
        self._name, self._tree, self._tensorrt = name, tree, tensorrt
        self._classes: dict[str, str] = dict(HANDED_IN)
        self._calls = {id(n.func): n for n in ast.walk(tree) if isinstance(n, ast.Call)}
        for _ in range(2):  # a method may assign what one before it uses
            for node in ast.walk(tree):
                self._learn(node)

    def uses(self) -> Iterator[Use]:
        """Yield each use, the longest spelling of it: ``A.B``, not ``A`` as well."""
        inner = {id(n.value) for n in ast.walk(self._tree) if isinstance(n, ast.Attribute)}
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Attribute) and (found := self._owned(node)):
                owner, name = found
                if id(node) in inner and owner in MODULES.values() and self._whole(node):
                    continue
                call = self._calls.get(id(node))
                yield Use(
                    owner,
                    name,
                    None if call is None else len(call.args),
                    tuple(k.arg or "**" for k in call.keywords) if call else (),
                    f"{self._name}:{node.lineno}",
                )

    def _whole(self, node: ast.Attribute) -> bool:
        """Return whether a longer spelling that has this one is found as well."""
        return any(
            isinstance(other, ast.Attribute) and other.value is node and self._owned(other)
            for other in ast.walk(self._tree)
        )

    def _owned(self, node: ast.Attribute) -> tuple[str, str] | None:
        """Return whose attribute it is and its name, if one of the modules or classes has it."""
        path, value = [node.attr], node.value
        while isinstance(value, ast.Attribute) and self._spelled(value) not in MODULES:
            if self._class(value):
                break
            path, value = [value.attr, *path], value.value
        name = self._spelled(value)
        if name in MODULES:
            return MODULES[name], ".".join(path)
        kind = self._class(value)
        return (kind, path[0]) if kind and len(path) == 1 else None

    def _spelled(self, node: ast.expr) -> str:
        """Return ``trt`` for ``trt`` and for ``self._trt``, and alike for others."""
        match node:
            case ast.Name(id=name):
                return name
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return name.removeprefix("_")
        return ""

    def _class(self, node: ast.expr) -> str | None:
        """Return the class of TensorRT that an expression is of, or None."""
        if isinstance(node, ast.Name | ast.Attribute) and (name := self._spelled(node)):
            return self._classes.get(name)
        if isinstance(node, ast.Attribute) and (owned := self._owned(node)):
            return self._returned(*owned)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owned = self._owned(node.func)
            return self._returned(*owned) if owned else None
        if isinstance(node, ast.BoolOp):
            return self._class(node.values[-1])
        return None

    def _returned(self, owner: str, name: str) -> str | None:
        """Return the class of what a call gives, by its documentation."""
        if owner == "tensorrt" and self._tensorrt.get(name, {}).get("inside") is not None:
            return name
        documented = (self._tensorrt.get(owner, {}).get("inside") or {}).get(name, {})
        found = RETURNED.search(documented.get("doc", ""))
        kind = ALIASES.get(found[1], found[1]) if found else None
        return kind if kind in self._tensorrt and self._tensorrt[kind]["inside"] else None

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            kind = self._class(node.value)
            for target in node.targets:
                if kind and (name := self._spelled(target)):
                    self._classes[name] = kind


def signatures(thing: Any) -> list[list[str]]:
    """Return the parameters of each form of a call, without ``self``; ``=`` marks a default."""
    if thing.get("inside"):
        return signatures(thing["inside"]["__init__"])
    if thing["signature"] and not thing["signature"].startswith("(*args"):
        return [_parameters(thing["signature"].strip("()"))]
    lines = re.findall(r"^(?:\d+\. )?\w+\((.*)\) ->", thing["doc"], flags=re.M)
    return [_parameters(line) for line in lines if not line.startswith("*args")]


def _parameters(text: str) -> list[str]:
    """Return the names in a list of parameters, whose types may have commas in brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(<{") - (letter in "])>}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    names = [part.strip() for part in parts if part.strip() and part.strip() != "/"]
    plain = [part.partition(":")[0].strip() + ("=" if "=" in part else "") for part in names]
    return [name for name in plain if name.rstrip("=") not in ("self", "arg0")]


def takes(forms: list[list[str]], use: Use) -> bool:
    """Return whether one of the forms of a call can be called as it is."""
    for form in forms:
        needed = [name for name in form if not name.endswith("=")]
        named = {name.rstrip("=") for name in form}
        itself = use.name == "__init__"  # of a base class, which is given the object
        given = (use.positional or 0) - itself + len(use.keywords)
        if set(use.keywords) <= named and len(needed) <= given <= len(form):
            return True
    return False
