"""What is wrong with a run folder, in words, and what helps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What was found."""

    DAMAGED = "damaged"  # a file is not what was written
    LOST = "lost"  # something that was written is not there
    CUT_OFF = "cut_off"  # a write that a kill ended before it was done
    SET_ASIDE = "set_aside"  # a damaged file that lies in quarantine
    UNREADABLE = "unreadable"  # of another form, of a newer xbench, or not to be opened
    INDEX = "index"  # the index itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        folder: The run folder.
        file: The file within it, or empty.
        what: What is wrong, as the middle of a sentence.
        fix: What helps.
        aside: Whether the file should be moved into quarantine.
    """

    kind: Kind
    folder: Path
    file: str
    what: str
    fix: str
    aside: bool = False

    def __str__(self) -> str:
        where = self.folder / self.file if self.file else self.folder
        return f"{where}: {self.what}. {self.fix}." if self.fix else f"{where}: {self.what}."


def unreadable(folder: Path, what: str, fix: str, *, file: str = "") -> Finding:
    """Return the finding of something that cannot be read, or not be made sense of."""
    return Finding(kind=Kind.UNREADABLE, folder=folder, file=file, what=what, fix=fix)
