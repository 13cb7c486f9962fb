"""YAML read strictly: a tree whose every error names the line and the field.

YAML gives the structure only. What a scalar means is decided by the field that it stands in: a
version ``1.10`` stays what was written, and ``no`` is no boolean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from xbench.errors import UsageError

LARGEST_BYTES = 1 << 20
GUIDE = "docs/claims.md shows every key"
_PLAIN = "tag:yaml.org,2002:"
_TAGS = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?")
_KINDS: Mapping[type[Node], str] = {SequenceNode: "a list", MappingNode: "a mapping"}
LEAST, MOST = 1e-12, 1e12
MOST_SHARE = 10.0
_LONGEST = 60  # of a value in an error


def read_tree(data: bytes, file: str) -> Field:
    """Return the top of a YAML document.

    Args:
        data: The file's content.
        file: What errors call it.

    Raises:
        UsageError: If it is too large, no UTF-8, no YAML, empty, or more than one document.
    """
    if len(data) > LARGEST_BYTES:
        raise UsageError(f"{file} is too large for a file of claims", GUIDE)
    try:
        node = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error}", GUIDE) from error
    except RecursionError as error:
        raise UsageError(f"{file} is nested too deeply", GUIDE) from error
    except yaml.YAMLError as error:
        raise UsageError(_problem(error, file), GUIDE) from error
    if node is None:
        raise UsageError(f"{file} is empty", GUIDE)
    return Field(node, file, "")


def _problem(error: yaml.YAMLError, file: str) -> str:
    """Return what is wrong in a file that is no YAML, and in which line."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{file}, line {mark.line + 1}" if mark else file
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return f"{where}: this is no YAML: {' '.join(str(what).split())}"


class Field:
    """A value in the file, with its path from the top and its line."""

    def __init__(self, node: Node, file: str, path: str) -> None:
        self._node = node
        self._file = file
        self.path = path
        if node.tag.removeprefix(_PLAIN) not in _TAGS:
            raise self.error(f"has the tag {node.tag!r}", "Leave tags out")

    @property
    def line(self) -> int:
        """Return the line that the value begins in, from 1."""
        return int(self._node.start_mark.line) + 1

    def error(self, reason: str, fix: str) -> UsageError:
        """Return the error for this value."""
        name = f"{self.path} " if self.path else "the file "
        return UsageError(f"{self._file}, line {self.line}: {name}{reason}", fix)

    def wrong(self, what: str, fix: str) -> UsageError:
        """Return the error for a value that is not ``what``, and show the value."""
        if not isinstance(self._node, ScalarNode):
            return self.error(f"is {_KINDS[type(self._node)]}, not {what}", fix)
        value = str(self._node.value)
        shown = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
        return self.error(f"is {shown!r}, not {what}", fix)

    def text(self) -> str:
        """Return a text, as it is written; white space at its ends says nothing."""
        if not isinstance(self._node, ScalarNode):
            raise self.wrong("a text", f"Write {self.path}: ...")
        words = str(self._node.value).strip()
        if not words or self._node.tag == f"{_PLAIN}null":
            raise self.error("is empty", "Say something there, or leave the key out")
        return words

    def choice(self, known: Sequence[str]) -> str:
        """Return one of ``known``."""
        value = self.text()
        if value not in known:
            close = get_close_matches(value, known, n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise self.wrong("known", f"{hint}There are {', '.join(known)}")
        return value

    def number(self) -> float:
        """Return a number above zero, within what a speed or a difference can be."""
        text = self.text()
        value = float(text) if _NUMBER.fullmatch(text) else 0.0
        if not LEAST <= value <= MOST:
            span = f"from {LEAST:g} to {MOST:g}"
            raise self.wrong("a number above zero", f"Write one {span}, such as 1.84")
        return value

    def share(self) -> float:
        """Return a share above zero, from ``25%`` or ``0.25``; it may be above 1."""
        text = self.text()
        number, of = text.removesuffix("%").rstrip(), 100 if text.endswith("%") else 1
        value = float(number) / of if _NUMBER.fullmatch(number) else 0.0
        if not LEAST <= value <= MOST_SHARE:
            raise self.wrong("a share above zero", f"Write one up to {MOST_SHARE:.0%}, such as 25%")
        return value

    def count(self) -> int:
        """Return a whole number above zero."""
        text = self.text()
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
            raise self.wrong("a whole number above zero", "Write one, such as 8")
        return int(text)

    def items(self) -> list[Field]:
        """Return the values of a list."""
        if not isinstance(self._node, SequenceNode):
            raise self.wrong("a list", "Write each entry after a dash, or [a, b]")
        return [
            Field(node, self._file, f"{self.path}[{at}]")
            for at, node in enumerate(self._node.value)
        ]

    def table(self, known: Sequence[str] | None = None) -> Table:
        """Return a mapping; ``known`` are all the keys that it may have."""
        if not isinstance(self._node, MappingNode):
            raise self.wrong("a mapping", "Write KEY: VALUE under it, indented")
        fields: dict[str, Field] = {}
        for key_node, value_node in self._node.value:
            key = Field(key_node, self._file, f"{self.path}: a key" if self.path else "a key")
            name = key.text()
            if name in fields:
                first = fields[name].line
                raise key.error(f"{name!r} is there twice, first in line {first}", "Remove one")
            if known is not None and name not in known:
                raise key.error(f"{name!r} is not known", _nearest(name, known))
            path = f"{self.path}.{name}" if self.path else name
            fields[name] = Field(value_node, self._file, path)
        return Table(self, fields)

    @property
    def is_table(self) -> bool:
        """Return whether it is a mapping."""
        return isinstance(self._node, MappingNode)


class Table:
    """A mapping of the file."""

    def __init__(self, field: Field, fields: Mapping[str, Field]) -> None:
        self.field = field
        self._fields = fields

    def __iter__(self) -> Iterator[tuple[str, Field]]:
        yield from self._fields.items()

    def __len__(self) -> int:
        return len(self._fields)

    def get(self, key: str) -> Field | None:
        """Return the value of a key, or None where it is absent."""
        return self._fields.get(key)

    def need(self, key: str, example: str) -> Field:
        """Return the value of a key that must be there."""
        if key not in self._fields:
            raise self.field.error(f"has no {key!r}", f"Add it, such as {key}: {example}")
        return self._fields[key]

    def text(self, key: str, default: str = "") -> str:
        """Return a text, or ``default`` where the key is absent."""
        found = self.get(key)
        return found.text() if found else default


def _nearest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}There are {', '.join(known)}"
