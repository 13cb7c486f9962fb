"""The documents that were read last, kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xbench.archive.reading import read_document

MOST = 16


class Documents:
    """Reads the documents of run folders, each once while it is among the last few."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, Mapping[str, Any]] = OrderedDict()

    def read(self, folder: Path) -> Mapping[str, Any]:
        """Return the document of a folder, as `read_document` does.

        Raises:
            UsageError: If there is none that can be trusted.
        """
        if folder not in self._kept:
            self._kept[folder] = read_document(folder)
        self._kept.move_to_end(folder)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return self._kept[folder]

    def drop(self, folder: Path) -> None:
        """Forget a folder that has changed."""
        self._kept.pop(folder, None)
