"""Whether a ``.pt2`` can be loaded without running code of its author.

``torch.export.load`` trusts its file. Tensors may be pickles; lengths and conditions on them are
Python expressions, which it evaluates; an operator is any attribute that can be reached from
``torch``, its standard library included; and names become source. So a file is loaded only if all
that it holds is known to be harmless: tensors as plain bytes, operators of PyTorch's own, names
that are names, and arithmetic. Most programs hold nothing else.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.export.pt2_archive import PT2ArchiveReader

from xbench.errors import ModelError
from xbench_models.factory import one_line

_WEIGHTS, _CONSTANTS, _SAMPLES = "data/weights/", "data/constants/", "data/sample_inputs/"
_PLAIN = re.compile(r"models/\w+\.json|archive_\w+|byteorder|\.data/\w+|version|extra/.*")
_TENSORS = re.compile(rf"(?:{_WEIGHTS}weight|{_CONSTANTS}tensor)_\d+")
_CONFIG = re.compile(rf"(?:{_WEIGHTS}\w+_weights|{_CONSTANTS}\w+_constants)_config\.json")

_NAME = re.compile(r"[\w.+-]*", re.ASCII)
_RANGED = re.compile(r"(?:[a-z]++\d++|\d++|[-+*/() ])*+", re.ASCII)
_TEXT = re.compile(r"[\w .,:+*/<>()-]*", re.ASCII)  # of an argument: 'tanh', 'bij,bjk->bik'
_OPERATOR = re.compile(
    r"torch\.ops\.(?:aten|prims|torchvision)\.(?:(?!__)\w+|__i?(?:and|or|xor|[lr]shift)__)\.[a-zA-Z]\w*"
    r"|torch\.ops\.higher_order\.(?:wrap_with_set_grad_enabled|wrap_with_autocast|cond|while_loop)"
    r"|_operator\.(?:add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge"
    r"|and_|or_|not_|getitem)"
    r"|torch\.sym_\w+|math\.(?:ceil|floor|trunc|sqrt)",
    re.ASCII,
)
_OF_FILES = re.compile(r"torch\.ops\.aten\.(?:from_file|save|load)\b.*")
_SYMBOL = re.compile(r"Symbol\('[A-Za-z]\w*'", re.ASCII)
_LENGTH = re.compile(
    r"L(?:\['[A-Za-z_]\w*'\]|\[\d+\])+(?:\.(?:size|stride)\(\)\[\d+\]|\.storage_offset\(\))?",
    re.ASCII,
)
_ARITHMETIC = re.compile(r"(?:[A-Za-z]++|\d++(?:\.\d++)?|[-+*/%(),<>=!&|~ ])*+", re.ASCII)
_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        Symbol Integer Rational Float Add Mul Pow Mod Abs Max Min Eq Ne And Or Not Piecewise
        Equality Unequality GreaterThan LessThan StrictGreaterThan StrictLessThan ExprCondPair
        FloorDiv PythonMod ModularIndexing CleanDiv CeilDiv CeilToInt FloorToInt TruncToInt
        TruncToFloat RoundToInt ToFloat IntTrueDiv FloatTrueDiv PowByNatural FloatPow Where Identity
        positive nonnegative negative nonpositive nonzero zero integer rational real finite even odd
        commutative evaluate precision True False and or not min max true false
        """,
    )
)
_TREES = frozenset(
    {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
)
_TREE_KEYS = {"type", "context", "children_spec"}
_OUTPUTS = re.compile(r"transformers\.modeling_outputs\.[A-Z]\w*", re.ASCII)
_NOTES = frozenset({"stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"})


class _DoubtError(Exception):
    """Something in the file is not known to be harmless."""


def refuse_doubtful(path: Path) -> None:
    """Return if nothing in a ``.pt2`` runs when it is loaded.

    Raises:
        ModelError: With what is not known to be harmless.
    """
    try:
        with PT2ArchiveReader(str(path)) as archive:
            for name in archive.get_file_names():
                _check_member(archive, name)
    except _DoubtError as error:
        fix = "If you trust whoever made it, add --trust"
        reason = f"{path} may run code when it is loaded: it holds {error}"
        raise ModelError(reason, fix) from error
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        fix = "Write it with torch.export.save of this version of PyTorch"
        raise ModelError(f"{path} is no exported program: {one_line(error)}", fix) from error


def _check_member(archive: PT2ArchiveReader, name: str) -> None:
    if name.startswith("models/") and _PLAIN.fullmatch(name):
        _check(json.loads(archive.read_bytes(name)), "")
    elif _CONFIG.fullmatch(name):
        _check_tensors(json.loads(archive.read_bytes(name)))
    elif name.startswith(_SAMPLES):
        _check_samples(archive.read_bytes(name))
    elif not (_PLAIN.fullmatch(name) or _TENSORS.fullmatch(name)):
        raise _DoubtError(f"{name!r}, which is no plain tensor")


def _check_tensors(config: Any) -> None:
    for name, one in config["config"].items():
        if one["use_pickle"] is not False:
            raise _DoubtError(f"{name!r} as a pickle")
        if not re.fullmatch(r"(?:weight|tensor)_\d+", one["path_name"], re.ASCII):
            raise _DoubtError(f"{name!r} as an object")
    _check(config, "")


def _check_samples(pickled: bytes) -> None:
    """Read the example inputs as tensors only: if that succeeds, loading does no more."""
    if not pickled:
        return
    try:
        torch.load(io.BytesIO(pickled), weights_only=True)
    except Exception as error:  # whatever the restricted reader comes upon
        raise _DoubtError("example inputs that are no plain tensors") from error


def _check(value: Any, key: str) -> None:
    """Check what a key of the program holds, and all below it."""
    if isinstance(value, dict):
        if key == "metadata":
            _check_notes(value)
            return
        for name, one in value.items():
            _demand(_RANGED if key == "range_constraints" else _NAME, name, "the name")
            _check(one, name)
    elif isinstance(value, list):
        for one in value:
            _check(one, key)
    elif isinstance(value, str):
        _CHECKS.get(key, _check_name)(value)


def _check_name(text: str) -> None:
    _demand(_NAME, text, "the name")


def _check_text(text: str) -> None:
    _demand(_TEXT, text, "the text")


def _check_operator(text: str) -> None:
    _demand(_OPERATOR, text, "the operator")
    if _OF_FILES.fullmatch(text):
        raise _DoubtError(f"the operator {text!r}, which uses files")


def _check_expression(text: str) -> None:
    """Demand arithmetic: no attribute, no item and no text, and only words that stand for it."""
    bare = _LENGTH.sub("0", _SYMBOL.sub("Symbol(0", text))
    _demand(_ARITHMETIC, bare, "the expression")
    if unknown := set(re.findall(r"[A-Za-z]\w*", bare)) - _WORDS:
        raise _DoubtError(f"the expression {text[:80]!r} with {min(unknown)!r}")


def _check_tree(text: str) -> None:
    """Check how arguments or outputs are nested: of plain containers, under plain names."""
    _version, tree = json.loads(text)
    _check_node(tree)


def _check_node(node: Any) -> None:
    kind, names = node["type"], json.loads(node["context"] or "null")
    if kind not in _TREES and not _OUTPUTS.fullmatch(kind):
        raise _DoubtError(f"arguments or outputs of type {kind!r}")
    if not isinstance(names, list | None) or node.keys() != _TREE_KEYS:
        raise _DoubtError(f"arguments or outputs of an unknown form: {node['context']!r}")
    for name in names or []:
        _check_name(name if isinstance(name, str) else repr(name))
    for child in node["children_spec"]:
        _check_node(child)


def _check_notes(notes: dict[str, Any]) -> None:
    """Check that notes on a node are those that only people read."""
    for key, text in notes.items():
        if key not in _NOTES or not isinstance(text, str):
            raise _DoubtError(f"the note {key!r}")
    functions = notes.get("source_fn_stack", "")
    _demand(re.compile(r"[\w.,; -]*", re.ASCII), functions, "the note")


def _demand(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise _DoubtError(f"{what} {text[:80]!r}")


_CHECKS: dict[str, Callable[[str], None]] = {
    "target": _check_operator,
    "as_operator": _check_operator,
    "as_string": _check_text,
    "as_strings": _check_text,
    "expr_str": _check_expression,
    "guards_code": _check_expression,
    "in_spec": _check_tree,
    "out_spec": _check_tree,
}
