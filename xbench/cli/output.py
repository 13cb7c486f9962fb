"""Where a run's documents go: files, written by rename, or stdout."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from xbench.errors import UsageError

if TYPE_CHECKING:
    from xbench.result import Run

STDOUT = "-"
NARROWEST, WIDEST = 72, 100  # the table needs the one; nobody reads lines beyond the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The documents asked for: a path, ``-`` for stdout, or empty for none."""

    json: str = ""
    csv: str = ""
    markdown: str = ""

    @property
    def targets(self) -> Mapping[str, str]:
        """Return where each document that was asked for goes."""
        every = {"json": self.json, "csv": self.csv, "markdown": self.markdown}
        return {name: target for name, target in every.items() if target}

    def check(self) -> None:
        """Find out before minutes of measuring whether each document can be written.

        Raises:
            UsageError: If one cannot, or two are to share one place.
        """
        places = [STDOUT if t == STDOUT else str(Path(t).resolve()) for t in self.targets.values()]
        if len(set(places)) < len(places):
            raise UsageError("two documents cannot go to one place", "Name another file for one")
        for target in self.targets.values():
            if target != STDOUT:
                _check_file(Path(target))

    def show(self, run: Run) -> int:
        """Print the table, write the documents and return the exit status."""
        from xbench.report.terminal import render as table

        stream = self.stream
        text = table(run, width=terminal_width(stream), colour=in_colour(stream))
        documents = {name: render(name, run) for name in self.targets}
        return self.deliver(text, documents, run.exit_status)

    @property
    def stream(self) -> TextIO:
        """Return where people read: stderr where a document has stdout to itself."""
        return sys.stderr if STDOUT in self.targets.values() else sys.stdout

    def deliver(self, text: str, documents: Mapping[str, str], status: int) -> int:
        """Print ``text``, write each document to its target and return the exit status.

        Each is tried, and a document that cannot be written costs no other.
        """
        self.stream.write(text)
        self.stream.flush()
        problems = [_write(document, self.targets[name]) for name, document in documents.items()]
        for problem in filter(None, problems):
            print(f"error: {problem}.", file=sys.stderr)
        return max(status, 1) if any(problems) else status


def render(name: str, run: Run) -> str:
    """Return the document of that name."""
    from xbench.report import csv, document, markdown

    return {"json": document.render, "csv": csv.render, "markdown": markdown.render}[name](run)


def terminal_width(stream: TextIO) -> int:
    """Return the columns to fill: 80 where nobody tells."""
    columns = shutil.get_terminal_size((80, 24)).columns if stream.isatty() else 80
    return min(max(columns, NARROWEST), WIDEST)


def in_colour(stream: TextIO) -> bool:
    """Return whether colour is wanted; see no-color.org."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_file(path: Path, content: str | bytes) -> None:
    """Write ``content``: by rename for a regular file, straight on for a pipe or device."""
    from xbench.keeping import write_atomically

    data = content.encode(errors="replace") if isinstance(content, str) else content
    target = path.resolve()  # a rename over a link would replace the link
    if target.exists() and not target.is_file():
        target.write_bytes(data)
    else:
        write_atomically(target, data)


def _check_file(path: Path) -> None:
    target = path.resolve()
    if target.is_dir():
        raise UsageError(f"{path} is a folder", "Name a file in it")
    if target.exists() and not target.is_file():
        return
    if not target.parent.is_dir():
        raise UsageError(
            f"the folder {path.parent} does not exist", "Make it, or name another file"
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UsageError(f"the folder {path.parent} cannot be written to", "Name another file")


def _write(text: str, target: str) -> str | None:
    """Return why a document could not be written, or None."""
    if target == STDOUT:
        sys.stdout.write(text)
        return None
    try:
        write_file(Path(target), text)
    except OSError as error:
        return f"cannot write {target}: {error.strerror}"
    return None
