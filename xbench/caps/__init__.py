"""What a worker may use: how that is imposed before it starts, and proven while it runs.

`Caps` imposes and reads back, `prove` judges what was read, `asked_limits` turns a profile into
limits. docs/caps.md says what each cap does and does not hold.
"""

from xbench.caps.asked import asked_limits, refuse_batches
from xbench.caps.impose import OPEN, Caps
from xbench.caps.proof import BROKEN_FIX, Proof, of_row, prove
from xbench.caps.words import capped_text, size_text

__all__ = [
    "BROKEN_FIX",
    "OPEN",
    "Caps",
    "Proof",
    "asked_limits",
    "capped_text",
    "of_row",
    "prove",
    "refuse_batches",
    "size_text",
]
