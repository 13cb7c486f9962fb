"""What the C library's allocator has handed out, and what it keeps free, in bytes.

Free memory of a heap is resident where it was used before, and how much of it is left between two
buffers that are kept is a matter of chance: addresses are random, and glibc decides by what was
freed before whether a large buffer gets pages of its own. ONNX Runtime, with one model, had 62 or
68 MB of anonymous memory in the steady state, launch by launch; 43.3 MB were handed out each time.
"""

from __future__ import annotations

import ctypes
from typing import Any

FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)  # mallinfo(3)


class _MallInfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]


def free_bytes() -> int | None:
    """Return what this process's allocator keeps free, in all of its heaps; None if it can't tell.

    Not all of it need be resident. glibc 2.33 and later tell it; another allocator's memory is in
    no heap of glibc's.
    """
    mallinfo2: Any = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return None
    mallinfo2.restype = _MallInfo2
    return int(mallinfo2().fordblks)
