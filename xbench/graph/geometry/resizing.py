"""What a resize asks for, read once for every importer."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """How a resize samples.

    Attributes:
        mode: ``nearest``, ``linear`` or ``cubic``.
        places: How places of the new axis become places of the old one.
        nearest: How a place between two elements is rounded.
        sharpness: The coefficient of cubic interpolation.
        excluded: Whether elements outside weigh nothing, instead of as the outermost ones.
        antialias: Whether the filter widens where an axis becomes shorter.
        fill: The element for places outside, when cropping.
    """

    mode: str
    places: str
    nearest: str
    sharpness: float = -0.75
    excluded: bool = False
    antialias: bool = False
    fill: float = 0.0

    @property
    def crops(self) -> bool:
        """Return whether a region of the old axes is resized."""
        return self.places == "tf_crop_and_resize"

    @property
    def counts_ends(self) -> bool:
        """Return whether coordinates depend on the new length as it is before it is rounded.

        It does so in ONNX's reference, and not in runtimes.
        """
        return self.crops or self.places == "align_corners"
